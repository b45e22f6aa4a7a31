"""How large a statement may be: room for the filters of several steps, and an error of its own above that."""

import pytest

from events import client
from events.errors import QueryTooBig, StoreUnavailable
from events.filters.grammar import MAX_FILTERS, Filter, read_filters
from events.insights import statement as running
from events.insights.source import EventScope, Source
from events.insights.statement import Statement, look_up

STEPS = 3


def largest() -> Filter | None:
    items = [{"key": f"k{n}", "operator": "icontains", "value": ["x", "y"]} for n in range(MAX_FILTERS)]
    return read_filters(items, scope="event")


def run(filters: int) -> list[tuple[object, ...]]:
    statement = Statement()
    source = Source(EventScope(7, None, None, "UTC"), statement)
    columns = {f"passes_{number}": source.filtered(largest()) for number in range(filters)}
    return statement.rows(source.select(columns))


def test_the_largest_filters_of_several_steps_fit_into_a_statement(clickhouse_schema: None) -> None:
    run(STEPS)


def test_a_statement_that_is_too_large_says_so(clickhouse_schema: None) -> None:
    with pytest.raises(QueryTooBig):
        run(20)


def test_a_store_too_slow_for_a_look_up_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOK_UP_SECONDS", 1)
    monkeypatch.setattr(client, "RECEIVE_MARGIN_SECONDS", 0)
    with pytest.raises(StoreUnavailable):
        look_up("SELECT sleep(3)", {})
    assert look_up("SELECT {number:Int64}", {"number": 7}) == [(7,)]
