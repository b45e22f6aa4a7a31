"""Protocol v1: POST /i/v1/analytics/events, with a result for each event and its own error form."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core.capture.compression import OutputTooLarge, brotli_decode, gunzip, inflate, zstd_decode
from core.capture.decoding import read_body
from core.capture.documents import read_document
from core.capture.http import client_ip, json_response, public_view
from core.capture.normalise import Intake, normalise_event
from core.capture.refusals import Refusal, too_big
from core.capture.shapes import (
    MAX_DISTINCT_ID,
    MAX_EVENT_BYTES,
    MAX_NAME,
    RawEvent,
    Submitted,
    checked_token,
    parse_uuid,
)
from core.capture.timestamps import Clock, parse_time
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.tenancy.tokens import team_by_token

_BODY_BYTES = 20 * 1024 * 1024
_ERROR_URI = "https://posthog.com/docs/api/capture"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": gunzip,
    "deflate": inflate,
    "br": brotli_decode,
    "zstd": zstd_decode,
}
_REQUIRED_HEADERS = (
    "CONTENT_TYPE",
    "HTTP_USER_AGENT",
    "HTTP_POSTHOG_SDK_INFO",
    "HTTP_POSTHOG_ATTEMPT",
    "HTTP_POSTHOG_REQUEST_ID",
    "HTTP_POSTHOG_REQUEST_TIMESTAMP",
)
# v0 and refusals of shared code have other names for the same things.
_TAGS = {
    "invalid_payload": "request_parsing_error",
    "invalid_api_key": "invalid_api_token",
    "missing_api_key": "missing_authorization",
    "request_timeout": "body_read_timeout",
    "error": "internal_error",
}
_PLACEHOLDER_WORDS = (
    "0 anonymous anonymous-user backend distinct_id distinctid email false guest id nan none "
    "not_authenticated null system true undefined user"
)
_PLACEHOLDER_IDS = frozenset({str(UUID(int=0)), "[object object]", *_PLACEHOLDER_WORDS.split()})
_FLAGS = {True: True, False: False, "true": True, "1": True, "false": False, "0": False}


class Drop(Exception):  # noqa: N818 a result, not an error
    """One event is dropped, the others are not."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of v1, checked."""

    token: str
    sent_at: datetime
    lib: str | None
    lib_version: str | None


def failure(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Answer a refusal in v1's own form."""
    body = {
        "error": _TAGS.get(refusal.code, refusal.code),
        "error_description": refusal.detail,
        "error_uri": _ERROR_URI,
    }
    return _with_request_id(request, json_response(body, refusal.status))


@public_view("POST", failure=failure)
def events(request: HttpRequest) -> HttpResponse:
    """Store a batch and tell for each event what became of it."""
    now = datetime.now(UTC)
    headers = _read_headers(request)
    team = _team(headers.token)
    raw_events, size, historical = _read_batch(request)
    uuids = _read_uuids(raw_events)
    clock = Clock(now=now, sent_at=headers.sent_at)
    intake = Intake(team=team, clock=clock, ip=client_ip(request), historical_migration=historical)
    results: dict[str, dict[str, str]] = {}
    stored: list[NewEvent] = []
    for raw, uuid in zip(raw_events, uuids, strict=True):
        try:
            submitted, result = _read_event(raw, uuid, headers, check_size=size > MAX_EVENT_BYTES)
        except Drop as drop:
            result = {"result": "drop", "details": str(drop)}
        else:
            new = normalise_event(submitted, intake)
            if new is not None:
                stored.append(new)
        results[raw["uuid"]] = result
    if stored or intake.warnings:
        events_ingest(team=team, events=stored, warnings=intake.warnings)
    return _with_request_id(request, json_response({"results": results}))


def _read_headers(request: HttpRequest) -> Headers:
    meta = request.META
    authorization = meta.get("HTTP_AUTHORIZATION", "").strip()
    if not authorization:
        raise Refusal(401, "missing_authorization", "the Authorization header is missing")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(401, "invalid_api_token", "the Authorization header must be `Bearer <project token>`")
    token = checked_token(token)
    missing = [name for name in _REQUIRED_HEADERS if not meta.get(name, "").strip()]
    if missing:
        names = ", ".join(name.removeprefix("HTTP_").replace("_", "-").title() for name in missing)
        raise Refusal(400, "missing_required_headers", f"missing headers: {names}")
    if meta["CONTENT_TYPE"].partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "unsupported_content_type", "the body must be application/json")
    attempt = meta["HTTP_POSTHOG_ATTEMPT"].strip()
    if not (attempt.isascii() and attempt.isdigit() and attempt.strip("0")):
        raise _invalid_header("PostHog-Attempt must be an integer from 1")
    if parse_uuid(meta["HTTP_POSTHOG_REQUEST_ID"].strip()) is None:
        raise _invalid_header("PostHog-Request-Id must be a UUID")
    sent_at = _rfc3339(meta["HTTP_POSTHOG_REQUEST_TIMESTAMP"].strip())
    if sent_at is None:
        raise _invalid_header("PostHog-Request-Timestamp must be an RFC 3339 time")
    lib, slash, version = meta["HTTP_POSTHOG_SDK_INFO"].strip().rpartition("/")
    usable = bool(lib and slash and version)
    return Headers(token=token, sent_at=sent_at, lib=lib if usable else None, lib_version=version if usable else None)


def _invalid_header(detail: str) -> Refusal:
    return Refusal(400, "invalid_header_value", detail)


