"""Who is asking, about which tenant, and with what rights: the outcome of authentication."""

from dataclasses import dataclass
from uuid import UUID

from core.tenancy.context import OrganizationContext, TeamContext


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a request; `key_id` is set when a personal API key was used, else it is a session."""

    user_id: int
    email: str
    first_name: str
    key_id: str | None = None

    @property
    def is_key(self) -> bool:
        """Whether a personal API key was used."""
        return self.key_id is not None


@dataclass(frozen=True, slots=True)
class Access:
    """A caller with the tenant of the URL: found or not, member or not; RoutePermission judges it.

    `scopes` is None for legacy keys (full access) and for sessions; an empty restriction restricts nothing.
    """

    caller: Caller
    team: TeamContext | None = None
    organization: OrganizationContext | None = None
    level: int | None = None
    scopes: tuple[str, ...] | None = None
    scoped_teams: tuple[int, ...] = ()
    scoped_organizations: tuple[str, ...] = ()

    def allows_team(self, team_id: int) -> bool:
        """Whether the key's restriction lets this project through."""
        return not self.scoped_teams or team_id in self.scoped_teams

    def allows_organization(self, organization_id: UUID) -> bool:
        """Whether the key's restriction lets this organization through."""
        return not self.scoped_organizations or str(organization_id) in self.scoped_organizations
