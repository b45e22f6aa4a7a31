import base64
import gzip

# orjson cannot write NaN, huge integers and lone surrogates, which is the point of one test.
import json  # noqa: TID251 see above
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import lzstring
import orjson
import pytest
from django.db import OperationalError, connection
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.outbox.models import OutboxRows
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.capture.helpers import assert_accepted, batch_of, event_names, post, properties_of, rows

pytestmark = pytest.mark.django_db
FORM = "application/x-www-form-urlencoded"
EVENT_PATHS = ["/batch", "/batch/", "/e", "/e/", "/i/v0/e", "/i/v0/e/", "/capture", "/capture/", "/track", "/track/"]


@pytest.mark.parametrize("path", [*EVENT_PATHS, "/engage", "/engage/", "/i/v0/ai/batch", "/i/v0/ai/batch/"])
def test_every_alias_takes_a_batch(path: str, team: Team) -> None:
    event = {"event": "x", "distinct_id": "u", "$set": {"plan": "pro"}}
    assert_accepted(post(path, batch_of(team, event, sent_at="2024-01-01T00:00:00Z")))
    assert event_names() == ["x"]
    assert properties_of("u") == {"plan": "pro"}


@pytest.mark.parametrize("path", ["/e/", "/batch/"])
def test_array_and_single_events_are_taken_too(path: str, team: Team) -> None:
    assert_accepted(post(path, [{"event": "a", "distinct_id": "u", "properties": {"token": team.api_token}}]))
    assert_accepted(post(path, {"event": "b", "properties": {"token": team.api_token, "distinct_id": "u"}}))
    assert event_names() == ["a", "b"]


def test_engage_without_a_name_is_identify(team: Team) -> None:
    assert_accepted(post("/engage/", {"$token": team.api_token, "$distinct_id": "u", "$set": {"a": 1}}))
    assert event_names() == ["$identify"]
    assert properties_of("u") == {"a": 1}


def test_recordings_are_no_events(team: Team) -> None:
    snapshot = {"event": "$snapshot", "properties": {"token": team.api_token, "distinct_id": "u"}}
    assert_accepted(post("/s/", [snapshot]))
    assert event_names() == []
    assert post("/s/", [{"event": "$snapshot", "token": "phc_no"}]).status_code == 401


def test_get_with_data_in_the_query(team: Team) -> None:
    document = orjson.dumps({"event": "pixel", "distinct_id": "u", "token": team.api_token})
    response = Client().get("/e/", {"data": base64.b64encode(document).decode()})
    assert_accepted(response)
    assert event_names() == ["pixel"]


def test_beacon_is_answered_204(team: Team) -> None:
    response = post("/e/?beacon=1", {"event": "x", "distinct_id": "u", "token": team.api_token})
    assert (response.status_code, response.content) == (204, b"")
    assert event_names() == ["x"]


def wire_forms(document: bytes) -> dict[str, tuple[bytes, str, str, dict[str, str]]]:
    encoded = base64.b64encode(document).decode()
    lz = lzstring.LZString.compressToBase64(document.decode())
    packed = gzip.compress(document)
    return {
        "python": (document, "application/json", "", {"HTTP_USER_AGENT": "posthog-python/7.91.1"}),
        "python-gzip": (packed, "application/json", "", {"HTTP_CONTENT_ENCODING": "gzip"}),
        "node": (packed, "application/json", "", {"HTTP_CONTENT_ENCODING": "gzip"}),
        "js-gzip-no-hint": (packed, "text/plain", "", {}),
        "js-gzip-hint": (packed, "text/plain", "?ip=0&_=1714564800000&ver=1.257.0&compression=gzip-js", {}),
        "js-base64": (urlencode({"data": encoded}).encode(), FORM, "?compression=base64", {}),
        "js-base64-old": (urlencode({"data": encoded}).encode(), FORM, "?ip=1&_=1714564800000&ver=1.30.0", {}),
        "js-lz64": (urlencode({"data": lz, "compression": "lz64"}).encode(), FORM, "", {}),
        "js-lz64-plain": (lz.encode(), "text/plain", "?compression=lz64", {}),
    }


