"""Random streams of events for the tests that hold an insight's SQL to its oracle.

A stream has a few persons with several distinct ids. Some distinct ids moved to another person after their events
were stored (merges and splits), and some have events of an earlier life. Times come from a few moments and a few
distances, so that ties, repeats and events exactly on a bound are frequent, and lists are not in the order of time.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson
from hypothesis import strategies as st

from events import client
from events.insights.source import Owner
from events.rows import Table, distinct_id_row, event_row, person_row

_NAMESPACE = UUID("018f0000-0000-7000-8000-000000000000")
_teams = itertools.count(1_000_000)
_tokens = itertools.count()
PERSONS = tuple(uuid5(_NAMESPACE, f"person {number}") for number in range(4))
DISTINCT_IDS = tuple(f"id {number}" for number in range(6))
TICK = timedelta(microseconds=1)
DISTANCES = (
    timedelta(0),
    TICK,
    timedelta(seconds=1),
    timedelta(minutes=30) - TICK,
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=23),
    timedelta(days=1),
    timedelta(days=1) + TICK,
    timedelta(days=3),
    timedelta(days=7),
    timedelta(days=14),
    timedelta(days=31),
)


@dataclass(frozen=True)
class StreamEvent:
    """One event as it is stored; `generation` 0 of a distinct id that lives its second life is an earlier life."""

    uuid: UUID
    event: str
    distinct_id: str
    timestamp: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0


@dataclass(frozen=True)
class Stream:
    """Events, and who owns each distinct id now: `moved` to another person, or `reborn` in a second life."""

    events: tuple[StreamEvent, ...]
    moved: Mapping[str, UUID]
    reborn: frozenset[str]
    created_at: Mapping[UUID, datetime]
    person_properties: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)

    def owner(self, event: StreamEvent) -> UUID | None:
        """Return the person that an event counts for; None when it belongs to an earlier life."""
        if event.generation != (event.distinct_id in self.reborn):
            return None
        return self.moved.get(event.distinct_id, _first_owner(event.distinct_id))

    def by_actor(self) -> dict[str, list[StreamEvent]]:
        """Return the events of each actor (UUID text) in order of timestamp, then uuid as a number."""
        found: dict[str, list[StreamEvent]] = {}
        for event in sorted(self.events, key=lambda one: (one.timestamp, one.uuid.int)):
            if (owner := self.owner(event)) is not None:
                found.setdefault(str(owner), []).append(event)
        return found


def _first_owner(distinct_id: str) -> UUID:
    return PERSONS[DISTINCT_IDS.index(distinct_id) % len(PERSONS)]


def moments(begin: datetime, days: int) -> st.SearchStrategy[datetime]:
    """Draw times of `begin` and some days after it, which often lie on hours and days or just beside them."""
    bases = st.integers(0, days * 24).map(lambda hours: begin + timedelta(hours=hours))
    return st.builds(
        lambda base, distance, sign: base + distance * sign, bases, st.sampled_from(DISTANCES), st.sampled_from([1, -1])
    )


@st.composite
def streams(
    draw: st.DrawFn,
    *,
    names: Sequence[str] = ("a", "b", "c"),
    properties: st.SearchStrategy[dict[str, Any]] | None = None,
    person_properties: st.SearchStrategy[dict[str, Any]] | None = None,
    begin: datetime = datetime(2024, 3, 28, tzinfo=UTC),
    days: int = 10,
    max_events: int = 24,
) -> Stream:
    """Draw a stream; `begin` is best set some days before the clocks change in the zone that is tested."""
    pool = draw(st.lists(moments(begin, days), min_size=1, max_size=8))
    reborn = frozenset(draw(st.sets(st.sampled_from(DISTINCT_IDS), max_size=2)))
    moved = draw(st.dictionaries(st.sampled_from(DISTINCT_IDS), st.sampled_from(PERSONS), max_size=4))
    given = draw(
        st.lists(
            st.builds(
                StreamEvent,
                uuid=st.uuids(),
                event=st.sampled_from(list(names)),
                distinct_id=st.sampled_from(DISTINCT_IDS),
                timestamp=st.builds(
                    lambda base, distance: base + distance, st.sampled_from(pool), st.sampled_from(DISTANCES)
                ),
                properties=properties if properties is not None else st.just({}),
                generation=st.sampled_from([0, 1, 1, 1]),
            ),
            max_size=max_events,
            unique_by=lambda event: event.uuid,
        )
    )
    events = tuple(
        event if event.distinct_id in reborn else StreamEvent(*_fields(event)[:-1], generation=0) for event in given
    )
    return Stream(
        events=events,
        moved=moved,
        reborn=reborn,
        created_at={person: draw(st.sampled_from(pool)) for person in PERSONS},
        person_properties={
            person: draw(person_properties) if person_properties is not None else {} for person in PERSONS
        },
    )


def _fields(event: StreamEvent) -> tuple[Any, ...]:
    return event.uuid, event.event, event.distinct_id, event.timestamp, event.properties, event.generation


def store(stream: Stream, *, waiting: Collection[str] = (), team_id: int | None = None) -> int:
    """Store a stream in ClickHouse as a team of its own; return the team's id. All persons have a row.

    `team_id` is a team of Postgres, for questions over HTTP. Owners of the `waiting` distinct ids are not stored: see
    `waiting_owners`.
    """
    team_id = next(_teams) if team_id is None else team_id
    owners = {distinct_id: owner for distinct_id, owner in _owners(stream).items() if distinct_id not in waiting}
    _insert(
        Table.EVENTS,
        [
            event_row(
                team_id=team_id,
                uuid=event.uuid,
                event=event.event,
                distinct_id=event.distinct_id,
                timestamp=event.timestamp,
                created_at=event.timestamp,
                properties=orjson.dumps(dict(event.properties)).decode(),
                person_id=_first_owner(event.distinct_id),
                person_created_at=event.timestamp,
                generation=event.generation,
            )
            for event in stream.events
        ],
    )
    _insert(
        Table.PERSON_DISTINCT_ID_OVERRIDES,
        [
            distinct_id_row(
                team_id=team_id,
                distinct_id=distinct_id,
                person_id=owner,
                version=1,
                generation=int(distinct_id in stream.reborn),
            )
            for distinct_id, owner in owners.items()
        ],
    )
    _insert(
        Table.PERSONS,
        [
            person_row(
                team_id=team_id,
                id=person,
                created_at=created_at,
                properties=orjson.dumps(dict(stream.person_properties.get(person, {}))).decode(),
                is_identified=True,
                version=1,
            )
            for person, created_at in stream.created_at.items()
        ],
    )
    return team_id


def waiting_owners(stream: Stream, waiting: Collection[str]) -> tuple[Owner, ...]:
    """Return the owners that wait for ClickHouse, and for each an older one that waits too."""
    return tuple(
        Owner(distinct_id, str(person), int(distinct_id in stream.reborn), version)
        for distinct_id, owner in _owners(stream).items()
        if distinct_id in waiting
        for person, version in ((owner, 2), (PERSONS[0], 1))
    )


def _owners(stream: Stream) -> dict[str, UUID]:
    moved = {distinct_id: _first_owner(distinct_id) for distinct_id in stream.reborn}
    return {**moved, **stream.moved}


def _insert(table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        client.insert_json_rows(table, b"\n".join(map(orjson.dumps, rows)), token=f"stream {next(_tokens)}")
