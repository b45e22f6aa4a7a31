import gzip
import zlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import brotli  # type: ignore[import-untyped]  # ships no stubs
import orjson
import pytest
import zstandard

from core.outbox.models import OutboxRows
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.capture.helpers import event_names, post, properties_of, rows

pytestmark = pytest.mark.django_db
PATH = "/i/v1/analytics/events"
CREATED_AT = "2024-05-01T12:00:00.000Z"
REQUEST_ID = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def headers_of(team: Team, **changed: str | None) -> dict[str, Any]:
    headers = {
        "HTTP_AUTHORIZATION": f"Bearer {team.api_token}",
        "HTTP_USER_AGENT": "posthog-python/7.91.1",
        "HTTP_POSTHOG_SDK_INFO": "posthog-python/7.91.1",
        "HTTP_POSTHOG_ATTEMPT": "1",
        "HTTP_POSTHOG_REQUEST_ID": REQUEST_ID,
        "HTTP_POSTHOG_REQUEST_TIMESTAMP": CREATED_AT,
        **changed,
    }
    return {name: value for name, value in headers.items() if value is not None}


def event_of(**changed: Any) -> dict[str, Any]:
    event = {
        "event": "x",
        "uuid": str(uuid4()),
        "distinct_id": "u",
        "timestamp": CREATED_AT,
        "properties": {},
        **changed,
    }
    return {key: value for key, value in event.items() if value is not None}


def send(team: Team, *events: Any, path: str = PATH, **headers: str | None) -> Any:
    return post(path, {"created_at": CREATED_AT, "batch": list(events)}, **headers_of(team, **headers))


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_batch_is_stored_and_told_by_event(path: str, team: Team) -> None:
    events = [event_of(properties={"$set": {"a": 1}}), event_of(event="y", session_id="s", window_id="w")]
    response = send(team, *events, path=path)
    assert response.status_code == 200
    assert response["PostHog-Request-Id"] == REQUEST_ID
    results = response.json()["results"]
    assert list(results) == [event["uuid"] for event in events]
    assert set(map(str, results.values())) == {"{'result': 'ok'}"}
    assert event_names() == ["x", "y"]
    stored = orjson.loads(rows("events")[1]["properties"])
    assert (stored["$session_id"], stored["$window_id"]) == ("s", "w")
    assert (stored["$lib"], stored["$lib_version"]) == ("posthog-python", "7.91.1")
    assert properties_of("u") == {"a": 1}


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("br", brotli.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
    ],
)
def test_every_encoding(encoding: str, compress: Callable[[bytes], bytes], team: Team, settings: Any) -> None:
    headers = headers_of(team, HTTP_CONTENT_ENCODING=encoding)
    body = compress(orjson.dumps({"created_at": CREATED_AT, "batch": [event_of()]}))
    assert post(PATH, body, **headers).status_code == 200
    assert event_names() == ["x"]
    assert_error(post(PATH, b"rubbish, surely", **headers), 400, "request_decoding_error")
    settings.CAPTURE_MAX_DECOMPRESSED_BYTES = 1000
    assert_error(post(PATH, compress(b" " * 5_000_000), **headers), 413, "payload_too_large")


def assert_error(response: Any, status: int, tag: str) -> None:
    assert response.status_code == status
    body = response.json()
    assert set(body) == {"error", "error_description", "error_uri"}
    assert body["error"] == tag


@pytest.mark.parametrize(
    ("changed", "status", "tag"),
    [
        ({"HTTP_AUTHORIZATION": None}, 401, "missing_authorization"),
        ({"HTTP_AUTHORIZATION": "Basic eDp5"}, 401, "invalid_api_token"),
        ({"HTTP_AUTHORIZATION": "Bearer phc_unknown"}, 401, "invalid_api_token"),
        ({"HTTP_AUTHORIZATION": "Bearer phx_personal"}, 401, "invalid_api_token"),
        ({"HTTP_AUTHORIZATION": "Bearer"}, 401, "invalid_api_token"),
        ({"HTTP_USER_AGENT": None}, 400, "missing_required_headers"),
        ({"HTTP_POSTHOG_SDK_INFO": None}, 400, "missing_required_headers"),
        ({"HTTP_POSTHOG_ATTEMPT": None}, 400, "missing_required_headers"),
        ({"HTTP_POSTHOG_REQUEST_ID": None}, 400, "missing_required_headers"),
        ({"HTTP_POSTHOG_REQUEST_TIMESTAMP": None}, 400, "missing_required_headers"),
        ({"HTTP_POSTHOG_ATTEMPT": "0"}, 400, "invalid_header_value"),
        ({"HTTP_POSTHOG_ATTEMPT": "first"}, 400, "invalid_header_value"),
        ({"HTTP_POSTHOG_REQUEST_ID": "x"}, 400, "invalid_header_value"),
        ({"HTTP_POSTHOG_REQUEST_TIMESTAMP": "today"}, 400, "invalid_header_value"),
        ({"HTTP_CONTENT_ENCODING": "compress"}, 415, "unsupported_encoding"),
        ({"content_type": "text/plain"}, 415, "unsupported_content_type"),
    ],
)
def test_wrong_headers(changed: dict[str, str | None], status: int, tag: str, team: Team) -> None:
    assert_error(send(team, event_of(), **changed), status, tag)
    assert not OutboxRows.objects.exists()


