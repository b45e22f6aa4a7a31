from datetime import UTC, datetime
from typing import Any

import pytest

from events.hogql import ast
from events.hogql.errors import HogQLError, HogQLResolutionError
from events.hogql.parser import parse_expr, parse_select
from events.hogql.printer import print_hogql
from events.hogql.substitution import HogQLFilters, limited, substitute
from events.hogql.walk import cohort_names, descendants, placed, property_keys, replaced, tables_named

SINCE, UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
FROM, TO = "toDateTime('2024-01-01 00:00:00+00:00')", "toDateTime('2024-02-01 00:00:00+00:00')"


def filled(
    text: str,
    *,
    values: dict[str, Any] | None = None,
    variables: dict[str, dict[str, Any]] | None = None,
    filters: HogQLFilters | None = None,
) -> str:
    return print_hogql(substitute(parse_select(text), values=values or {}, variables=variables or {}, filters=filters))


def message(text: str, **given: Any) -> str:
    """Return the error's text, which is about the one placeholder of the text."""
    with pytest.raises(HogQLResolutionError) as raised:
        filled(text, **given)
    start, end = raised.value.start, raised.value.end
    assert text[start:end] == text[text.index("{") : text.index("}") + 1]
    return raised.value.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, "1"), ("it's", r"'it\'s'"), (None, "NULL"), ([1, "a"], "[1, 'a']"), ({"a": 1}, "{'a': 1}"), (True, "true")],
)
def test_value_takes_the_place_of_its_name(value: Any, expected: str) -> None:
    filled_in = f"SELECT {expected} FROM (SELECT {expected})"  # noqa: S608 - shown, not run
    assert filled("select {x} from (select {x})", values={"x": value}) == filled_in


def test_text_of_a_value_is_never_parsed() -> None:
    query = substitute(
        parse_select("select 1 where {x}"), values={"x": "1) union all (select 2"}, variables={}, filters=None
    )
    assert isinstance(query, ast.SelectQuery)
    assert query.where == ast.Constant("1) union all (select 2")


def test_value_stands_where_its_placeholder_stood() -> None:
    query = substitute(parse_select("select 'ü', {x}"), values={"x": 1}, variables={}, filters=None)
    assert isinstance(query, ast.SelectQuery)
    assert (query.select[1].start, query.select[1].end) == (12, 15)


def test_unknown_placeholder() -> None:
    assert message("select 'ü', {nope}", values={"x": 1}) == "Unresolved placeholder: {nope}"
    assert message("select {a.b}") == "Unresolved placeholder: {a.b}"
    assert message("select {variables}") == "Unresolved placeholder: {variables}"


def test_placeholder_is_a_name() -> None:
    assert message("select {1 + 1}") == "Placeholder expressions are not yet supported"
    assert message("select 1 from {x}", values={"x": "events"}) == "You can not use placeholders here"


@pytest.mark.parametrize("value", ["\ud800", ["a", {"b": "\udfff"}], {"\ud800": 1}])
def test_value_must_be_unicode(value: Any) -> None:
    assert "not valid Unicode" in message("select {x}", values={"x": value})


def test_value_must_not_be_nested_without_end() -> None:
    value: Any = 1
    for _ in range(5_000):
        value = [value]
    assert "nested too deep" in message("select {x}", values={"x": value})


VARIABLES: dict[str, dict[str, Any]] = {
    "1": {"variableId": "1", "code_name": "country", "value": "de"},
    "2": {"variableId": "2", "code_name": "county", "value": None},
    "3": {"variableId": "3", "code_name": "plan", "value": "pro", "isNull": True},
}


def test_variables_are_found_by_their_code() -> None:
    text = "select {variables.country}, {variables.county}, {variables.plan}"
    assert filled(text, variables=VARIABLES) == "SELECT 'de', NULL, NULL"


def test_missing_variable_is_named_with_close_ones() -> None:
    missing = "Variable countri is missing from query"
    given = message("select {variables.countri}", variables=VARIABLES)
    assert given == f"{missing}. Did you mean: country, county?"
    assert message("select {variables.countri}") == missing
    assert message("select {variables.xyz}", variables=VARIABLES) == "Variable xyz is missing from query"


def restricted(tables: frozenset[str]) -> ast.Expr:
    return parse_expr(f"seen = '{','.join(sorted(tables))}'")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("events", "timestamp"),
        ("events AS e JOIN sessions ON 1", "timestamp"),
        ("sessions", "$start_timestamp"),
        ("persons JOIN groups ON 1", "created_at"),
    ],
)
def test_filters_are_conditions_of_the_tables_that_the_select_reads(text: str, time: str) -> None:
    filters = HogQLFilters(restricted, SINCE, UNTIL)
    seen = ",".join(sorted({"events", "sessions", "groups"} & set(text.split())))
    expected = f"seen = '{seen}' AND {time} < {TO} AND {time} >= {FROM}"
    asked = f"select 1 from {text} where {{filters}}"  # noqa: S608 - parsed only
    assert filled(asked, filters=filters).endswith(f"WHERE {expected}")


