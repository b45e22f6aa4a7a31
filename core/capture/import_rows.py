"""A record of a file becomes events: the capture shapes, and the rows that PostHog itself exports."""

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from core.capture.import_files import Record, RowRefusedError, read_json
from core.capture.normalise import Intake, normalise_event
from core.capture.refusals import Refusal
from core.capture.shapes import MAX_EVENT_BYTES, RawEvent, Submitted, read_event
from core.capture.timestamps import parse_time
from core.persons.ingest import NewEvent

IMPORT_NAMESPACE: Final = UUID("6f0d0ab5-3d0d-4c6e-9a53-54a2fb1f1f0e")
_TIME_PROBLEMS: Final = frozenset({"ignored_invalid_timestamp", "event_timestamp_in_future"})
_PREFIX: Final = "failed to hydrate events from request: "
_OBJECT_COLUMNS: Final = {"set": "$set", "set_once": "$set_once", "$set": "$set", "$set_once": "$set_once"}
_PROPERTY_COLUMNS: Final = {"elements_chain": "$elements_chain", "elements": "$elements", "ip": "$ip"}


class Occurrences:
    """Names rows that came without a uuid by their content, so that the same file always gives the same uuids.

    Equal rows are told apart by their number. What was seen is kept in a temporary file of SQLite that
    vanishes with the process: memory stays bounded however long the import is.
    """

    def __init__(self) -> None:
        self._seen = sqlite3.connect("", isolation_level=None)
        self._seen.execute("PRAGMA synchronous = OFF")
        self._seen.execute("CREATE TABLE seen (content BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._seen.execute("BEGIN")

    def uuid_of(self, event: Submitted) -> UUID:
        """Return the uuid of this occurrence of an event."""
        try:
            moment = parse_time(event.timestamp).isoformat()
        except ValueError as error:
            message = f"timestamp: {error}"
            raise RowRefusedError(message) from error
        content = [event.event, event.distinct_id, moment, event.properties, event.set, event.set_once, event.unset]
        digest = blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        [times] = self._seen.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (content) DO UPDATE SET times = times + 1 RETURNING times",
            [digest],
        ).fetchone()
        return uuid5(IMPORT_NAMESPACE, f"{digest.hex()}:{times}")

    def close(self) -> None:
        """Forget everything."""
        self._seen.close()


def events_of(record: Record, occurrences: Occurrences) -> Iterator[Submitted | RowRefusedError]:
    """Yield the events of a record in order; a refused one never takes its neighbours with it."""
    try:
        document = record.document()
    except RowRefusedError as refused:
        yield refused
        return
    if isinstance(document, dict) and "batch" in document:
        document = document["batch"]
    if not isinstance(document, list):
        yield _read(document, record, occurrences)
        return
    for number, item in enumerate(document, start=1):
        event = _read(item, record, occurrences)
        yield RowRefusedError(f"event {number} of {len(document)}: {event}") if isinstance(event, Exception) else event


def _read(item: Any, record: Record, occurrences: Occurrences) -> Submitted | RowRefusedError:  # noqa: ANN401 any JSON value
    try:
        raw = capture_shape(item)
        if record.size > MAX_EVENT_BYTES and len(orjson.dumps(raw)) > MAX_EVENT_BYTES:
            return RowRefusedError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        event = read_event(raw)
        if raw.get("uuid") in (None, ""):
            event.uuid = occurrences.uuid_of(event)
    except RowRefusedError as refused:
        return refused
    except Refusal as refused:
        return RowRefusedError(refused.detail.removeprefix(_PREFIX))
    return event


def capture_shape(item: Any) -> RawEvent:  # noqa: ANN401 any JSON value
    """Return the event as an SDK would have sent it; ids of the exporting project mean nothing here."""
    if not isinstance(item, dict):
        raise RowRefusedError("an event must be a JSON object")
    raw: RawEvent = {name: item.get(name) for name in ("uuid", "event", "timestamp", "$unset")}
    if raw["timestamp"] in (None, ""):
        raise RowRefusedError("no timestamp")
    raw["distinct_id"] = item.get("distinct_id") or item.get("$distinct_id")
    properties = _object(item.get("properties"), "properties")
    for column, name in _PROPERTY_COLUMNS.items():
        value = item.get(column)
        if column == "elements" and isinstance(value, str) and value:
            value = read_json(value)
        if value and name not in properties:
            properties[name] = value
    raw["properties"] = properties
    for column, name in _OBJECT_COLUMNS.items():
        if item.get(column):
            raw[name] = _object(item[column], column)
    return raw


def _object(value: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 any JSON value
    if isinstance(value, str) and value:
        value = read_json(value)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        message = f"{name} is not a JSON object"
        raise RowRefusedError(message)
    return value


def normalised(event: Submitted, intake: Intake) -> NewEvent | None:
    """Normalise as capture does, but refuse what capture would store at another time than the row says."""
    before = len(intake.warnings)
    new = normalise_event(event, intake)
    for warning in intake.warnings[before:]:
        if warning.type in _TIME_PROBLEMS:
            del intake.warnings[before:]
            reason = warning.details.get("reason", "more than 23 hours in the future")
            message = f"timestamp: {reason}"
            raise RowRefusedError(message)
    return new
