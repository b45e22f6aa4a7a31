"""What one route is about, as the access rules need to know it; core.routes fills these in."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

CURRENT = "@current"


class Tree(enum.Enum):
    """The URL prefixes under which a resource can be mounted."""

    PROJECT = "projects/{project_id}"
    ENVIRONMENT = "environments/{project_id}"
    ORGANIZATION = "organizations/{organization_id}"
    TOP = ""


class About(enum.Enum):
    """The tenant that a route speaks of; it decides between 403 and 404."""

    NOTHING = enum.auto()
    TEAM = enum.auto()
    TEAM_ITSELF = enum.auto()
    ORGANIZATION = enum.auto()
    ORGANIZATION_ITSELF = enum.auto()
    TEAM_OF_ORGANIZATION = enum.auto()
    TEAMS_OF_CURRENT_ORGANIZATION = enum.auto()


@dataclass(frozen=True, slots=True)
class Route:
    """One URL pattern: its tenant and the scopes that each method needs.

    A method that is absent from `scopes` refuses personal keys; an empty tuple takes any key. `levels` names the
    methods that plain members may not use. Writes of a `sensitive` route want a session that signed in lately.
    `limits` names the rate limits that a method counts in; one that is absent has the default ones.
    """

    template: str
    tree: Tree
    about: About
    resource: str
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    levels: Mapping[str, int] = field(default_factory=dict)
    limits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignores_restrictions: bool = False
    sensitive: bool = False
    team_argument: str = "project_id"
    organization_argument: str = "organization_id"
