"""`/s/`: from a decoded request to stored session replay."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import transaction

from core.capture.shapes import RawEvent, Submission, Submitted, read_event
from core.outbox.services import outbox_add, outbox_nudge
from core.persons.generations import generations_lock
from core.persons.ingest import IngestionWarning, IngestTeam
from core.recordings.blocks import Block, Snapshots, blocks_of
from core.recordings.services import blobs_drop, blobs_put, recording_rows
from core.tenancy.holding import TeamGoneError, team_hold
from events.rows import Row, Table, warning_row

MAX_ITEM_BYTES: Final = 20 * 1024 * 1024
"""Of one snapshot's JSON."""
MAX_SESSION_ID: Final = 70
MAX_WINDOW_ID: Final = 200
MAX_SOURCE: Final = 40
_NAMES: Final = frozenset({"$snapshot", "$snapshot_items"})
_ITEMS: Final = ("$snapshot_data", "$snapshot_items")
_DEFAULT_SOURCE: Final = "web"
_MAX_QUOTE: Final = 300


@dataclass(slots=True)
class Reading:
    """What a request holds: snapshots to store, and what is to be told about the rest."""

    snapshots: list[Snapshots] = field(default_factory=list)
    warnings: list[IngestionWarning] = field(default_factory=list)


def recordings_read(submission: Submission) -> Reading:
    """Check every event of a request as v0 does, and take out its snapshots.

    Events without a usable session id or without snapshots, and such as are no snapshots at all, are dropped with
    a warning. Raises Refusal for what would make any v0 request fail.
    """
    reading = Reading()
    for raw in submission.events:
        _read(raw, reading)
    return reading


def _read(raw: RawEvent, reading: Reading) -> None:
    event = read_event(raw)
    properties = event.properties
    if event.event not in _NAMES:
        _warn(reading, event, "replay_event_is_no_snapshot", {})
        return
    if properties.get("$cookieless_mode") is True:
        return
    session_id = properties.get("$session_id")
    if not isinstance(session_id, str) or not _is_session_id(session_id):
        _warn(reading, event, "replay_session_id_invalid", {"$session_id": _brief(session_id)})
        return
    found = next((properties[name] for name in _ITEMS if properties.get(name) is not None), None)
    items = [found] if isinstance(found, dict) else found
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        _warn(reading, event, "replay_snapshot_data_invalid", {"$session_id": session_id})
        return
    pairs = [(item, line) for item in items if len(line := orjson.dumps(item)) <= MAX_ITEM_BYTES]
    if len(pairs) < len(items):
        details = {"$session_id": session_id, "dropped": len(items) - len(pairs)}
        _warn(reading, event, "replay_message_too_large", details)
    window_id, source = properties.get("$window_id"), properties.get("$snapshot_source")
    reading.snapshots.append(
        Snapshots(
            event_uuid=event.uuid,
            session_id=session_id,
            window_id=window_id[:MAX_WINDOW_ID] if isinstance(window_id, str) and window_id else session_id,
            distinct_id=event.distinct_id,
            source=source[:MAX_SOURCE] if isinstance(source, str) and source else _DEFAULT_SOURCE,
            items=[item for item, _ in pairs],
            lines=[line for _, line in pairs],
        )
    )


def _is_session_id(text: str) -> bool:
    """Tell what may be a session id: posthog-js before 1.73 made others than UUIDs, of the same alphabet."""
    return 0 < len(text) <= MAX_SESSION_ID and text.isascii() and text.replace("-", "").isalnum()


def _warn(reading: Reading, event: Submitted, kind: str, details: dict[str, Any]) -> None:
    named = {"eventUuid": str(event.uuid), "event": event.event, "distinctId": event.distinct_id, **details}
    reading.warnings.append(IngestionWarning(type=kind, details=named))


def _brief(value: Any) -> str | None:  # noqa: ANN401 any JSON value
    return None if value is None else orjson.dumps(value).decode()[:_MAX_QUOTE]


def recordings_ingest(*, team: IngestTeam, reading: Reading, now: datetime) -> None:
    """Store what a request holds; when this returns it is durable.

    Recordings make no persons. Each block belongs to the present life of its distinct id, which cannot end before
    the block is committed. Raises BlobStoreUnavailable when blobs go to S3 and it is away, and TeamGoneError when the
    project was deleted since.
    """
    blocks = blocks_of(reading.snapshots, now=now)
    if not blocks and not reading.warnings:
        return
    keys = blobs_put(team_id=team.id, blocks=blocks)
    try:
        _store(team, blocks, keys, reading, now)
    except TeamGoneError:
        # The deletion job may have looked for blobs of the project already.
        blobs_drop(keys)
        raise


def _store(
    team: IngestTeam, blocks: Sequence[Block], keys: Mapping[UUID, str], reading: Reading, now: datetime
) -> None:
    with transaction.atomic():
        team_hold(team.id)
        rows: dict[str, list[Row]] = {}
        if blocks:
            distinct_ids = {block.distinct_id for block in blocks}
            generations, clock = generations_lock(team_id=team.id, distinct_ids=distinct_ids)
            rows = recording_rows(team_id=team.id, blocks=blocks, keys=keys, generations=generations, created_at=clock)
        rows[Table.INGESTION_WARNINGS] = _warning_rows(team.id, reading.warnings, now)
        outbox_add(rows)
        transaction.on_commit(outbox_nudge)


def _warning_rows(team_id: int, warnings: Iterable[IngestionWarning], now: datetime) -> list[Row]:
    return [
        warning_row(
            team_id=team_id,
            source="persons-api",
            type=warning.type,
            details=orjson.dumps(warning.details).decode(),
            timestamp=now,
        )
        for warning in warnings
    ]