def test_filters_that_say_nothing_are_true() -> None:
    text = "select 1 from events where {filters}"
    assert filled(text) == "SELECT 1 FROM events WHERE true"
    assert filled(text, filters=HogQLFilters()) == "SELECT 1 FROM events WHERE true"
    assert filled(text, filters=HogQLFilters(since=SINCE)).endswith(f" WHERE timestamp >= {FROM}")


@pytest.mark.parametrize(
    "text",
    [
        "select 1 where {filters}",
        "select 1 from persons where {filters}",
        "select 1 from (select * from events) where {filters}",
        "with events as (select 1) select 1 from events where {filters}",
        "select 1 from events where 1 in (select 2 from persons where {filters})",
        "with events as (select 1), x as (select 2 from events where {filters}) select 3 from x",
        "with recursive events as (select 1 union all select 2 from events where {filters}) select 3 from events",
    ],
)
def test_filters_need_a_table_in_the_same_select(text: str) -> None:
    assert message(text).startswith("Cannot use 'filters' placeholder in a SELECT clause that does not select from the")


def test_each_select_has_the_filters_of_its_own_tables() -> None:
    text = (
        "with x as (select 1 from sessions where {filters}) select 2 from events where {filters} "
        "union all select 3 from x"
    )
    expected = (
        "WITH x AS (SELECT 1 FROM sessions WHERE seen = 'sessions') SELECT 2 FROM events WHERE seen = 'events' "
        "UNION ALL SELECT 3 FROM x"
    )
    assert filled(text, filters=HogQLFilters(restricted)) == expected


def test_a_cte_reads_the_table_whose_name_it_has() -> None:
    text = "with events as (select 1 from events where {filters}) select 2 from events"
    expected = "WITH events AS (SELECT 1 FROM events WHERE seen = 'events') SELECT 2 FROM events"
    assert filled(text, filters=HogQLFilters(restricted)) == expected


def test_what_filters_bring_stands_where_their_placeholder_stood() -> None:
    query = substitute(
        parse_select("select 1 from events where {filters}"), values={}, variables={}, filters=HogQLFilters(restricted)
    )
    assert isinstance(query, ast.SelectQuery)
    assert query.where is not None
    assert {(node.start, node.end) for node in descendants(query.where)} == {(27, 36)}


def test_dates_of_the_filters() -> None:
    filters = HogQLFilters(since=SINCE)
    text = "select 1 where timestamp > {filters.dateRange.from} and {filters.dateRange.to} > toDate(timestamp)"
    assert filled(text, filters=filters) == f"SELECT 1 WHERE timestamp > {FROM} AND true"
    assert filled(text) == "SELECT 1 WHERE true AND true"
    nested = "select 1 where timestamp >= toDateTime({filters.dateRange.from}) - interval 1 day"
    assert filled(nested) == "SELECT 1 WHERE true"
    between = "select 1 where timestamp between {filters.dateRange.from} and {filters.dateRange.to}"
    assert filled(between, filters=filters) == f"SELECT 1 WHERE timestamp >= {FROM}"
    assert filled(between, filters=HogQLFilters(until=UNTIL)) == f"SELECT 1 WHERE timestamp <= {TO}"
    assert filled(between) == "SELECT 1 WHERE true"


def test_unset_date_needs_a_comparison_around_it() -> None:
    assert "has to be compared" in message("select {filters.dateRange.from}")
    assert "has to be compared" in message("select a = (select {filters.dateRange.to})")
    assert filled("select {filters.dateRange.from}", filters=HogQLFilters(since=SINCE)) == f"SELECT {FROM}"


def test_other_filters_placeholders_are_not_supported() -> None:
    assert message("select {filters.properties}").startswith("Unsupported filters placeholder {filters.properties}.")


def test_filters_cannot_be_a_value_and_filters() -> None:
    text, expected = (
        "select 1 from events where {filters}",
        "Query contains 'filters' both as placeholder and as a query",
    )
    with pytest.raises(HogQLError, match=expected):
        filled(text, values={"filters": 1}, filters=HogQLFilters())
    assert filled(text, values={"filters": 1}) == "SELECT 1 FROM events WHERE 1"
    assert filled("select 1", values={"filters": 1}, filters=HogQLFilters()) == "SELECT 1"


def test_text_without_placeholders_stays_the_very_same() -> None:
    query = parse_select("with x as (select 1) select a, f(b) from x union all select 2")
    assert substitute(query, values={"a": 1}, variables=VARIABLES, filters=HogQLFilters(restricted)) is query


