"""Who may do what: a model of the access specification (a2 to a9) with the decisions D4 to D7, D47 and D48.

It is written from these pages alone and imports nothing of the code under test. Users, organizations and projects
have names here; tests.support.authorization_world makes them real.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

MEMBER, ADMIN, OWNER = 1, 8, 15
LEVELS: Final[Mapping[str, Mapping[str, int]]] = {
    "owner": {"acme": OWNER},
    "holder": {"acme": OWNER},
    "admin": {"acme": ADMIN},
    "member": {"acme": MEMBER},
    "spare": {"acme": MEMBER},
    "both": {"acme": OWNER, "elsewhere": OWNER},
    "inactive": {"acme": OWNER},
    "stranger": {"elsewhere": OWNER},
    "closed_member": {"closed": MEMBER},
    "closed_admin": {"closed": ADMIN},
    "nobody": {},
}
PROJECTS: Final[Mapping[str, str]] = {"shop": "acme", "second": "acme", "outside": "elsewhere", "vault": "closed"}
CURRENT_PROJECT: Final[Mapping[str, str]] = {"acme": "shop", "elsewhere": "outside", "closed": "vault"}
ORGANIZATIONS: Final = {"acme": "Acme", "elsewhere": "Elsewhere", "closed": "Closed"}
HOME: Final = "acme"
"""The organization where the objects are that URLs name."""
FORBIDS_KEYS: Final = frozenset({"closed"})
CURRENT: Final = "@current"
MALFORMED: Final = "abc"

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class About(enum.Enum):
    """What the URL of an endpoint speaks of."""

    PROJECT_RESOURCE = enum.auto()
    PROJECT = enum.auto()
    PROJECTS = enum.auto()
    ORGANIZATION_RESOURCE = enum.auto()
    ORGANIZATION = enum.auto()
    PROJECT_IN_ORGANIZATION = enum.auto()
    NO_TENANT = enum.auto()
    ACCOUNT = enum.auto()
    """The caller's own account: restrictions of a key do not matter."""


@dataclass(frozen=True)
class Endpoint:
    """One method of one URL: what it demands, and what it answers to callers who are let in.

    `scopes` is None where personal keys are refused; an empty tuple takes any key. `objects` names the objects of the
    world that stand for the URL's other arguments.
    """

    template: str
    method: str
    about: About
    scopes: tuple[str, ...] | None
    level: int = MEMBER
    sensitive: bool = False
    status: int = 200
    body: Any = None
    query: str = ""
    objects: Mapping[str, str] = field(default_factory=dict)
    mapped: bool = True
    level_comes_last: bool = False


class Credential(enum.Enum):
    """What a caller shows."""

    NOTHING = enum.auto()
    KEY = enum.auto()
    SESSION = enum.auto()


class Csrf(enum.Enum):
    """What a browser sends with its session."""

    GOOD = enum.auto()
    NO_COOKIE = enum.auto()
    NO_HEADER = enum.auto()


@dataclass(frozen=True)
class Who:
    """A caller. `user` names the owner of the credential; `key` is where a key is sent, as errors call it.

    `value` says which text is sent as the key: a real key of its own, or one of the texts that never work. `beside`
    is sent as well, and must not matter.
    """

    name: str
    credential: Credential
    user: str = "nobody"
    works: bool = True
    key: str = "Authorization header"
    value: str = "own"
    scheme: str = "Bearer"
    beside: str = ""
    scopes: tuple[str, ...] | None = ("*",)
    projects: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    csrf: Csrf = Csrf.GOOD
    signed_in_lately: bool = True

    @property
    def is_key(self) -> bool:
        return self.credential is Credential.KEY


@dataclass(frozen=True)
class Place:
    """The tenant arguments of a URL, by name."""

    organization: str | None = None
    project: str | None = None


@dataclass(frozen=True)
class Refusal:
    """The whole answer to a call that is refused. `<name>` in the detail stands for an id."""

    status: int
    code: str
    detail: str
    type: str = "authentication_error"


def forbidden(detail: str, code: str = "permission_denied") -> Refusal:
    return Refusal(403, code, detail)


def missing(detail: str) -> Refusal:
    return Refusal(404, "not_found", detail, "invalid_request")