@pytest.mark.parametrize("form", list(wire_forms(b"")))
@pytest.mark.parametrize("path", ["/e/", "/i/v0/e/", "/batch/"])
def test_every_wire_form_of_the_sdks(form: str, path: str, team: Team) -> None:
    document = orjson.dumps(batch_of(team, {"event": "x", "distinct_id": "u", "$set": {"name": "Zoe"}}))
    body, content_type, query, headers = wire_forms(document)[form]
    assert_accepted(post(path + query, body, content_type=content_type, **headers))
    assert properties_of("u") == {"name": "Zoe"}


def test_js_array_with_offsets_and_the_time_in_the_query(team: Team) -> None:
    event = {"event": "x", "properties": {"token": team.api_token, "distinct_id": "u"}, "offset": 5000}
    assert_accepted(post("/e/?_=1714564800000", [event]))
    stored = orjson.loads(rows("events")[0]["properties"])
    assert stored["$sent_at"] == "2024-05-01T12:00:00.000Z"


def test_ip_is_the_first_hop_only_behind_a_trusted_proxy(team: Team, settings: Any) -> None:
    for trusted, expected in ((False, "127.0.0.1"), (True, "9.9.9.9")):
        settings.TRUST_FORWARDED_HEADERS = trusted
        post(
            "/e/", {"event": "x", "distinct_id": "u", "token": team.api_token}, HTTP_X_FORWARDED_FOR="9.9.9.9, 10.0.0.1"
        )
        assert orjson.loads(rows("events")[-1]["properties"])["$ip"] == expected


def test_a_retried_batch_is_answered_200_and_stored_once(team: Team) -> None:
    event = {"event": "x", "distinct_id": "u", "uuid": str(uuid4())}
    for _ in range(2):
        assert_accepted(post("/batch/", batch_of(team, event)))
    assert event_names() == ["x"]


def test_dropped_events_leave_no_person(team: Team) -> None:
    names = ["$$heatmap", "$snapshot", "$$client_ingestion_warning"]
    assert_accepted(post("/e/", batch_of(team, *({"event": name, "distinct_id": "u"} for name in names))))
    assert event_names() == []
    assert not Person.unscoped.exists()
    assert [row["type"] for row in rows("ingestion_warnings")] == ["client_ingestion_warning"]


GOOD = {"event": "good", "distinct_id": "u"}
BAD_INPUT: dict[str, tuple[Any, int]] = {
    "empty body": (b"", 400),
    "not json": (b"hello there", 400),
    "not utf8": (b"\xff\xff{}", 400),
    "truncated gzip": (gzip.compress(b'{"a":1}')[:-4], 400),
    "gzip bomb": (gzip.compress(b" " * 200_000_000), 413),
    "deep nesting": (b"[" * 100_000, 400),
    "deep object": ({"api_key": "TOKEN", "batch": [GOOD, "DEEP"]}, 400),
    "too large": (b" " * (2 * 1024 * 1024 + 1), 413),
    "empty batch": ({"api_key": "TOKEN", "batch": []}, 400),
    "empty array": ([], 400),
    "a number": (5, 400),
    "no token": (GOOD, 401),
    "unknown token": ({**GOOD, "token": "phc_unknown"}, 401),
    "personal key": ({**GOOD, "token": "phx_secret"}, 401),
    "long token": ({**GOOD, "token": "x" * 65}, 401),
    "token with NUL": (b'{"event":"x","distinct_id":"u","token":"phc_\\u0000"}', 401),
    "token of another type": ({**GOOD, "token": {"a": 1}}, 401),
    "two tokens": ([{**GOOD, "token": "TOKEN"}, {**GOOD, "token": "phc_other"}], 401),
    "bad uuid": ({"api_key": "TOKEN", "batch": [GOOD, {**GOOD, "uuid": "nope"}]}, 400),
    "no distinct id": ({"api_key": "TOKEN", "batch": [GOOD, {"event": "x"}]}, 400),
    "no name": ({"api_key": "TOKEN", "batch": [GOOD, {"distinct_id": "u"}]}, 400),
    "empty name": ({"api_key": "TOKEN", "batch": [GOOD, {"event": "", "distinct_id": "u"}]}, 400),
    "event is no object": ({"api_key": "TOKEN", "batch": [GOOD, "x"]}, 400),
    "properties are no object": ({"api_key": "TOKEN", "batch": [GOOD, {**GOOD, "properties": [1]}]}, 400),
    "bad cookieless mode": ({**GOOD, "token": "TOKEN", "properties": {"$cookieless_mode": "x"}}, 400),
}