def _team(token: str) -> IngestTeam:
    found = team_by_token(token)
    if found is None:
        raise Refusal(401, "invalid_api_token", "unknown project token")
    return IngestTeam(**found._asdict())


def _read_batch(request: HttpRequest) -> tuple[list[Any], int, bool]:
    body = _decompressed(request)
    if not body.strip():
        raise Refusal(400, "empty_body", "the body is empty")
    document = read_document(body)
    if not isinstance(document, dict) or not isinstance(document.get("batch"), list):
        raise Refusal(400, "request_parsing_error", "the body must be an object with an array `batch`")
    if _rfc3339(document.get("created_at")) is None:
        raise Refusal(400, "invalid_batch", "created_at must be an RFC 3339 time")
    if not document["batch"]:
        raise Refusal(400, "empty_batch", "the batch is empty")
    return document["batch"], len(body), document.get("historical_migration") is True


def _decompressed(request: HttpRequest) -> bytes:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity") and encoding not in _DECODERS:
        raise Refusal(415, "unsupported_encoding", "Content-Encoding must be gzip, deflate, br or zstd")
    body = read_body(request, _BODY_BYTES)
    decoder = _DECODERS.get(encoding)
    if decoder is None or not body:
        return body
    try:
        return decoder(body, settings.CAPTURE_MAX_DECOMPRESSED_BYTES)
    except OutputTooLarge as error:
        raise too_big(str(error)) from error
    except ValueError as error:
        raise Refusal(400, "request_decoding_error", f"the body is no valid {encoding} data") from error


def _read_uuids(raw_events: list[Any]) -> list[UUID]:
    """Check the uuids of all events first, since the results are told by them."""
    uuids: dict[UUID, None] = {}
    for raw in raw_events:
        if not isinstance(raw, dict):
            raise Refusal(400, "request_parsing_error", "an event must be an object")
        text = raw.get("uuid")
        if text is None or text == "":
            raise Refusal(400, "missing_event_uuid", "an event has no uuid")
        uuid = parse_uuid(text)
        if uuid is None:
            raise Refusal(400, "invalid_event_uuid", "an event's uuid is not a UUID")
        if uuid in uuids:
            raise Refusal(400, "duplicate_event_uuid", f"the uuid {uuid} stands twice in the batch")
        uuids[uuid] = None
    return list(uuids)


def _read_event(raw: RawEvent, uuid: UUID, headers: Headers, *, check_size: bool) -> tuple[Submitted, dict[str, str]]:
    name = _required_text(raw.get("event"), "missing_event_name", "event_name_too_long", MAX_NAME)
    distinct_id = _required_text(
        raw.get("distinct_id"), "missing_distinct_id", "distinct_id_too_large", MAX_DISTINCT_ID
    )
    timestamp = raw.get("timestamp")
    if _rfc3339(timestamp) is None:
        message = "invalid_event_timestamp"
        raise Drop(message)
    properties = raw.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        message = "malformed_event_properties"
        raise Drop(message)
    if check_size and len(orjson.dumps(raw)) > MAX_EVENT_BYTES:
        message = "event_too_large"
        raise Drop(message)
    properties.update(_options(raw.get("options")))
    for key in ("session_id", "window_id"):
        if raw.get(key) is not None:
            properties[f"${key}"] = raw[key]
    if headers.lib is not None:
        properties["$lib"] = headers.lib
        properties["$lib_version"] = headers.lib_version
    result = {"result": "ok"}
    if distinct_id.strip().lower() in _PLACEHOLDER_IDS:
        properties["$process_person_profile"] = False
        result = {"result": "warning", "details": "person_processing_disabled"}
    submitted = Submitted(uuid=uuid, event=name, distinct_id=distinct_id, properties=properties, timestamp=timestamp)
    return submitted, result


def _required_text(value: Any, missing: str, too_long: str, limit: int) -> str:  # noqa: ANN401 any JSON value
    if not isinstance(value, str) or not value.strip():
        raise Drop(missing)
    if len(value) > limit:
        raise Drop(too_long)
    return value


def _options(options: Any) -> dict[str, Any]:  # noqa: ANN401 any JSON value
    """Turn v1's options into the properties that v0 clients send; keys we do not know are ignored."""
    if options is None:
        return {}
    message = "invalid_options"
    if not isinstance(options, dict):
        raise Drop(message)
    found: dict[str, Any] = {}
    for key, name in (
        ("cookieless_mode", "$cookieless_mode"),
        ("disable_skew_correction", "$ignore_sent_at"),
        ("process_person_profile", "$process_person_profile"),
    ):
        value = options.get(key)
        if value is None:
            continue
        flag = _flag(value)
        if flag is None:
            raise Drop(message)
        found[name] = flag
    tour = options.get("product_tour_id")
    if tour is not None:
        if not isinstance(tour, str):
            raise Drop(message)
        found["$product_tour_id"] = tour
    return found


def _flag(value: Any) -> bool | None:  # noqa: ANN401 any JSON value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value != 0
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return None


def _rfc3339(value: Any) -> datetime | None:  # noqa: ANN401 any JSON value
    if not isinstance(value, str) or not _RFC3339.match(value):
        return None
    try:
        return parse_time(value.upper())
    except ValueError:
        return None


def _with_request_id(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    uuid = parse_uuid(request.META.get("HTTP_POSTHOG_REQUEST_ID", "").strip())
    if uuid is not None:
        response["PostHog-Request-Id"] = str(uuid)
    return response