NOT_FOUND: Final = missing("Not found.")
NO_PROJECT: Final = missing("Project not found.")
NO_ORGANIZATION: Final = missing("Organization not found.")
NO_ORGANIZATION_AT_ALL: Final = missing("You need to belong to an organization.")
NOT_A_NUMBER: Final = Refusal(
    400, "invalid_input", f"Field 'id' expected a number but got '{MALFORMED}'.", "validation_error"
)
NOT_AUTHENTICATED: Final = Refusal(401, "not_authenticated", "Authentication credentials were not provided.")
NO_KEYS: Final = forbidden("This action does not support Personal API Key access")
NO_ACCESS: Final = forbidden("You don't have access to the project.")
NOT_A_MEMBER: Final = forbidden("You do not have permission to perform this action.")
PROJECTS_ONLY: Final = forbidden("API keys with scoped projects are only supported on project-based endpoints.")
ORGANIZATIONS_ONLY: Final = forbidden(
    "API keys with scoped organizations are only supported on endpoints of these organizations."
)
TOO_LOW: Final = forbidden("Your organization access level is insufficient.")
TOO_LOW_IN_PROJECT: Final = forbidden("You don't have sufficient permissions in the project.")
SIGN_IN_AGAIN: Final = forbidden(
    "This action requires you to be recently authenticated.", code="sensitive_action_required_reauth"
)

_ABOUT_ONE_PROJECT = frozenset({About.PROJECT_RESOURCE, About.PROJECT, About.PROJECT_IN_ORGANIZATION})


def judge(endpoint: Endpoint, who: Who, place: Place) -> Refusal | None:
    """Return how the call is refused, None where it is let in; the order is that of a4, organizations first (D48)."""
    refused = _authentication(endpoint, who) or _scope(endpoint, who) or _tenant(endpoint, who, place)
    level, age = _level(endpoint, who, place), _age(endpoint, who)
    return refused or ((age or level) if endpoint.level_comes_last else (level or age)) or _method(endpoint)


def on_template(rows: Mapping[str, Endpoint], method: str, scope_object: str) -> Endpoint:
    """Return what a method of a URL demands, given the rows of this URL: also those that the URL does not map."""
    if method in rows:
        return rows[method]
    some = next(iter(rows.values()))
    plain = replace(some, method=method, level=MEMBER, sensitive=False, body=None, query="", status=200)
    if method == "OPTIONS":
        return replace(plain, scopes=(f"{scope_object}:read",))
    if method == "HEAD" and "GET" in rows:
        return replace(rows["GET"], method="HEAD")
    return replace(plain, scopes=None, status=405, mapped=False)


def _authentication(endpoint: Endpoint, who: Who) -> Refusal | None:
    if who.credential is Credential.NOTHING:
        return NOT_AUTHENTICATED
    if who.is_key:
        detail = f"Personal API key found in request {who.key} is invalid."
        return None if who.works else Refusal(401, "authentication_failed", detail)
    if not who.works:
        return NOT_AUTHENTICATED
    if endpoint.method in SAFE or who.csrf is Csrf.GOOD:
        return None
    problem = "CSRF cookie not set." if who.csrf is Csrf.NO_COOKIE else "CSRF token missing."
    return forbidden(f"CSRF Failed: {problem}")


def _scope(endpoint: Endpoint, who: Who) -> Refusal | None:
    if not who.is_key:
        return None
    if endpoint.scopes is None:
        return NO_KEYS
    lacking = [scope for scope in endpoint.scopes if not grants(who.scopes, scope)]
    return forbidden(f"API key missing required scope '{lacking[0]}'") if lacking else None


def grants(held: tuple[str, ...] | None, scope: str) -> bool:
    """Say whether a key holds a scope: null is an old key with full access, and write implies read."""
    if held is None:
        return True
    return bool({"*", scope, scope.replace(":read", ":write")} & set(held))


def _tenant(endpoint: Endpoint, who: Who, place: Place) -> Refusal | None:
    about = endpoint.about
    if about is About.ACCOUNT:
        return None
    if about in {About.PROJECT_RESOURCE, About.PROJECT}:
        return _one_project(who, place, itself=about is About.PROJECT)
    if about is About.NO_TENANT:
        return _no_tenant(endpoint, who)
    organization = organization_of(endpoint, who, place)
    if about is About.PROJECTS:
        return _own_projects(endpoint, who, organization)
    return _one_organization(endpoint, who, place, organization) or (
        _project_inside(who, organization, place) if about is About.PROJECT_IN_ORGANIZATION else None
    )


def _one_project(who: Who, place: Place, *, itself: bool) -> Refusal | None:
    project = project_of(who, place)
    if project is None:
        if not itself:
            return NO_PROJECT
        return NOT_A_NUMBER if place.project == MALFORMED else NOT_FOUND
    organization = PROJECTS[project]
    if not _may_see(who, organization):
        return _other_organization(organization)
    if who.projects and project not in who.projects:
        return forbidden(f"API key does not have access to the requested project: ID <{project}>.")
    if organization not in LEVELS[who.user]:
        return NOT_FOUND if itself else NO_ACCESS
    return _keys_forbidden(who, organization)


