"""Random filters on random events: ClickHouse and the plain model always agree."""
# ruff: noqa: S608 the compilers' own text

import itertools
import secrets
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from events import client
from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.grammar import Filter, SelectorFilter, read_filters
from events.filters.selectors import read_selector
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.support.event_filter_oracle import NOW, Asked, Element, World, matches, selects
from tests.support.event_worlds import alike_elements, alike_selectors, filters, stored, worlds

# Worlds are not taken away again; each is a team of its own.
_teams = itertools.count(2**50 + secrets.randbelow(2**40))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(world=worlds(), moved=st.booleans(), data=st.data())
def test_clickhouse_and_the_model_agree(
    *, clickhouse_schema: None, world: World, moved: bool, data: st.DataObject
) -> None:
    team_id = next(_teams)
    stored(world, team_id, moved=moved)
    selectors: dict[str, Asked] = {}
    items = [data.draw(filters(selectors)) for _ in range(5)]
    expected = [{row.uuid for row in world.events if matches(item, row, world, selectors)} for item in items]
    for found in expected:
        event("some match" if 0 < len(found) < len(world.events) else "all alike")
    assert as_columns(team_id, items) == expected
    assert as_scope(team_id, items[0]) == expected[0]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chains=st.lists(st.lists(alike_elements, max_size=5).map(tuple), min_size=10, max_size=20),
    wanted=st.lists(alike_selectors(), min_size=1, max_size=8),
)
def test_selectors_select_what_the_model_selects(
    *, clickhouse_schema: None, chains: list[tuple[Element, ...]], wanted: list[tuple[str, Asked]]
) -> None:
    parameters: dict[str, Any] = {"chains": [";".join(one.written() for one in chain) for chain in chains]}
    conditions = [
        event_condition(
            SelectorFilter((read_selector(text),)), parameters, columns=EventColumns("e", "generateUUIDv4()")
        )
        for text, _ in wanted
    ]
    sql = (
        f"SELECT {', '.join(conditions)} FROM (SELECT arrayJoin(arrayZip({{chains:Array(String)}}, "
        "arrayEnumerate({chains:Array(String)}))) AS one, one.1 AS elements_chain, one.2 AS number) AS e"
        " ORDER BY number"
    )
    expected = [tuple(int(selects(asked, chain)) for _, asked in wanted) for chain in chains]
    event("some match" if any(map(any, expected)) else "none matches")
    assert client.query(sql, parameters).rows == expected


def as_columns(team_id: int, items: list[object]) -> list[set[UUID]]:
    """Return for each filter the events that pass, all asked by one statement."""
    statement = Statement()
    source = Source(EventScope(team_id, None, None, "UTC"), statement)
    conditions = {f"passes_{number}": source.filtered(read(item)) for number, item in enumerate(items)}
    rows = statement.rows(source.select({"number": "e.uuid", **conditions}))
    return [{UUID(str(row[2])) for row in rows if row[3 + number]} for number in range(len(items))]


def as_scope(team_id: int, item: object) -> set[UUID]:
    """Return the events that pass the filter of the scope."""
    statement = Statement()
    source = Source(EventScope(team_id, None, None, "UTC", filter=read(item)), statement)
    return {UUID(str(row[2])) for row in statement.rows(source.select({"number": "e.uuid"}))}


def read(item: object) -> Filter | None:
    return read_filters([item], scope="event", now=NOW)