@pytest.mark.parametrize("name", list(BAD_INPUT))
def test_bad_input_is_refused_with_the_envelope_and_stores_nothing(name: str, team: Team) -> None:
    document, status = BAD_INPUT[name]
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    body = body.replace(b"TOKEN", team.api_token.encode()).replace(b'"DEEP"', b'{"a":' * 300 + b"1" + b"}" * 300)
    response = post("/e/", body, HTTP_ORIGIN="https://app.example")
    assert response.status_code == status
    assert set(response.json()) == {"type", "code", "detail", "attr"}
    assert response["Access-Control-Allow-Origin"] == "https://app.example"
    assert not OutboxRows.objects.exists()
    assert not Person.unscoped.exists()


def test_an_event_over_one_mebibyte_is_413(team: Team) -> None:
    huge = {"event": "x", "distinct_id": "u", "properties": {"value": "v" * 10_000_000}}
    assert post("/batch/", batch_of(team, GOOD, huge)).status_code == 413
    assert not OutboxRows.objects.exists()


def test_strange_characters_and_numbers_are_stored_safely(team: Team) -> None:
    body = (
        '{"api_key":"%s","batch":[{"event":"x\\u0000","distinct_id":"a\\u0000b","properties":'  # noqa: UP031 JSON has braces
        '{"$set":{"nul\\u0000":"\\u0000","half":"\\ud800","nan":NaN,"inf":1e999,"big":%s}}}]}'
        % (team.api_token, "9" * 400)
    )
    assert_accepted(post("/e/", body.encode()))
    assert properties_of("a\ufffdb") == {"nul\ufffd": "\ufffd", "half": "\ufffd", "nan": None, "inf": None, "big": None}
    assert event_names() == ["x\ufffd"]