def _no_tenant(endpoint: Endpoint, who: Who) -> Refusal | None:
    # A restricted key reads the organizations it has, and makes none.
    if who.organizations and endpoint.method not in SAFE:
        return ORGANIZATIONS_ONLY
    return PROJECTS_ONLY if who.projects else None


def _own_projects(endpoint: Endpoint, who: Who, organization: str | None) -> Refusal | None:
    # A restricted key reads its own projects (D47), and makes none.
    reads = endpoint.method in SAFE
    if organization is not None and not reads and not _may_see(who, organization):
        return _other_organization(organization)
    if who.projects and not reads:
        return PROJECTS_ONLY
    return NO_ORGANIZATION_AT_ALL if organization is None else _keys_forbidden(who, organization)


def _one_organization(endpoint: Endpoint, who: Who, place: Place, organization: str | None) -> Refusal | None:
    itself = endpoint.about is About.ORGANIZATION
    if organization is not None and not _may_see(who, organization):
        return NOT_FOUND if itself else _other_organization(organization)
    if who.projects and endpoint.about is not About.PROJECT_IN_ORGANIZATION:
        return PROJECTS_ONLY
    if organization is None:
        return _no_organization(place, itself=itself)
    if organization not in LEVELS[who.user]:
        return NOT_FOUND if itself else NOT_A_MEMBER
    return _keys_forbidden(who, organization)


def _may_see(who: Who, organization: str) -> bool:
    return not who.organizations or organization in who.organizations


def _no_organization(place: Place, *, itself: bool) -> Refusal:
    if place.organization == CURRENT:
        return NO_ORGANIZATION_AT_ALL
    return NOT_FOUND if itself else NO_ORGANIZATION


def _project_inside(who: Who, organization: str | None, place: Place) -> Refusal | None:
    project = project_of(who, place, organization)
    allowed = project is not None and (not who.projects or project in who.projects)
    return None if allowed else NOT_FOUND


def _other_organization(organization: str) -> Refusal:
    return forbidden(f"API key does not have access to the requested organization: ID <{organization}>.")


def _keys_forbidden(who: Who, organization: str) -> Refusal | None:
    if not who.is_key or organization not in FORBIDS_KEYS or LEVELS[who.user][organization] >= ADMIN:
        return None
    return forbidden(
        f"Organization '{ORGANIZATIONS[organization]}' does not allow using personal API keys. "
        "Contact an admin to enable personal API keys for this organization."
    )


def _level(endpoint: Endpoint, who: Who, place: Place) -> Refusal | None:
    if endpoint.level == MEMBER:
        return None
    organization = organization_of(endpoint, who, place)
    if endpoint.level_comes_last and organization != HOME:
        return None
    if LEVELS[who.user].get(organization or "", 0) >= endpoint.level:
        return None
    return TOO_LOW_IN_PROJECT if endpoint.about in _ABOUT_ONE_PROJECT else TOO_LOW


def _age(endpoint: Endpoint, who: Who) -> Refusal | None:
    old = who.credential is Credential.SESSION and not who.signed_in_lately
    return SIGN_IN_AGAIN if old and endpoint.sensitive and endpoint.method not in SAFE else None


def _method(endpoint: Endpoint) -> Refusal | None:
    if endpoint.mapped:
        return None
    return Refusal(405, "method_not_allowed", f'Method "{endpoint.method}" not allowed.', "invalid_request")


def organization_of(endpoint: Endpoint, who: Who, place: Place) -> str | None:
    """Return the organization that a call is about, None where there is no such one."""
    if endpoint.about in {About.PROJECT_RESOURCE, About.PROJECT}:
        return PROJECTS.get(project_of(who, place) or "")
    if endpoint.about is About.PROJECTS or place.organization == CURRENT:
        return next(iter(LEVELS[who.user]), None)
    return place.organization if place.organization in ORGANIZATIONS else None


def project_of(who: Who, place: Place, inside: str | None = None) -> str | None:
    """Return the project that a call is about, None where there is no such one (`inside` this organization)."""
    project = place.project
    if project == CURRENT:
        project = CURRENT_PROJECT.get(next(iter(LEVELS[who.user]), ""))
    if project is None or project not in PROJECTS or (inside is not None and PROJECTS[project] != inside):
        return None
    return project
