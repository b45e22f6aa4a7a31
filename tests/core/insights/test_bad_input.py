"""What every insight does with input that is no question: the 400 of the spec, never a 500."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from core import routes
from core.access.routing import Tree
from core.insights.views import PersonInsightsViewSet
from tests.core.insights.asking import MAY, steps, texts
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
UNPARSABLE = "Properties are unparsable!"
MIXED = "Property list cannot contain both PropertyGroup and Property objects"
ONE_MB = 1_000_001
GOOD: dict[str, dict[str, Any]] = {
    "funnel": {"events": steps("a"), "funnel_step": 1},
    "funnel/correlation": {"events": steps("a", "b"), "funnel_correlation_person_entity": {"id": "c"}},
    "path": {},
    "trends": {"entity_id": "a", "entity_type": "events"},
    "stickiness": {"entity_id": "a", "entity_type": "events", "stickiness_days": 1},
    "lifecycle": {"events": steps("a"), "target_date": "2024-05-02", "lifecycle_type": "new"},
    "retention": {"target_entity": {"id": "a", "type": "events"}},
}
WITHOUT_INTERVAL = frozenset({"retention"})
# Their entities have parameters of other names.
WITHOUT_EVENTS = frozenset({"path", "retention"})
# Other series than the one asked for need not be there any more.
WITH_ONE_SERIES = frozenset({"trends", "stickiness"})


def routed() -> Iterator[tuple[str, str]]:
    for route, viewset, actions in routes.routes():
        if viewset is PersonInsightsViewSet and route.tree is Tree.PROJECT:
            path = route.template.partition("/persons/")[2].strip("/")
            yield from ((method.upper(), path) for method in actions)


ROUTES = sorted(routed())
everywhere = pytest.mark.parametrize(("method", "path"), ROUTES)


def send(api: Api, method: str, path: str, query: str = "", **params: Any) -> Any:
    """Ask by either method; for POST the parameters are the body."""
    whole = {**MAY, **GOOD[path], **params}
    if method == "POST":
        return api.send("POST", f"/{path}/?{query}", whole)
    return api.client.get(f"{api.url(f'/{path}/')}?{'&'.join(filter(None, [urlencode(texts(whole)), query]))}")


def refusal(answer: Any) -> tuple[str, str | None]:
    body = answer.json()
    assert (answer.status_code, body["type"]) == (400, "validation_error"), body
    return body["detail"], body["attr"]


@everywhere
def test_a_good_question(api: Api, method: str, path: str) -> None:
    assert send(api, method, path).status_code == 200


@everywhere
@pytest.mark.parametrize("name", ["offset", "limit"])
def test_numbers_below_zero(api: Api, method: str, path: str, name: str) -> None:
    if path == "funnel/correlation":
        name = f"funnel_correlation_person_{name}"
    for value in ("-1", "1.5", "x"):
        assert refusal(send(api, method, path, **{name: value}))[1] == name
    assert send(api, method, path, **{name: str(2**53)}).status_code == 200


@everywhere
@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("[{", (UNPARSABLE, None)),
        ("text", (UNPARSABLE, None)),
        ("3", (UNPARSABLE, None)),
        ('{"type": "AND", "values": [{"key": "a", "value": 1}, {"type": "OR", "values": []}]}', (MIXED, None)),
        ('[{"key": "a", "value": "(", "operator": "regex"}]', (None, "properties")),
        ('[{"key": "a", "value": "b", "operator": "resembles"}]', (None, "properties")),
        ('[{"key": "nope = 1", "type": "hogql"}]', (None, "properties__0__key")),
        ('[{"key": "a", "value": 1, "type": "element"}]', (None, "properties")),
        ("[" * 300 + "]" * 300, (None, None)),
    ],
)
def test_bad_filters(api: Api, method: str, path: str, value: str, answer: tuple[str | None, str | None]) -> None:
    detail, attr = refusal(send(api, method, path, properties=value))
    assert (detail if answer[0] else None, attr) == answer


@everywhere
def test_filters_of_a_megabyte(api: Api, method: str, path: str) -> None:
    long = "x" * ONE_MB
    if method == "POST":
        body = {**MAY, **GOOD[path]}
        for properties in (long, [{"key": "a", "value": long}], [{"key": "a", "value": ["x" * 100] * 10_000}]):
            assert refusal(api.send("POST", f"/{path}/", {**body, "properties": properties}))[1] == "properties"
    assert refusal(send(api, method, path, f"search={'x' * 5000}"))[1] == "search"


@everywhere
def test_unknown_intervals(api: Api, method: str, path: str) -> None:
    if path not in WITHOUT_INTERVAL:
        assert refusal(send(api, method, path, interval="fortnight")) == (
            '"fortnight" is not a valid choice.',
            "interval",
        )
        assert send(api, method, path, interval="minute").status_code == 200


@everywhere
def test_bad_entities(api: Api, method: str, path: str) -> None:
    if path in WITHOUT_EVENTS:
        return
    for events in ('[{"order": 1}]', "[{", '{"id": 1}', '["a"]', '[{"id": {}}]', '[{"id": "a", "order": "x"}]'):
        assert refusal(send(api, method, path, events=events))[1] == "events"
    if path not in WITH_ONE_SERIES:
        assert refusal(send(api, method, path, actions='[{"id": 123456}]'))[1] == "actions"
    assert refusal(send(api, method, path, actions='[{"id": null}]'))[1] == "actions"


@everywhere
def test_bad_shares_and_booleans(api: Api, method: str, path: str) -> None:
    for share in ("-0.1", "1.1", "x", "nan"):
        assert refusal(send(api, method, path, sampling_factor=share))[1] == "sampling_factor"
    assert refusal(send(api, method, path, filter_test_accounts="perhaps"))[1] == "filter_test_accounts"


@everywhere
@pytest.mark.parametrize(
    "name", ["properties", "events", "actions", "search", "date_from", "date_to", "limit", "cache_invalidation_key"]
)
def test_no_text_is_a_fault_of_the_server(api: Api, method: str, path: str, name: str) -> None:
    for value in ("%00", "a%ed%a0%80b", "%ff%fe", quote("[{}]"), quote("[null]"), "9" * 400, "NaN"):
        answer = api.client.generic(method, f"{api.url(f'/{path}/')}?{urlencode(texts(GOOD[path]))}&{name}={value}")
        assert answer.status_code in {200, 400}, (value, answer.content)


@pytest.mark.parametrize("path", sorted({path for method, path in ROUTES if method == "POST"}))
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"events": [', "parse_error"),
        (b'{"events": "\xff"}', "parse_error"),
        (b'{"limit": NaN}', "parse_error"),
        (b"[" * 100_000, "parse_error"),
        (b"[1]", "invalid_input"),
        (b'"text"', "invalid_input"),
        (b'{"events": ' + b"[" * 300 + b"]" * 300 + b"}", "invalid_input"),
        (b'{"properties": {"\\u0000": "\\u0000"}, "events": [{"id": "a\\u0000"}], "funnel_step": -9}', "invalid_input"),
        (b'{"funnel_step": 1e999}', None),
        (b'{"funnel_step": {"a": 1}}', "invalid_input"),
    ],
)
def test_bad_bodies(api: Api, path: str, body: bytes, code: str | None) -> None:
    answer = api.send("POST", f"/{path}/", body)
    if path == "path" and answer.status_code == 200:
        return
    assert answer.status_code == 400, answer.content
    assert code is None or answer.json()["code"] == code