@pytest.mark.parametrize(
    "path", [*EVENT_PATHS, "/engage", "/s", "/flags/", "/decide", "/array/x/config", "/i/v1/analytics/events"]
)
def test_preflight_is_answered_200_with_everything_mirrored(path: str) -> None:
    headers = {"HTTP_ORIGIN": "https://app.example", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "content-type,x-foo"}
    response = Client().options(path, **headers)  # type: ignore[arg-type]  # headers are typed as other options
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "https://app.example"
    assert response["Access-Control-Allow-Credentials"] == "true"
    assert response["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert response["Access-Control-Allow-Headers"] == "content-type,x-foo"


def test_other_methods_are_405() -> None:
    response = Client().put("/e/")
    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


def test_health_and_black_hole() -> None:
    assert Client().get("/_readiness").content == b"capture"
    assert Client().get("/_liveness").status_code == 200
    assert_accepted(post("/test/black_hole", b"anything"))


def test_a_reset_token_is_refused_at_once(team: Team) -> None:
    document = {**GOOD, "token": team.api_token}
    assert_accepted(post("/e/", document))
    Team.objects.filter(id=team.id).update(api_token="phc_new")
    assert post("/e/", document).status_code == 401


def test_a_lost_database_is_503_with_retry_after(team: Team) -> None:
    document = {**GOOD, "token": team.api_token}
    with connection.execute_wrapper(_down):
        response = post("/e/", document)
    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert response.json()["detail"] == "transient error, please retry"


def _down(*_: Any) -> Any:
    raise OperationalError


def test_remote_config_of_a_known_token(team: Team) -> None:
    document = Client().get(f"/array/{team.api_token}/config").json()
    assert document["token"] == team.api_token
    assert document["supportedCompression"] == ["gzip", "gzip-js"]
    assert document["analytics"] == {"endpoint": "/i/v0/e/"}
    script = Client().get(f"/array/{team.api_token}/config.js")
    assert script["Content-Type"] == "application/javascript"
    assert team.api_token in script.content.decode()
    for unknown in ("phc_unknown", "%00", "phx_key", "%ff", "x" * 100):
        assert Client().get(f"/array/{unknown}/config").status_code == 404


@pytest.mark.parametrize("path", ["/flags/?v=2", "/flags?v=4", "/decide/?v=3", "/flags/?v=2&config=true"])
def test_flags_are_honestly_none(path: str, team: Team) -> None:
    for key in ("token", "api_key"):
        document = post(path, {key: team.api_token, "distinct_id": "u"}).json()
        assert document["flags"] == {}
        assert document["featureFlags"] == {}
        assert document["featureFlagPayloads"] == {}
        assert document["errorsWhileComputingFlags"] is False
    encoded = base64.b64encode(orjson.dumps({"token": team.api_token, "distinct_id": "u"})).decode()
    assert post(path, urlencode({"data": encoded}).encode(), content_type=FORM).status_code == 200
    assert post(path, {"token": "phc_unknown"}).status_code == 401
    assert post(path, {}).status_code == 401


def test_flag_definitions_are_empty(team: Team) -> None:
    for path in ("/flags/definitions", "/api/feature_flag/local_evaluation/", "/api/feature_flag/local_evaluation"):
        response = Client().get(f"{path}?token={team.api_token}&send_cohorts")
        assert response.json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
        assert Client().get(f"{path}?token=phc_unknown").status_code == 401


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
EVENT_FIELDS = ["event", "distinct_id", "uuid", "properties", "timestamp", "offset", "$set", "$set_once", "$unset"]
PROPERTY_NAMES = [
    "$set", "$set_once", "$unset", "$process_person_profile", "alias", "$anon_distinct_id", "$groups", "$group_type",
    "$group_key", "$group_set", "$cookieless_mode", "$ip", "$elements_chain", "$os", "utm_source",
]  # fmt: skip
EVENTS = st.dictionaries(st.sampled_from(EVENT_FIELDS), JSON_VALUES, max_size=9).flatmap(
    lambda event: st.builds(
        lambda properties, name: {"distinct_id": "u", **event, "event": name, "properties": properties},
        st.dictionaries(st.sampled_from(PROPERTY_NAMES) | st.text(max_size=8), JSON_VALUES, max_size=8),
        st.sampled_from(["x", "$identify", "$create_alias", "$merge_dangerously", "$groupidentify", "$set", ""]),
    )
)
RANDOMLY = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@RANDOMLY
@given(events=st.lists(EVENTS, min_size=1, max_size=4), sent_at=JSON_VALUES)
def test_random_events_are_stored_or_refused(events: list[dict[str, Any]], sent_at: Any, team: Team) -> None:
    body = json.dumps({"api_key": team.api_token, "batch": events, "sent_at": sent_at}).encode()
    assert post("/batch/", body).status_code in {200, 400}


@RANDOMLY
@given(
    body=st.binary(max_size=300),
    content_type=st.sampled_from(["application/json", FORM, "text/plain", "", "multipart/form-data"]),
    query=st.sampled_from(["", "?compression=gzip", "?compression=lz64", "?compression=base64", "?data=%00%ff"]),
)
def test_random_bytes_are_refused(body: bytes, content_type: str, query: str) -> None:
    for path in ("/e/", "/flags/", "/i/v1/analytics/events"):
        assert post(path + query, body, content_type=content_type).status_code in {400, 401, 413}
