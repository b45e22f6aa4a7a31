"""The two projects that the statements of the corpus are asked of: one asks, the other is full of canaries."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import orjson

from events.hogql.ast import RowCondition
from events.hogql.context import Context
from events.rows import (
    Table,
    cohort_person_row,
    distinct_id_row,
    event_row,
    group_row,
    person_row,
    plugin_log_row,
    recording_row,
)

TEAM: Final = 71_001
OTHER: Final = 71_002
CANARY: Final = "CANARY"
"""Stands in every text of the other project; its numbers are all CANARY_NUMBER."""
CANARY_NUMBER: Final = 987_654_321
NAMESPACE: Final = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
ANNA, BEN, CLEO, DORA, OLD_ANNA = (UUID(int=number) for number in (1, 2, 3, 4, 5))
"""Dora is deleted. OLD_ANNA was merged into ANNA: her events carry the old id."""
STRANGERS: Final = tuple(UUID(int=1000 + number) for number in range(3))
NOON: Final = datetime(2024, 5, 6, 12, tzinfo=UTC)
"""A Monday."""
FILLED: Final = (
    Table.EVENTS,
    Table.PERSONS,
    Table.PERSON_DISTINCT_IDS,
    Table.PERSON_DISTINCT_ID_OVERRIDES,
    Table.GROUPS,
    Table.COHORT_PEOPLE,
    Table.SESSION_RECORDINGS,
    Table.PLUGIN_LOG_ENTRIES,
)
ORDERED: Final = RowCondition(table="events", write=lambda e, _person, _parameters: f"({e}.event = 'order_placed')")
CONTEXT: Final = Context(
    team_id=TEAM,
    timezone="UTC",
    week_start_day=1,
    property_types={
        ("event", "price"): "Numeric",
        ("event", "paid"): "Boolean",
        ("event", "due"): "DateTime",
        ("event", "code"): "String",
        ("person", "age"): "Numeric",
        ("group_0", "size"): "Numeric",
    },
    group_types={"company": 0},
    cohorts={10: 10, "Buyers": 10, 11: 11},
    static_cohorts=frozenset({10}),
    actions={5: ORDERED, "Ordered": ORDERED, "Empty": None},
)

# hours after NOON, distinct id, stored person, event, properties
EVENTS: Final[tuple[tuple[float, str, UUID, str, Mapping[str, Any]], ...]] = (
    (0, "a1", ANNA, "$pageview", {"$current_url": "https://shop.test/", "$browser": "Firefox", "$session_id": "s1",
                                  "$group_0": "acme"}),
    (0.25, "a1", ANNA, "$pageview", {"$current_url": "https://shop.test/cart?utm=1", "$browser": "Firefox",
                                     "$session_id": "s1", "$group_0": "acme"}),
    (0.5, "a1", ANNA, "order_placed", {"price": 20.5, "paid": True, "code": "007", "due": "2024-05-10T08:00:00Z",
                                       "items": [{"sku": "x", "n": 2}, {"sku": "y", "n": 1}], "$session_id": "s1",
                                       "$group_0": "acme"}),
    (24, "a2", OLD_ANNA, "$pageview", {"$current_url": "https://shop.test/help", "$browser": "Safari",
                                       "$session_id": "s2"}),
    (25, "b1", BEN, "$pageview", {"$current_url": "https://shop.test/", "$browser": "Chrome", "$session_id": "s3",
                                  "$group_0": "umbrella"}),
    (26, "b1", BEN, "order_placed", {"price": 5, "paid": False, "code": "8", "$session_id": "s3",
                                     "$group_0": "umbrella"}),
    (48, "b1", BEN, "order_placed", {"price": 7, "paid": True, "due": "not a date"}),
    (49, "c1", CLEO, "quit", {"reason": "", "nothing": None, "quoted": 'say "hi"\n', "zażółć": "gęślą 🦔",
                              "nested": {"a": {"b": "deep"}}, "zero": 0}),
    (168, "c1", CLEO, "$pageview", {"$browser": "Chrome", "$current_url": "https://shop.test/"}),
    (-24 * 40, "c1", CLEO, "sign up", {"plan": "free"}),
)  # fmt: skip
PERSON_PROPERTIES: Final[Mapping[UUID, Mapping[str, Any]]] = {
    ANNA: {"name": "Anna", "email": "anna@example.com", "plan": "paid", "age": 34},
    OLD_ANNA: {"name": "A.", "plan": "free"},
    BEN: {"name": "Ben", "email": "ben@example.com", "plan": "free", "age": "17"},
    CLEO: {"name": "Cleo", "plan": "free", "active": True},
    DORA: {"name": "Dora", "plan": "gone"},
}
"""Those that the events carry are the same, but the plan of each is "then"."""


def fill(store: ModuleType) -> None:
    """Store both projects. The uuids of events are `uuid5(NAMESPACE, "<team> <place in EVENTS>")`."""
    for team in (TEAM, OTHER):
        mine = team == TEAM
        for table, rows in _rows(team, mine=mine).items():
            lines = b"\n".join(orjson.dumps(row if mine else _canaried(row)) for row in rows)
            store.insert_json_rows(table, lines, token=str(uuid4()))


def _rows(team: int, *, mine: bool) -> dict[Table, list[dict[str, Any]]]:
    people = (ANNA, BEN, CLEO) if mine else STRANGERS
    return {
        Table.EVENTS: [_event(team, place) for place in range(len(EVENTS))],
        Table.PERSONS: [*(_person(team, whose) for whose in people), *([_tombstone(team)] if mine else [])],
        Table.PERSON_DISTINCT_IDS: [
            distinct_id_row(team_id=team, distinct_id=name, person_id=whose, version=1)
            for name, whose in zip(("a1", "b1", "c1"), people, strict=True)
        ]
        + [distinct_id_row(team_id=team, distinct_id="a2", person_id=people[0], version=2)],
        Table.PERSON_DISTINCT_ID_OVERRIDES: [
            distinct_id_row(team_id=team, distinct_id="a2", person_id=people[0], version=2)
        ],
        Table.GROUPS: [
            group_row(team_id=team, group_type_index=0, group_key=key, created_at=NOON,
                      properties=orjson.dumps({"name": key.title(), "size": size}).decode(), version=1)
            for key, size in (("acme", 30), ("umbrella", 4000))
        ],
        Table.COHORT_PEOPLE: [
            cohort_person_row(team_id=team, cohort_id=cohort, person_id=whose, version=1)
            for cohort, whose in ((10, people[0]), (10, people[1]), (11, people[2]))
        ],
        Table.SESSION_RECORDINGS: [_recording(team)],
        Table.PLUGIN_LOG_ENTRIES: [_log(team, place, kind) for place, kind in enumerate(("INFO", "ERROR"))],
    }  # fmt: skip


def _event(team: int, place: int) -> dict[str, Any]:
    hours, distinct_id, whose, event, properties = EVENTS[place]
    return event_row(
        team_id=team,
        uuid=uuid5(NAMESPACE, f"{team} {place}"),
        event=event,
        distinct_id=distinct_id,
        timestamp=NOON + timedelta(hours=hours),
        created_at=NOON + timedelta(hours=hours, seconds=1),
        properties=orjson.dumps(properties).decode(),
        person_id=whose,
        person_created_at=NOON,
        person_properties=orjson.dumps({**PERSON_PROPERTIES[whose], "plan": "then"}).decode(),
    )


def _person(team: int, whose: UUID) -> dict[str, Any]:
    return person_row(
        team_id=team,
        id=whose,
        created_at=NOON + timedelta(minutes=whose.int),
        properties=orjson.dumps(PERSON_PROPERTIES.get(whose, {"name": CANARY})).decode(),
        is_identified=whose != CLEO,
        version=1,
    )


def _tombstone(team: int) -> dict[str, Any]:
    return person_row(team_id=team, id=DORA, created_at=NOON, properties="{}", is_identified=True, version=9,
                      is_deleted=True)  # fmt: skip


def _recording(team: int) -> dict[str, Any]:
    return recording_row(
        team_id=team, session_id="s1", window_id="w1", distinct_id="a1", generation=0, uuid=uuid4(), source="web",
        first_timestamp=NOON, last_timestamp=NOON + timedelta(minutes=30), event_count=3, click_count=2,
        keypress_count=1, size=100, blob_key="", created_at=NOON,
    )  # fmt: skip


def _log(team: int, place: int, kind: str) -> dict[str, Any]:
    # Lines are dropped a week after their time.
    return plugin_log_row(
        id=uuid4(), team_id=team, plugin_id=1, plugin_config_id=3, timestamp=datetime.now(UTC) - timedelta(hours=place),
        source="PLUGIN", type=kind, message=f"line {place}", instance_id=UUID(int=9),
    )  # fmt: skip


def _canaried(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the other project: its texts say so, and its properties hold nothing but canaries."""
    changed = dict(row)
    for name in ("event", "distinct_id", "group_key", "session_id", "window_id", "message", "source"):
        if name in changed:
            changed[name] = f"{CANARY} {changed[name]}"
    for name in ("properties", "person_properties"):
        if name in changed:
            found = orjson.loads(changed[name])
            changed[name] = orjson.dumps({key: f"{CANARY} {value}" for key, value in found.items()}).decode()
    for name in ("event_count", "click_count", "keypress_count", "size"):
        if name in changed:
            changed[name] = CANARY_NUMBER
    return changed
