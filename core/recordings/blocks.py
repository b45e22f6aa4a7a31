"""Session replay snapshots as SDKs send them, gathered into blocks: the unit in which they are stored and erased."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

MAX_BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Of JSON. The snapshots of a request that exceed it are cut into several blocks; one larger than it is a block."""

_BLOCK_NAMESPACE: Final = UUID("5f3b3c5e-6c1f-4c5e-9a55-1f6d0d8a2c11")
# rrweb's numbers: an incremental snapshot (3) of a mouse interaction (2) or an input (5).
_INCREMENTAL: Final = 3
_MOUSE: Final = 2
_INPUT: Final = 5
_CLICKS: Final = frozenset({2, 3, 4, 9})
"""Click, context menu, double click, end of a touch."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one valid event: `items` are rrweb events, kept as they came, `lines` the same as JSON."""

    event_uuid: UUID
    session_id: str
    window_id: str
    distinct_id: str
    source: str
    items: Sequence[dict[str, Any]]
    lines: Sequence[bytes]


@dataclass(slots=True)
class Block:
    """Snapshots of one session, window and distinct id; `lines` is one JSON document per line."""

    uuid: UUID
    session_id: str
    window_id: str
    distinct_id: str
    source: str
    first_timestamp: datetime
    last_timestamp: datetime
    event_count: int
    click_count: int
    keypress_count: int
    lines: bytes


@dataclass(slots=True)
class _Gathering:
    """What will be one block."""

    events: dict[UUID, None] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    clicks: int = 0
    keypresses: int = 0
    first: float = math.inf
    last: float = -math.inf

    def add(self, event_uuid: UUID, item: dict[str, Any], line: bytes) -> None:
        self.events[event_uuid] = None
        self.lines.append(line)
        self.size += len(line) + 1
        at = item.get("timestamp")
        if isinstance(at, int | float) and not isinstance(at, bool) and _moment(at) is not None:
            self.first, self.last = min(self.first, at), max(self.last, at)
        data = item.get("data")
        if item.get("type") == _INCREMENTAL and isinstance(data, dict):
            self.clicks += data.get("source") == _MOUSE and data.get("type") in _CLICKS
            self.keypresses += data.get("source") == _INPUT


def blocks_of(snapshots: Iterable[Snapshots], *, now: datetime) -> list[Block]:
    """Return the blocks of a request, snapshots in the order in which they came; `now` stands in for missing times.

    The same events always make blocks with the same uuids, so that a request sent again is stored once.
    """
    by_place: dict[tuple[str, str, str, str], list[_Gathering]] = {}
    for event in snapshots:
        place = (event.session_id, event.window_id, event.distinct_id, event.source)
        gathered = by_place.setdefault(place, [_Gathering()])
        for item, line in zip(event.items, event.lines, strict=True):
            if gathered[-1].lines and gathered[-1].size + len(line) > MAX_BLOCK_BYTES:
                gathered.append(_Gathering())
            gathered[-1].add(event.event_uuid, item, line)
    return [block for place, gathered in by_place.items() for block in _blocks(place, gathered, now)]


def _blocks(place: tuple[str, str, str, str], gathered: Iterable[_Gathering], now: datetime) -> Iterator[Block]:
    session_id, window_id, distinct_id, source = place
    for number, part in enumerate(gathered):
        if not part.lines:
            continue
        name = orjson.dumps([*place, number, *map(str, part.events)]).decode()
        yield Block(
            uuid=uuid5(_BLOCK_NAMESPACE, name),
            session_id=session_id,
            window_id=window_id,
            distinct_id=distinct_id,
            source=source,
            first_timestamp=_moment(part.first) or now,
            last_timestamp=_moment(part.last) or now,
            event_count=len(part.lines),
            click_count=part.clicks,
            keypress_count=part.keypresses,
            lines=b"\n".join(part.lines) + b"\n",
        )


def _moment(milliseconds: float) -> datetime | None:
    """Return the time of an rrweb timestamp; None for what is none."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
