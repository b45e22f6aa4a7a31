"""The body shapes of v0 (batch, array, single, engage), and what an event in them must have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from core.api.uuids import new_uuid
from core.capture.refusals import malformed, token_invalid, token_missing, tokens_inconsistent, too_big

MAX_EVENT_BYTES = 1024 * 1024
MAX_NAME = 200
MAX_DISTINCT_ID = 200
_MAX_TOKEN = 64
_TOKEN_KEYS = ("api_key", "token", "$token")
_NAMELESS = "event submitted with an empty event name"
_HYDRATION = "failed to hydrate events from request: "

type RawEvent = dict[str, Any]


@dataclass(slots=True)
class Submission:
    """A request taken apart: raw events of one project, none of them looked into yet."""

    token: str
    events: list[RawEvent]
    sent_at: Any
    historical_migration: bool


@dataclass(slots=True)
class Submitted:
    """One valid event as the client sent it. `properties` belongs to the receiver, who may change it."""

    uuid: UUID
    event: str
    distinct_id: str
    properties: dict[str, Any]
    timestamp: Any = None
    offset: Any = None
    set: Any = None
    set_once: Any = None
    unset: Any = None


def read_submission(document: Any, *, form_token: str | None = None) -> Submission:  # noqa: ANN401 any JSON value
    """Recognise the shape, find the one token, and drop what is not an event of ours."""
    batch_token: Any = None
    sent_at: Any = None
    historical = False
    if isinstance(document, list):
        events = document
    elif not isinstance(document, dict):
        raise malformed(_HYDRATION + "expected an object or an array")
    elif "batch" in document:
        events = document["batch"]
        batch_token = _first(document, _TOKEN_KEYS)
        sent_at = document.get("sent_at")
        historical = document.get("historical_migration") is True
    else:
        events = [document]
    if not isinstance(events, list):
        raise malformed(_HYDRATION + "batch must be an array")
    if not events:
        message = "request holds no event"
        raise malformed(message)
    for event in events:
        if not isinstance(event, dict):
            raise malformed(_HYDRATION + "an event must be an object")
    token = batch_token if batch_token is not None else _token_of_events(events)
    token = checked_token(token if token is not None else form_token)
    kept = [event for event in events if event.get("event") != "$performance_event"]
    if not kept:
        message = "payload empty after filtering invalid event types"
        raise malformed(message)
    return Submission(token=token, events=kept, sent_at=sent_at, historical_migration=historical)


def _first(source: dict[str, Any], names: Sequence[str]) -> Any:  # noqa: ANN401 any JSON value
    for name in names:
        value = source.get(name)
        if value is not None:
            return value
    return None


def _token_of_events(events: list[RawEvent]) -> Any:  # noqa: ANN401 any JSON value
    found: Any = None
    for event in events:
        token = _first(event, _TOKEN_KEYS)
        if token is None:
            properties = event.get("properties")
            token = properties.get("token") if isinstance(properties, dict) else None
        if token is None:
            continue
        if found is None:
            found = token
        elif token != found:
            raise tokens_inconsistent()
    return found


def checked_token(token: Any) -> str:  # noqa: ANN401 any JSON value
    """Return the trimmed token if it can be a project's."""
    if token is None:
        raise token_missing()
    if not isinstance(token, str):
        reason = "not_a_string"
        raise token_invalid(reason)
    trimmed: str = token.strip()
    for broken, reason in (
        (not trimmed, "empty"),
        (len(trimmed) > _MAX_TOKEN, "too_long"),
        # NUL was already replaced by U+FFFD while decoding, so that only the replacement can be seen here.
        ("\x00" in trimmed or "\ufffd" in trimmed, "null_byte"),
        (not trimmed.isascii(), "not_ascii"),
        (trimmed.startswith("phx_"), "personal_api_key"),
    ):
        if broken:
            raise token_invalid(reason)
    return trimmed


def read_events(submission: Submission, *, engage: bool, check_size: bool) -> list[Submitted]:
    """Validate all events; the first bad one refuses the whole request, as v0 promises."""
    if check_size:
        for raw in submission.events:
            if len(orjson.dumps(raw)) > MAX_EVENT_BYTES:
                detail = f"an event is larger than {MAX_EVENT_BYTES} bytes"
                raise too_big(detail)
    return [read_event(raw, engage=engage) for raw in submission.events]


def read_event(raw: RawEvent, *, engage: bool = False) -> Submitted:
    """Validate one event of v0 and bring its name and ids into their stored form."""
    properties = raw.get("properties")
    if properties is None:
        properties = {}
    elif not isinstance(properties, dict):
        raise malformed(_HYDRATION + "properties must be an object")
    mode = properties.get("$cookieless_mode")
    if mode is not None and not isinstance(mode, bool):
        message = "event submitted with invalid cookieless mode"
        raise malformed(message)
    return Submitted(
        uuid=_uuid(raw.get("uuid")),
        event=_name(raw.get("event"), engage=engage),
        distinct_id=_distinct_id(raw, properties),
        properties=properties,
        timestamp=raw.get("timestamp"),
        offset=raw.get("offset"),
        set=raw.get("$set"),
        set_once=raw.get("$set_once"),
        unset=raw.get("$unset"),
    )


def _name(name: Any, *, engage: bool) -> str:  # noqa: ANN401 any JSON value
    if name is None:
        if engage:
            return "$identify"
        raise malformed(_HYDRATION + "missing field `event`")
    text: str = name if isinstance(name, str) else orjson.dumps(name).decode()
    if not text:
        raise malformed(_NAMELESS)
    return text[:MAX_NAME]


def _distinct_id(raw: RawEvent, properties: dict[str, Any]) -> str:
    for value in (raw.get("distinct_id"), raw.get("$distinct_id"), properties.get("distinct_id")):
        if value is None or value == "":
            continue
        text: str = value if isinstance(value, str) else orjson.dumps(value).decode()
        if text.strip():
            return text[:MAX_DISTINCT_ID]
    message = "event submitted without a distinct_id"
    raise malformed(message)


def _uuid(value: Any) -> UUID:  # noqa: ANN401 any JSON value
    if value is None or value == "":
        return new_uuid()
    uuid = parse_uuid(value)
    if uuid is None:
        raise malformed(_HYDRATION + "uuid is not a UUID")
    return uuid


def parse_uuid(value: Any) -> UUID | None:  # noqa: ANN401 any JSON value
    """Return the UUID that a text names, or None."""
    if not isinstance(value, str) or not value.isascii():
        return None
    try:
        return UUID(value)
    except ValueError:
        return None