def test_scheme_case_spaces_and_content_type_parameters_do_not_matter(team: Team) -> None:
    headers = headers_of(team, HTTP_AUTHORIZATION=f" bEARER  {team.api_token} ")
    document = {"created_at": CREATED_AT, "batch": [event_of()]}
    response = post(PATH, document, **{**headers, "content_type": "application/json; charset=utf-8"})
    assert response.status_code == 200


def test_unusable_sdk_info_is_ignored(team: Team) -> None:
    assert send(team, event_of(properties={"$lib": "own"}), HTTP_POSTHOG_SDK_INFO="nothing").status_code == 200
    assert orjson.loads(rows("events")[0]["properties"])["$lib"] == "own"


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (b"", "empty_body"),
        (b"  ", "empty_body"),
        (b"{", "request_parsing_error"),
        (b"[]", "request_parsing_error"),
        (b'{"batch": 1}', "request_parsing_error"),
        ({"batch": [{}]}, "invalid_batch"),
        ({"created_at": "2024-05-01", "batch": [{}]}, "invalid_batch"),
        ({"created_at": CREATED_AT, "batch": []}, "empty_batch"),
        ({"created_at": CREATED_AT, "batch": [1]}, "request_parsing_error"),
        ({"created_at": CREATED_AT, "batch": [{"event": "x"}]}, "missing_event_uuid"),
        ({"created_at": CREATED_AT, "batch": [event_of(uuid="x")]}, "invalid_event_uuid"),
        ({"created_at": CREATED_AT, "batch": [event_of(uuid=REQUEST_ID)] * 2}, "duplicate_event_uuid"),
    ],
)
def test_wrong_bodies(body: Any, tag: str, team: Team) -> None:
    # The test client leaves the content type of an empty body out.
    response = post(PATH, body, CONTENT_TYPE="application/json", **headers_of(team))
    assert_error(response, 400, tag)
    assert response["PostHog-Request-Id"] == REQUEST_ID
    assert not OutboxRows.objects.exists()


@pytest.mark.parametrize(
    ("changed", "details"),
    [
        ({"event": ""}, "missing_event_name"),
        ({"event": None}, "missing_event_name"),
        ({"event": "n" * 201}, "event_name_too_long"),
        ({"distinct_id": " "}, "missing_distinct_id"),
        ({"distinct_id": None}, "missing_distinct_id"),
        ({"distinct_id": "d" * 201}, "distinct_id_too_large"),
        ({"timestamp": "2024-05-01"}, "invalid_event_timestamp"),
        ({"timestamp": "2024-13-01T00:00:00Z"}, "invalid_event_timestamp"),
        ({"timestamp": None}, "invalid_event_timestamp"),
        ({"properties": []}, "malformed_event_properties"),
        ({"options": []}, "invalid_options"),
        ({"options": {"process_person_profile": "maybe"}}, "invalid_options"),
        ({"options": {"product_tour_id": 5}}, "invalid_options"),
        ({"properties": {"v": "x" * 1_100_000}}, "event_too_large"),
    ],
)
def test_a_bad_event_is_dropped_and_its_neighbours_are_kept(changed: dict[str, Any], details: str, team: Team) -> None:
    bad = event_of(**changed)
    response = send(team, event_of(event="before"), bad, event_of(event="after"))
    assert response.status_code == 200
    assert response.json()["results"][bad["uuid"]] == {"result": "drop", "details": details}
    assert event_names() == ["before", "after"]


@pytest.mark.parametrize("off", [False, "false", "0", 0])
def test_options_become_properties(off: Any, team: Team) -> None:
    options = {"process_person_profile": off, "disable_skew_correction": "true", "product_tour_id": "t", "other": 1}
    send(team, event_of(options=options, timestamp="2024-05-01T10:00:00+02:00"))
    row = rows("events")[0]
    stored = orjson.loads(row["properties"])
    assert stored["$process_person_profile"] is False
    assert stored["$ignore_sent_at"] is True
    assert stored["$product_tour_id"] == "t"
    assert row["timestamp"].startswith("2024-05-01 08:00:00")
    assert not Person.unscoped.exists()


@pytest.mark.parametrize("distinct_id", ["null", "Anonymous", " user ", "0", "[object Object]"])
def test_placeholder_ids_make_no_person(distinct_id: str, team: Team) -> None:
    event = event_of(distinct_id=distinct_id, properties={"$set": {"a": 1}})
    result = send(team, event).json()["results"][event["uuid"]]
    assert result == {"result": "warning", "details": "person_processing_disabled"}
    assert rows("events")[0]["person_mode"] == "propertyless"
    assert not Person.unscoped.exists()