@pytest.mark.parametrize(
    ("text", "expected", "limit", "offset", "defaulted"),
    [
        ("select 1", "SELECT 1 LIMIT 100", 100, 0, True),
        ("select 1 offset 7", "SELECT 1 LIMIT 100 OFFSET 7", 100, 7, True),
        ("select 1 limit 3", "SELECT 1 LIMIT 3", 3, 0, False),
        ("select 1 limit 0", "SELECT 1 LIMIT 0", 0, 0, False),
        ("select 1 limit 99999999 offset 2", "SELECT 1 LIMIT 50000 OFFSET 2", 50_000, 2, False),
        ("select 1 limit 1 + 1", "SELECT 1 LIMIT min2(50000, 1 + 1)", None, 0, False),
        ("select 1 limit '7'", "SELECT 1 LIMIT 7", 7, 0, False),
        ("select 1 limit 2 by a", "SELECT 1 LIMIT 2 BY a LIMIT 100", 100, 0, True),
        ("select * from (select 1)", "SELECT * FROM (SELECT 1) LIMIT 100", 100, 0, True),
        ("with a as (select 1) select 2", "WITH a AS (SELECT 1) SELECT 2 LIMIT 100", 100, 0, True),
        ("select 1 union all select 2 limit 3", "(SELECT 1 LIMIT 100) UNION ALL (SELECT 2 LIMIT 3)", None, None, True),
        (
            "select 1 limit 1 union all (select 2 limit 70000 union distinct select 3)",
            "(SELECT 1 LIMIT 1) UNION ALL ((SELECT 2 LIMIT 50000) UNION DISTINCT (SELECT 3 LIMIT 100))",
            None,
            None,
            True,
        ),
        (
            "(select 1 union all select 2) limit 70000",
            "(SELECT 1) UNION ALL (SELECT 2) LIMIT 50000",
            50_000,
            0,
            False,
        ),
        ("select 1 except select 2", "(SELECT 1) EXCEPT (SELECT 2) LIMIT 100", 100, 0, True),
    ],
)
def test_rows_are_limited(text: str, expected: str, limit: int | None, offset: int | None, defaulted: bool) -> None:  # noqa: FBT001
    found = limited(parse_select(text), default=100, maximum=50_000)
    assert print_hogql(found.query) == expected
    assert (found.limit, found.offset, found.defaulted) == (limit, offset, defaulted)
    again = limited(found.query, default=100, maximum=50_000)
    assert found.limit is None or again.query == found.query


@pytest.mark.parametrize(
    "text", ["limit -1", "limit 1.5", "limit 'a'", "limit true", "limit null", "limit 1 offset -1"]
)
def test_limit_is_a_whole_number(text: str) -> None:
    with pytest.raises(HogQLResolutionError, match="whole numbers") as raised:
        limited(parse_select(f"select 1 {text}"), default=100, maximum=50_000)
    assert raised.value.start is not None


def test_names_that_a_statement_mentions() -> None:
    query = parse_select(
        "with c as (select * from events), d as (select * from c) select p.x.y.0, properties['q r'], f(z).k, e.* "
        "from c as e join persons p on p.id = e.person_id where a in cohort 'vip' and b not in cohort (1, 2) "
        "union all select 2 from d, groups where 3 in (select 4 from sessions)"
    )
    assert tables_named(query) == ["events", "persons", "groups", "sessions"]
    assert property_keys(query) == {"x", "y", "q r", "k", "*", "id", "person_id"}
    assert cohort_names(query) == {"vip", 1, 2}


def test_name_of_a_cte_hides_a_table_in_its_scope_only() -> None:
    query = parse_select("select 1 from (with events as (select 1 from events) select 2 from events) x, sessions")
    assert tables_named(query) == ["events", "sessions"]
    recursive = parse_select("with recursive t as (select 1 union all select 2 from t) select 3 from t")
    assert tables_named(recursive) == []
    later = parse_select("with a as (select 1 from b), b as (select 2) select 3 from a, b")
    assert tables_named(later) == ["b"]


def test_walks_reach_every_part() -> None:
    query = parse_select(
        "with f1 as a1, a2 as (select f2) select f3, {'k': f4}, (* replace (f5 as x)), sum(f6) filter (where f7) "
        "from t1 join t2 sample 0.5 on f8 left array join f9 as b prewhere f10 where f11 between f12 and f13 "
        "group by f14 "
        "having f15 qualify f16 window w as (partition by f17 order by f18) order by f19 limit 1 by f20"
    )
    names = [node.chain[0] for node in descendants(query) if isinstance(node, ast.Field)]
    assert {f"f{number}" for number in range(1, 21)} <= set(map(str, names))
    renamed = replaced(query, lambda node: ast.Field(("z",)) if isinstance(node, ast.Field) else None)
    assert {node.chain for node in descendants(renamed) if isinstance(node, ast.Field)} == {("z",)}
    assert replaced(query, lambda _: None) is query
    moved = placed(query, 1, 2)
    assert moved == query
    assert {(node.start, node.end) for node in descendants(moved)} == {(1, 2)}
