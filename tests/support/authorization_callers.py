"""Who calls in the authorization matrix, and under which tenant arguments."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

from tests.support.authorization import CURRENT, MALFORMED, SAFE, About, Credential, Csrf, Endpoint, Place, Who

OBJECTS: Final = (
    "action",
    "activity_log",
    "cohort",
    "organization",
    "organization_member",
    "persisted_folder",
    "person",
    "plugin",
    "project",
    "user",
)
UNRELATED: Final = "insight"
"""A scope object that keys may hold and no route asks for."""
SCOPES: Final = tuple(f"{name}:{action}" for name in (*OBJECTS, UNRELATED) for action in ("read", "write"))

NOBODY: Final = Who("no credential", Credential.NOTHING)
UNKNOWN: Final = Who("unknown key", Credential.KEY, works=False, value="unknown")


def _key(name: str, user: str = "holder", **fields: object) -> Who:
    return Who(name, Credential.KEY, user, **fields)  # type: ignore[arg-type]  # fields of Who


def _session(user: str, name: str = "", **fields: object) -> Who:
    return Who(f"{name or 'session'} of {user}", Credential.SESSION, user, **fields)  # type: ignore[arg-type]  # same


OWNER_KEY: Final = _key("key of owner")
STRANGER_KEY: Final = _key("key of stranger", "stranger")
BOTH_KEY: Final = _key("key of a member of two organizations", "both")
LANDLESS_KEY: Final = _key("key of a user without organization", "nobody")
WRONG_SCOPE: Final = _key("key with an unrelated scope", scopes=(f"{UNRELATED}:write",))
READ_ONLY: Final = _key("key with every read scope", scopes=tuple(s for s in SCOPES if s.endswith(":read")))
LEGACY: Final = _key("legacy key without scopes", scopes=None)
EMPTY: Final = _key("key with an empty list of scopes", scopes=())
RESTRICTED: Final = (
    _key("key restricted to this project", projects=("shop",)),
    _key("key restricted to another project", projects=("second",)),
    _key("key restricted to a foreign project", projects=("outside",)),
    _key("key restricted to this organization", organizations=("acme",)),
    _key("key restricted to another organization", organizations=("elsewhere",)),
)
_ONE_SCOPE: Final = tuple(_key(f"key with {scope}", scopes=(scope,)) for scope in SCOPES)
SESSIONS: Final = tuple(_session(user) for user in ("member", "admin", "owner", "stranger"))

# Of these a few suffice where a URL does not map the method, or where the tenant decides and not the caller.
_FEW: Final = (NOBODY, UNKNOWN, OWNER_KEY, WRONG_SCOPE, LEGACY, STRANGER_KEY, *SESSIONS[1:])
_ELSEWHERE: Final = (*_FEW, BOTH_KEY, LANDLESS_KEY, _session("nobody"), *RESTRICTED)


def _without_a_working_credential() -> Iterator[Who]:
    yield from (NOBODY, UNKNOWN)
    for scheme in ("bearer", "Token", "Basic"):
        yield replace(NOBODY, name=f"good key as {scheme}", user="holder", scheme=scheme)
    yield replace(UNKNOWN, name="unknown key in the query", key="query string")
    yield replace(UNKNOWN, name="unknown key beside a good session", user="owner", beside="session")
    for what in ("rolled key", "deleted key", "token of the project as key"):
        yield replace(UNKNOWN, name=what, value=what.split()[0])
    yield _key("key of an inactive user", "inactive", works=False)
    yield _session("inactive", works=False)
    yield _session("owner", "ended session", works=False)


def _keys() -> Iterator[Who]:
    yield from (OWNER_KEY, LEGACY, EMPTY, READ_ONLY, *RESTRICTED)
    yield replace(OWNER_KEY, name="key of owner in the query", key="query string")
    yield replace(OWNER_KEY, name="key of owner in header, unknown one in query", beside="unknown key in the query")
    yield from (_key(f"key of {user}", user) for user in ("admin", "member"))
    yield from _ONE_SCOPE
    for name in OBJECTS:
        rest = tuple(scope for scope in SCOPES if not scope.startswith(f"{name}:"))
        yield _key(f"key with every scope but those of {name}", scopes=rest)
    yield _key("key with every scope by name", scopes=SCOPES)
    yield _key("key with a wrong scope, restricted to another project", scopes=WRONG_SCOPE.scopes, projects=("second",))
    yield _key("key restricted to another project and organization", projects=("second",), organizations=("elsewhere",))
    yield _key("key restricted to this project and organization", projects=("shop",), organizations=("acme",))
    yield from (STRANGER_KEY, BOTH_KEY, LANDLESS_KEY)
    yield replace(BOTH_KEY, name="key of a member of two organizations, restricted to the other",
                  organizations=("elsewhere",))  # fmt: skip


def _browsers() -> Iterator[Who]:
    yield from SESSIONS
    yield _session("nobody")
    for user in ("member", "admin", "owner", "stranger"):
        yield _session(user, "session without CSRF token", csrf=Csrf.NO_HEADER)
        yield _session(user, "session without CSRF cookie", csrf=Csrf.NO_COOKIE)
    yield from (_session(user, "old session", signed_in_lately=False) for user in ("owner", "member"))


def _in_the_body() -> Iterator[Who]:
    yield replace(OWNER_KEY, name="key of owner in the body", key="body")
    yield replace(OWNER_KEY, name="key of owner in a form", key="body", beside="form")
    yield replace(UNKNOWN, name="unknown key in the body", key="body")
    yield replace(OWNER_KEY, name="key of owner in header, unknown one in body", beside="unknown key in the body")


def _of_closed_organization() -> Iterator[Who]:
    """Callers of an organization that forbids plain members to use keys."""
    for user in ("closed_member", "closed_admin"):
        yield _key(f"key of {user}", user)
        yield _session(user)


@cache
def _everyone(method: str) -> tuple[Who, ...]:
    body = () if method in SAFE else tuple(_in_the_body())
    return (*_without_a_working_credential(), *_keys(), *body, *_browsers(), *_of_closed_organization())


def homes(about: About) -> tuple[Place, ...]:
    """Return the tenant arguments under which the objects of the world are found."""
    match about:
        case About.PROJECT_RESOURCE | About.PROJECT:
            return (Place(project="shop"),)
        case About.ORGANIZATION_RESOURCE | About.ORGANIZATION:
            return (Place("acme"),)
        case About.PROJECT_IN_ORGANIZATION:
            return (Place("acme", "shop"),)
        case _:
            return (Place(),)


_ORGANIZATIONS = tuple(Place(name) for name in (CURRENT, "elsewhere", "missing", MALFORMED, "gone", "closed"))
_PROJECTS = tuple(Place(project=name) for name in (CURRENT, "outside", "missing", MALFORMED, "removed", "vault"))


def aways(about: About) -> tuple[Place, ...]:
    """Return the other tenant arguments: `@current`, foreign, missing, malformed and deleted ones."""
    match about:
        case About.PROJECT_RESOURCE | About.PROJECT:
            return _PROJECTS
        case About.ORGANIZATION_RESOURCE | About.ORGANIZATION:
            return _ORGANIZATIONS
        case About.PROJECT_IN_ORGANIZATION:
            inside = ("second", CURRENT, "outside", "missing", MALFORMED, "removed")
            others = tuple(Place(place.organization, "shop") for place in _ORGANIZATIONS)
            return (*(Place("acme", name) for name in inside), *others, Place("closed", "vault"))
        case _:
            return ()


def calls(endpoint: Endpoint) -> Iterator[tuple[Who, Place]]:
    """Yield every caller and place in which a method of a URL is tried."""
    full = endpoint.mapped and endpoint.method not in {"HEAD", "OPTIONS"}
    for place in homes(endpoint.about):
        yield from ((who, place) for who in (_at_home(endpoint) if full else (*_FEW, READ_ONLY, EMPTY)))
    if not endpoint.mapped:
        return
    for place in aways(endpoint.about):
        yield from ((who, place) for who in (_ELSEWHERE if full else _FEW[:5]))
        if full and (place.project == "vault" or place.organization == "closed"):
            yield from ((who, place) for who in _of_closed_organization())


def _at_home(endpoint: Endpoint) -> tuple[Who, ...]:
    # The views of `projects` once more: how credentials are read has been tried there.
    if endpoint.template.startswith("/api/environments/{project_id}/"):
        return (*_ELSEWHERE, *_ONE_SCOPE, READ_ONLY, EMPTY)
    return _everyone(endpoint.method)


def every_caller() -> tuple[Who, ...]:
    """Return each caller once, so that the world can make keys and sessions for all of them."""
    return tuple(dict.fromkeys((*_everyone("POST"), *_ELSEWHERE, *_FEW)))
