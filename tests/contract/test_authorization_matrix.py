"""Every method of every URL of the route table, for every kind of caller and tenant: the whole answer, as specified.

What is expected comes from a table kept by hand (tests.support.authorization_rows) and a model of the specification
(tests.support.authorization); the code under test says only which URLs there are.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import orjson
import pytest
from django.db import transaction
from django.http import HttpResponse

from core import routes
from tests.support.authorization import METHODS, Endpoint, Place, Refusal, Who, judge, on_template
from tests.support.authorization_callers import calls, homes
from tests.support.authorization_rows import endpoints, scope_objects
from tests.support.authorization_world import World
from tests.support.contract import ContractError

ROWS = endpoints()
SCOPE_OBJECTS = scope_objects()
SHOWN = 20
AT_LEAST = 20_000


def routed() -> dict[str, set[str]]:
    """Return the methods of every URL of the route table."""
    found: dict[str, set[str]] = {}
    for route, _, actions in routes.routes():
        found.setdefault(route.template, set()).update(method.upper() for method in actions)
    return found


TEMPLATES = sorted(routed())


@pytest.fixture
def world(db: None, clickhouse_schema: None) -> World:
    return World()


def test_every_endpoint_has_a_row() -> None:
    wanted = {(template, method) for template, methods in routed().items() for method in methods}
    kept = {(template, method) for template, rows in ROWS.items() for method in rows}
    new = [f"{method} {template}" for template, method in sorted(wanted - kept)]
    assert not new, (
        "No row in tests/support/authorization_rows.py for these endpoints: add one for each, with its scopes, its "
        f"level, whether it is sensitive, a request in order and its status: {new}"
    )
    stale = [f"{method} {template}" for template, method in sorted(kept - wanted)]
    assert not stale, f"tests/support/authorization_rows.py has rows of endpoints that are gone: {stale}"


def all_calls(template: str) -> Iterator[tuple[Endpoint, Who, Place]]:
    for method in METHODS:
        endpoint = on_template(ROWS[template], method, SCOPE_OBJECTS[template])
        yield from ((endpoint, who, place) for who, place in calls(endpoint))


def test_the_matrix_is_large_and_no_caller_is_named_twice() -> None:
    combinations = [(template, *call) for template in ROWS for call in all_calls(template)]
    assert len(combinations) > AT_LEAST
    names = Counter((endpoint.template, endpoint.method, who.name, place) for _, endpoint, who, place in combinations)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_authorization(
    template: str, world: World, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert template in ROWS, f"tests/support/authorization_rows.py has no rows for {template}"
    count = 0
    problems: list[str] = []
    for method in METHODS:
        endpoint = on_template(ROWS[template], method, SCOPE_OBJECTS[template])
        judged = [(who, place, judge(endpoint, who, place)) for who, place in calls(endpoint)]
        count += len(judged)
        before = world.digest()
        for who, place, refusal in judged:
            if refusal is not None:
                problems += outcome(world, endpoint, who, place, refusal)
        changed = [table for table, digest in world.digest().items() if before[table] != digest]
        if changed:
            problems.append(f"{method}: refused calls changed {changed}")
        for who, place, refusal in judged:
            if refusal is None:
                with transaction.atomic():
                    problems += outcome(world, endpoint, who, place, None)
                    transaction.set_rollback(True)
    capsys.readouterr()  # hundreds of access lines would hide the answers
    record_property("authorization_combinations", count)
    record_property("authorization_unexpected", len(problems))
    assert not problems, "\n".join([f"{len(problems)} of {count} answers of {template}:", *problems[:SHOWN]])


def outcome(world: World, endpoint: Endpoint, who: Who, place: Place, refusal: Refusal | None) -> Iterator[str]:
    """Make the call; yield what is wrong with the answer."""
    try:
        response = world.send(endpoint, who, place)
        wrong = unlet(endpoint, who, place, response) if refusal is None else unlike(world, refusal, response)
    except ContractError as error:
        wrong = str(error)
    if wrong:
        where = "/".join(part for part in (place.organization, place.project) if part)
        yield f"{endpoint.method} by {who.name}" + (f" in {where}" if where else "") + f": {wrong}"


def unlike(world: World, refusal: Refusal, response: HttpResponse) -> str:
    """Say how an answer differs from the refusal that is expected."""
    expected = world.answer(refusal)
    if response.status_code != refusal.status:
        return f"{response.status_code} {response.content[:200]!r}, expected {refusal.status} {expected['detail']}"
    if response.content and orjson.loads(response.content) != expected:
        return f"{response.content!r}, expected {expected}"
    if refusal.status == 401 and response.headers.get("WWW-Authenticate") != "Bearer":
        return "401 without WWW-Authenticate"
    return ""


def unlet(endpoint: Endpoint, who: Who, place: Place, response: HttpResponse) -> str:
    """Say how an answer differs from that of an endpoint that lets the caller in."""
    # The objects of the row are in one project, and its body is JSON: elsewhere only the permission counts.
    in_order = place in homes(endpoint.about) and who.beside != "form"
    status = response.status_code
    let_in = status == endpoint.status if in_order else status not in {401, 403} and status < 500
    if let_in and b'"authentication_error"' not in response.content:
        return ""
    return f"{status} {response.content[:300]!r}, expected {endpoint.status if in_order else 'to be let in'}"
