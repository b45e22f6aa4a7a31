"""A column that is neither grouped nor aggregated is told by the caller's name, at its place."""
# ruff: noqa: S608 texts are what is tested

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.http import parsed, problem
from tests.core.query.execution.conftest import Asking

pytestmark = pytest.mark.django_db

SAID = "is neither in GROUP BY nor inside an aggregation."


@pytest.mark.parametrize(
    ("text", "place", "nth"),
    [
        ("select event, count() from events", "event", 0),
        ("select 'ünïcödé', distinct_id, count() from events group by event", "distinct_id", 0),
        ("select lower(event), upper(event), count() from events group by lower(event)", "event", 1),
        ("select event as e, count() from events", "event", 0),
        ("select timestamp, count() from events group by toStartOfDay(timestamp)", "timestamp", 0),
        ("select properties.plan, count() from events", "properties.plan", 0),
        ("select e.`$session_id`, count() from events e", "e.$session_id", 0),
        ("select person.properties.plan as p, count() from events group by event", "person.properties.plan", 0),
        ("select count() from events order by timestamp", "timestamp", 0),
        ("select max(event) from events having distinct_id = 'a'", "distinct_id", 0),
        ("select count() over (partition by event), count() from events", "event", 0),
        ("select count() from events limit 1 by event", "event", 1),
        ("select u, count() from events array join [1, 2] as u", "u", 0),
        ("select arrayMap(x -> concat(x, event), ['a']), count() from events", "event", 0),
        ("select max(event), event from events group by rollup(distinct_id)", "event", 1),
        ("select x from (select event as x, count() from events)", "event", 0),
        ("with a as (select event as x from events) select x, count() from a", "x", 1),
        ("with event as x select x, count() from events", "x", 1),
        ("select event from events group by 1 order by distinct_id", "distinct_id", 0),
        ("select 1 from events union all select number + count() from numbers(3)", "number", 0),
    ],
)
def test_the_column_is_named_at_its_place(asking: Asking, text: str, place: str, nth: int) -> None:
    response = asking.ask(text)
    assert problem(response)[:4] == (400, "validation_error", "not_an_aggregate", f"Column '{place}' {SAID}")
    (error,) = parsed(response)["extra"]["hogql_metadata"]["errors"]
    written = place.replace("$session_id", "`$session_id`")
    found = -1
    for _ in range(nth + 1):
        found = text.index(written, found + 1)
    assert (error["start"], error["end"], error["message"]) == (
        found,
        found + len(written),
        parsed(response)["detail"],
    )


def test_a_column_of_a_star_is_named_at_the_star(asking: Asking) -> None:
    response = asking.ask("select *, count() from events")
    assert problem(response)[3] == f"Column 'uuid' {SAID}"
    (error,) = parsed(response)["extra"]["hogql_metadata"]["errors"]
    assert (error["start"], error["end"]) == (7, 8)


@pytest.mark.parametrize(
    "text",
    [
        "select toTypeName(event), count() from events",
        "select if(1, 1, event), count() from events",
        "with unread as (select event, count() from events) select 1",
        "select concat(lower(event), '!'), count() from events group by lower(event)",
        "select event, count() from events group by all",
        "select event as e, count() from events group by 1 having e != '' order by e",
    ],
)
def test_what_clickhouse_accepts_is_not_refused(asking: Asking, text: str) -> None:
    asking.answer(text)


def test_the_column_of_a_long_statement_is_named_too(asking: Asking) -> None:
    """ClickHouse quotes the statement behind its complaint."""
    long = ", ".join(f"concat(distinct_id, '{number:0100}')" for number in range(300))
    response = asking.ask(f"select event, count() from events where distinct_id in ({long}) group by distinct_id")
    assert problem(response)[2:4] == ("not_an_aggregate", f"Column 'event' {SAID}")


def test_an_expression_of_an_events_query_has_its_place_too(asking: Asking) -> None:
    response = asking.post({"query": {"kind": "EventsQuery", "select": ["count()"], "orderBy": ["timestamp DESC"]}})
    assert problem(response)[:4] == (400, "validation_error", "not_an_aggregate", f"Column 'timestamp' {SAID}")
    (error,) = parsed(response)["extra"]["hogql_metadata"]["errors"]
    assert (error["start"], error["end"]) == (0, 9)


# ClickHouse compares what is grouped with what is selected by names, in which these subqueries differ each time.
NOT_RUN = [
    "select event in (select u from events array join ['a', 'b'] as u) as k, count() from events group by k",
    "select (event in (select u from events array join [event] as u)) as k, count() from events group by rollup(k)",
    (
        "with recursive r as (select 'a' as x union all select concat(r.x, '+') as x from r where length(r.x) < 4)"
        " select event in (select x from r) as k, count() from events group by k"
    ),
]


@pytest.mark.parametrize("text", NOT_RUN)
def test_what_is_right_and_cannot_be_run_is_said_to_be_so(
    asking: Asking, text: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    response = asking.ask(text, client_query_id="defect-1")
    status, kind, code, detail, _ = problem(response)
    assert (status, kind, code) == (400, "validation_error", "query_not_supported_by_engine")
    assert detail.startswith("The query is valid, but")
    logged = caplog.text + capfd.readouterr().err
    assert "defect-1" in logged
    assert "Not found column" not in logged


def test_the_form_that_the_error_proposes_runs(asking: Asking) -> None:
    text = (
        "select k, count() from (select event in (select u from events array join ['a'] as u) as k from events)"
        " group by k"
    )
    assert asking.answer(text)["results"] == []


PARTS = [
    "event", "distinct_id", "lower(event)", "upper(concat(event, distinct_id))", "properties.plan", "person_id",
    "if(event = 'a', distinct_id, event)", "person.properties.city", "toStartOfDay(timestamp)", "timestamp",
]  # fmt: skip
SOME = st.lists(st.sampled_from(PARTS), max_size=3)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selected=SOME, keys=SOME, ordered=SOME)
def test_a_statement_whose_named_columns_are_aggregated_is_accepted(
    asking: Asking, selected: list[str], keys: list[str], ordered: list[str]
) -> None:
    text = f"select {', '.join([*selected, 'count()'])} from events"
    text += f" group by {', '.join(keys)}" if keys else ""
    text += f" order by {', '.join(ordered)}" if ordered else ""
    # Each round mends one field; no text has more of them.
    for _ in range(20):
        response = asking.ask(text)
        if response.status_code == 200:
            return
        assert problem(response)[2] == "not_an_aggregate", response.content
        (error,) = parsed(response)["extra"]["hogql_metadata"]["errors"]
        start, end = error["start"], error["end"]
        assert error["message"] == f"Column '{text[start:end]}' {SAID}"
        text = f"{text[:start]}any({text[start:end]}){text[end:]}"
    pytest.fail(text)
