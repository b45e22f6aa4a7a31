"""Funnels: breakdowns by groups and cohorts, long windows, many steps, events that were sent again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from events.errors import QueryTooBig
from events.filters.grammar import read_filters
from events.insights.entities import Entity, EventMatch
from events.insights.funnel import Breakdown, Exclusion, FunnelQuery, Reached, Window, funnel_page, funnel_sql
from events.insights.funnel_query import Attribution, BreakdownType, FunnelOrder, WindowUnit
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.events.insights.test_source import ANN, BEN, NOON, TEAM, owned, stored

CHARLIE = UUID(int=3)
SCOPE = EventScope(TEAM, None, None, "Europe/Berlin")
ORDERS: tuple[FunnelOrder, ...] = ("ordered", "strict", "unordered")


def steps(names: str) -> tuple[Entity, ...]:
    return tuple(Entity("events", name, (EventMatch(name),)) for name in names)


def did(client: ModuleType, person: UUID, names: str, *, begin: datetime = NOON, **row: Any) -> None:
    """Store one event each minute."""
    moments = (begin + timedelta(minutes=number) for number in range(len(names)))
    stored(
        client,
        *(
            {"event": name, "timestamp": moment, "person_id": person, "distinct_id": str(person), **row}
            for name, moment in zip(names, moments, strict=True)
        ),
    )


def reached(query: FunnelQuery) -> list[tuple[UUID, int]]:
    statement = Statement()
    sql = funnel_sql(query, Source(query.scope, statement))
    return [
        (actor, count)
        for actor, count in statement.rows(f"SELECT actor, steps FROM ({sql}) ORDER BY toString(actor)")  # noqa: S608
    ]


def listed(query: FunnelQuery, which: Reached | None = None) -> list[UUID]:
    return [UUID(row.actor) for row in funnel_page(query, which or Reached(), limit=100, offset=0)]


def divided(kind: BreakdownType, only: str | None = None, **given: Any) -> FunnelQuery:
    breakdown = Breakdown(kind, only=None if only is None else (only,), **given)
    return FunnelQuery(SCOPE, steps("ab"), breakdown=breakdown)


def inserted(client: ModuleType, table: str, rows: Sequence[dict[str, Any]]) -> None:
    client.insert_json_rows(table, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))


@pytest.mark.parametrize("order", ORDERS)
def test_a_merge_joins_the_steps_of_two_persons_at_once(clickhouse: ModuleType, order: FunnelOrder) -> None:
    query = FunnelQuery(SCOPE, steps("ab"), order)
    did(clickhouse, ANN, "a")
    did(clickhouse, BEN, "b", begin=NOON + timedelta(hours=1))
    assert listed(query, Reached.step(2)) == []
    owned(clickhouse, str(BEN), ANN)
    assert listed(query, Reached.step(2)) == [ANN]


def test_breakdown_by_cohorts(clickhouse: ModuleType) -> None:
    for person in (ANN, BEN, CHARLIE):
        did(clickhouse, person, "ab")
    members = [(7, ANN, False), (7, BEN, False), (8, BEN, False), (8, CHARLIE, True), (9, CHARLIE, False)]
    inserted(
        clickhouse,
        "cohort_people",
        [
            {"team_id": TEAM, "cohort_id": cohort, "person_id": str(person), "is_deleted": deleted, "version": 1}
            for cohort, person, deleted in members
        ],
    )
    assert listed(divided("cohort", cohort_ids=(7, 8))) == [ANN, BEN]
    assert listed(divided("cohort", "7", cohort_ids=(7, 8))) == [ANN, BEN]
    assert listed(divided("cohort", "8", cohort_ids=(7, 8))) == [BEN]
    assert listed(divided("cohort", "all", cohort_ids=(7, 8))) == []
    assert listed(divided("cohort", "all", cohort_ids=(7, 8), everybody=True)) == [ANN, BEN, CHARLIE]
    assert listed(divided("cohort", "8", cohort_ids=(8,), attribution="step", step=1)) == [BEN]


def test_breakdown_by_a_property_of_groups(clickhouse: ModuleType) -> None:
    for person, group in ((ANN, "acme"), (BEN, "zeta"), (CHARLIE, "")):
        did(clickhouse, person, "ab", properties=orjson.dumps({"$group_1": group}).decode())
    row = {"team_id": TEAM, "created_at": "2024-01-01 00:00:00", "version": 1}
    inserted(
        clickhouse,
        "groups",
        [
            {**row, "group_type_index": 1, "group_key": "acme", "properties": '{"size":10}'},
            {**row, "group_type_index": 2, "group_key": "zeta", "properties": '{"size":20}'},
        ],
    )
    assert listed(divided("group", "10", keys=("size",), group_type_index=1)) == [ANN]
    assert listed(divided("group", "", keys=("size",), group_type_index=1)) == [BEN, CHARLIE]
    assert listed(divided("group", keys=("size",), group_type_index=1)) == [ANN, BEN, CHARLIE]


@pytest.mark.parametrize(
    ("attribution", "step", "values"),
    [
        ("first_touch", 0, ["free"]),
        ("last_touch", 0, ["paid"]),
        ("step", 0, ["free", "team"]),
        ("step", 1, ["paid"]),
        ("step", 2, []),
        ("all_events", 0, ["", "free", "team"]),
    ],
)
def test_attributions(clickhouse: ModuleType, attribution: Attribution, step: int, values: list[str]) -> None:
    for number, (name, plan) in enumerate([("a", ""), ("a", "free"), ("a", "team"), ("b", "paid"), ("c", "")]):
        properties = orjson.dumps({"plan": plan}).decode()
        did(clickhouse, ANN, name, begin=NOON + timedelta(hours=number), properties=properties)
    query = divided("event", keys=("plan",), attribution=attribution, step=step)
    query = replace(query, steps=steps("abc"))
    assert query.breakdown is not None
    found = [
        value
        for value in ("", "free", "team", "paid")
        if listed(replace(query, breakdown=replace(query.breakdown, only=(value,))))
    ]
    assert found == values


def test_an_actor_under_several_values_is_listed_once(clickhouse: ModuleType) -> None:
    for plan in ("free", "paid", ""):
        did(clickhouse, ANN, "ab", properties=orjson.dumps({"plan": plan}).decode())
    query = divided("event", keys=("plan",), attribution="all_events")
    assert len(reached(query)) == 3
    assert listed(query) == [ANN]
    for only in ("free", "paid", ""):
        assert listed(divided("event", only, keys=("plan",), attribution="all_events")) == [ANN]
    assert listed(divided("event", "none", keys=("plan",), attribution="all_events")) == []


def test_an_event_that_was_sent_again_does_not_interrupt(clickhouse: ModuleType) -> None:
    uuid = uuid4()
    for _ in range(2):
        stored(clickhouse, {"event": "a"}, {"event": "b", "uuid": uuid, "timestamp": NOON + timedelta(minutes=1)})
    stored(clickhouse, {"event": "c", "timestamp": NOON + timedelta(minutes=2)})
    assert reached(FunnelQuery(SCOPE, steps("bc"), "strict")) == [(ANN, 2)]


@pytest.mark.parametrize(
    ("begin", "count", "last"),
    [
        (datetime(2024, 1, 31, 11, tzinfo=UTC), 1, datetime(2024, 2, 29, 11, tzinfo=UTC)),
        # Across the change of the clocks it is the same hour in Berlin.
        (datetime(2024, 3, 15, 11, tzinfo=UTC), 1, datetime(2024, 4, 15, 10, tzinfo=UTC)),
        (datetime(2024, 12, 31, 11, tzinfo=UTC), 2, datetime(2025, 2, 28, 11, tzinfo=UTC)),
        # The clocks skip this hour.
        (datetime(2024, 1, 31, 1, 30, tzinfo=UTC), 2, datetime(2024, 3, 31, 0, 30, tzinfo=UTC)),
        # In Berlin this is the first day of a month.
        (datetime(2024, 1, 31, 23, 30, tzinfo=UTC), 1, datetime(2024, 2, 29, 23, 30, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("order", ORDERS)
def test_months_are_those_of_the_calendar(
    clickhouse: ModuleType, begin: datetime, count: int, last: datetime, order: FunnelOrder
) -> None:
    tick = timedelta(microseconds=1)
    did(clickhouse, ANN, "a", begin=begin)
    did(clickhouse, ANN, "b", begin=last)
    did(clickhouse, BEN, "a", begin=begin)
    did(clickhouse, BEN, "b", begin=last + tick)
    query = FunnelQuery(SCOPE, steps("ab"), order, Window(count, "month"))
    assert reached(query) == [(ANN, 2), (BEN, 1)]


@pytest.mark.parametrize("unit", ["second", "minute", "hour", "day", "week", "month"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_window_of_ages_holds_everything(clickhouse: ModuleType, order: FunnelOrder, unit: WindowUnit) -> None:
    did(clickhouse, ANN, "a", begin=datetime(1970, 1, 1, tzinfo=UTC))
    did(clickhouse, ANN, "b", begin=datetime(2290, 1, 1, tzinfo=UTC))
    assert reached(FunnelQuery(SCOPE, steps("ab"), order, Window(10**12, unit))) == [(ANN, 2)]


@pytest.mark.parametrize("order", ORDERS)
def test_twenty_steps_with_filters_and_twenty_exclusions(clickhouse: ModuleType, order: FunnelOrder) -> None:
    names = "abcdefghijklmnopqrst"
    did(clickhouse, ANN, names, properties='{"plan":"paid"}')
    did(clickhouse, BEN, names[:-1] + "x", properties='{"plan":"paid"}')
    did(clickhouse, CHARLIE, "axbcd", properties='{"plan":"paid"}')
    wanted = read_filters([{"key": "plan", "value": ["paid", "free"]}], scope="event")
    filtered = tuple(replace(step, filter=wanted) for step in steps(names))
    outside = tuple(
        Exclusion(replace(steps("x")[0], filter=wanted), 0 if order == "unordered" else number % 19, 19)
        for number in range(20)
    )
    query = FunnelQuery(SCOPE, filtered, order, exclusions=outside)
    expected = {
        "ordered": [(ANN, 20)],
        # From the second step on nothing interrupts.
        "unordered": [(ANN, 20), (CHARLIE, 3)],
        "strict": [(ANN, 20), (BEN, 19), (CHARLIE, 1)],
    }
    assert reached(query) == expected[order]
    by_plan = replace(query, breakdown=Breakdown("event", ("plan",), attribution="all_events"))
    assert reached(by_plan) == expected[order]


@pytest.mark.parametrize("order", ORDERS)
def test_one_actor_with_very_many_events_takes_linear_time(clickhouse: ModuleType, order: FunnelOrder) -> None:
    clickhouse.command(
        "INSERT INTO events (uuid, event, timestamp, team_id, distinct_id, created_at, person_id)"
        " SELECT toUUID(concat('00000000-0000-0000-0000-', leftPad(toString(number), 12, '0'))), 'ab'[1 + number % 2],"
        " toDateTime64('2024-03-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), 7, 'ann', now64(6),"
        " '00000000-0000-0000-0000-000000000001' FROM numbers(300000)".replace("'ab'[1", "['a', 'b'][1")
    )
    query = FunnelQuery(SCOPE, steps("aba"), order)
    assert reached(query) == [(ANN, 3)]


@pytest.mark.parametrize("order", ORDERS)
def test_memory_is_bounded(clickhouse: ModuleType, order: FunnelOrder, settings: Any) -> None:
    clickhouse.command(
        "INSERT INTO events (uuid, event, timestamp, team_id, distinct_id, created_at, person_id)"
        " SELECT generateUUIDv4(), 'a', toDateTime64('2024-03-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), 7,"
        " 'ann', now64(6), '00000000-0000-0000-0000-000000000001' FROM numbers(1000000)"
    )
    settings.INSIGHT_MEMORY_MB = 16
    with pytest.raises(QueryTooBig):
        listed(FunnelQuery(SCOPE, steps("ab"), order))
