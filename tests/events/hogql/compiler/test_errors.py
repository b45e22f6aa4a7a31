"""What a statement gets wrong is said in the caller's words, with the place in the text."""
# ruff: noqa: E501, S608 - a statement and its outcome are one line; nobody else's text is in the statements

import pytest

from events.client import LONGEST_PARAMETER_BYTES
from events.hogql.ast import Array, CompareOperation, Constant, Expr, Not, SelectQuery
from events.hogql.compile import compile_aggregate_expr, compile_query, compile_row_expr
from events.hogql.errors import HogQLResolutionError
from events.hogql.parser import parse_expr
from tests.events.hogql.compiler.world import CONTEXT, compiled

MISTAKES: list[tuple[str, str, str]] = [
    ("SELECT evnt FROM events", "Unable to resolve field: evnt. Perhaps you meant 'event' or 'events'?", "evnt"),
    ("SELECT events.evnt FROM events", "Unable to resolve field: events.evnt. Perhaps you meant 'event'?", "events.evnt"),
    ("SELECT zzzzzz FROM events", "Unable to resolve field: zzzzzz", "zzzzzz"),
    ("SELECT 1 FROM evnts", "Unknown table `evnts`. Perhaps you meant `events`?", "evnts"),
    ("SELECT 1 FROM zzzzzz", "Unknown table `zzzzzz`.", "zzzzzz"),
    ("SELECT 1 FROM system.tables", "Unknown table `system.tables`.", "system.tables"),
    ("SELECT 1 FROM information_schema.tables", "Unknown table `information_schema.tables`.", "information_schema.tables"),
    ("SELECT 1 FROM default.events", "Unknown table `default.events`. Perhaps you meant `events`?", "default.events"),
    ("SELECT url('x')", "Unsupported function call 'url(...)'", "url('x')"),
    ("SELECT 1 FROM url('http://x')", "Unknown table `url`.", "url('http://x')"),
    ("SELECT cuont()", "Unsupported function call 'cuont(...)'. Perhaps you meant 'count(...)'?", "cuont()"),
    ("SELECT count(1, 2, 3, 4) FROM events", "Aggregation 'count' requires between 0 and 1 arguments, found 4", "count(1, 2, 3, 4)"),
    ("SELECT sum(count()) FROM events", "Aggregation 'count' cannot be nested inside another aggregation 'sum'.", "count()"),
    ("SELECT count() AS n, sum(n) FROM events", "An aggregation cannot be nested inside another aggregation 'sum'.", "n"),
    ("SELECT events FROM events", "Can't select a table when a column is expected: events", "events"),
    ("SELECT person FROM events", "Can't select a table when a column is expected: person", "person"),
    ("SELECT event AS a, uuid AS a FROM events", "Cannot redefine an alias with the name: a", "uuid AS a"),
    ("SELECT event FROM events a JOIN events b ON 1", "Ambiguous query. Found multiple sources for field: event", "event"),
    ("SELECT x FROM (SELECT event AS x, uuid FROM events) AS a JOIN (SELECT 1 AS x) AS b ON 1", "Ambiguous query. Found multiple sources for field: x", "x"),
    ("SELECT event FROM (SELECT * FROM events AS a CROSS JOIN events AS b)", "Ambiguous query. Found multiple sources for field: event", "event"),
    ("SELECT 1 FROM events e JOIN persons e ON 1", 'Already have joined a table called "e". Can\'t redefine.', "persons e"),
    ("SELECT 1 FROM events FINAL", "The FINAL keyword is not supported in HogQL as it causes slow queries", "events FINAL"),
    ("SELECT 1 FROM numbers", "Table function 'numbers' requires arguments", "numbers"),
    ("SELECT 1 FROM numbers()", "Table function 'numbers' requires at least 1 argument", "numbers()"),
    ("SELECT 1 FROM numbers(1, 2, 3)", "Table function 'numbers' requires at most 2 arguments", "numbers(1, 2, 3)"),
    ("SELECT 1 FROM events(1)", "Table 'events' does not accept arguments", "events(1)"),
    ("SELECT 1 FROM persons SAMPLE 0.5", "SAMPLE can only be used on the table `events`", "SAMPLE 0.5"),
    ("SELECT (SELECT count() FROM persons WHERE id = e.person_id) FROM events e", "Unable to resolve field: e.person_id. A subquery cannot use columns of the query around it", "e.person_id"),
    ("SELECT (SELECT event) FROM events", "Unable to resolve field: event. A subquery cannot use columns of the query around it", "event"),
    ("SELECT 1 WHERE {x}", "You can not use placeholders here", "{x}"),
    ("SELECT 1 FROM {x}", "You can not use placeholders here", "{x}"),
    ("SELECT 1 WHERE person_id IN COHORT 99", "Could not find a cohort with ID 99", "99"),
    ("SELECT 1 WHERE person_id IN COHORT 'fans'", "Could not find a cohort with the name 'fans'. Perhaps you meant 'Fans'?", "'fans'"),
    ("SELECT x -> 1", "A lambda can only be an argument of a function that takes one", "x -> 1"),
    ("SELECT row_number()", "Function 'row_number' needs OVER (...)", "row_number()"),
    ("SELECT upper('a') OVER ()", "Function 'upper' cannot be used with OVER", "upper('a') OVER ()"),
    ("SELECT 1::frog", "Unknown type 'frog' in a cast", "1::frog"),
    ("SELECT *", "Cannot use '*' without a table", "*"),
    ("SELECT upper(*) FROM events", "Function 'upper' cannot take *", "*"),
    ("SELECT event.x FROM events", "Unable to resolve field: event.x", "event.x"),
    ("SELECT 1 ORDER BY 2", "There is no column 2 to order or group by", "2"),
    ("SELECT 1 LIMIT -1", "LIMIT takes a whole number from 0 on", "-1"),
    ("SELECT 1 UNION ALL SELECT 1, 2", "The SELECTs have 1 and 2 columns, and must have equally many", "SELECT 1, 2"),
    ("SELECT 1 FROM events JOIN persons", "A JOIN needs a condition: ON .. or USING ..", "persons"),
    ("SELECT 1 FROM events JOIN persons USING (zz)", "Unable to resolve field: zz", "zz"),
    ("SELECT event FROM events GROUP BY event WITH TOTALS", "WITH TOTALS is not supported: an answer has no place for the totals. Use GROUP BY ROLLUP", "SELECT event FROM events GROUP BY event WITH TOTALS"),
    ("SELECT sum(1) OVER w", "Unknown window `w`", "sum(1) OVER w"),
    ("SELECT b + 1 AS a, a + 1 AS b", "Unable to resolve field: a", "a"),
    ("WITH a AS (SELECT * FROM a) SELECT 1", "Unknown table `a`.", "a"),
    ("SELECT 1 WHERE 'ä' = evnt", "Unable to resolve field: evnt", "evnt"),
    ("SELECT upper(DISTINCT 'a')", "Function 'upper' is no aggregation and cannot have DISTINCT", "upper(DISTINCT 'a')"),
    ("SELECT COLUMNS('(a+)+') FROM events", "COLUMNS takes a pattern of letters, digits, `_`, `.`, `.*`, `^` and `$` only", "COLUMNS('(a+)+')"),
    ("SELECT 'a\0b'", "A text cannot hold the character NUL", "'a\0b'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "place"), MISTAKES, ids=[text for text, _, _ in MISTAKES])
def test_mistake(text: str, message: str, place: str) -> None:
    with pytest.raises(HogQLResolutionError) as caught:
        compiled(text)
    assert caught.value.message == message
    assert text[caught.value.start : caught.value.end] == place


def test_deep_tree_is_refused_and_never_overflows() -> None:
    for depth in (150, 5_000):
        deep: Expr = Constant(value=1)
        for _ in range(depth):
            deep = Not(expr=deep)
        with pytest.raises(HogQLResolutionError, match="nested too deeply"):
            compile_query(SelectQuery(select=(deep,)), CONTEXT)


def test_deep_subqueries_are_refused_and_never_overflow() -> None:
    query = SelectQuery(select=(Constant(value=1),))
    for _ in range(200):
        query = SelectQuery(select=(query,))
    with pytest.raises(HogQLResolutionError, match="nested too deeply"):
        compile_query(query, CONTEXT)


def test_ctes_that_double_each_other_are_refused() -> None:
    ctes = ", ".join(f"c{i} AS (SELECT 1 AS n FROM c{i - 1} AS a CROSS JOIN c{i - 1} AS b)" for i in range(1, 20))
    with pytest.raises(HogQLResolutionError, match="too many subqueries"):
        compiled(f"WITH c0 AS (SELECT 1 AS n), {ctes} SELECT n FROM c19")


def test_values_of_with_that_double_each_other_are_refused() -> None:
    values = ", ".join(f"v{i - 1} + v{i - 1} AS v{i}" for i in range(1, 20))
    with pytest.raises(HogQLResolutionError, match="too large"):
        compiled(f"WITH 1 AS v0, {values} SELECT v19")


@pytest.mark.parametrize("star", ["*", "e.*", "COLUMNS('.*')", "* EXCLUDE (uuid)"])
def test_stars_that_stand_for_very_many_columns_are_refused(star: str) -> None:
    few, many = (f"SELECT {', '.join([star] * times)} FROM events AS e" for times in (100, 400))
    assert compiled(few)
    with pytest.raises(HogQLResolutionError, match="too large"):
        compiled(many)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(HogQLResolutionError, match="surrogate"):
        compile_query(SelectQuery(select=(Constant(value="\ud800"),)), CONTEXT)


def test_long_lists_become_few_parameters() -> None:
    texts = Array(exprs=tuple(Constant(value=f"value {i}") for i in range(10_000)))
    node = SelectQuery(select=(CompareOperation(op="in", left=Constant(value="value 7"), right=texts),))
    made = compile_query(node, CONTEXT)
    assert len(made.parameters) < 20
    assert len(made.sql) < 2_000


def test_every_parameter_of_a_long_list_fits_a_field_of_a_form() -> None:
    node = SelectQuery(select=(Constant(value=[f"{i:06}" + "ä" * 36 for i in range(10_000)]),))
    made = compile_query(node, CONTEXT)
    sizes = [len(str(value).encode()) for value in made.parameters.values()]
    assert sum(sizes) > 700_000
    assert max(sizes) < LONGEST_PARAMETER_BYTES


def test_row_expression_takes_no_aggregation_and_no_other_table() -> None:
    for text, message in (
        ("count()", "Aggregations and window functions cannot be used in an expression on one row"),
        ("row_number() OVER ()", "Aggregations and window functions cannot be used in an expression on one row"),
        ("pdi.person_id", "This expression cannot use fields of other tables."),
        ("event AS x", None),
        ("upper(event AS x)", "An alias cannot be given here"),
        ("*", "* cannot be used here"),
    ):
        if message is None:
            compile_row_expr(parse_expr(text), CONTEXT, {})
            continue
        with pytest.raises(HogQLResolutionError) as caught:
            compile_row_expr(parse_expr(text), CONTEXT, {})
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "The expression must be an aggregation, such as sum(...) or count()"),
        ("(SELECT count() FROM events)", "The expression must be an aggregation, such as sum(...) or count()"),
        ("event", "This must stand inside of an aggregation, such as sum(...) or count()"),
        ("max(event) || event", "This must stand inside of an aggregation, such as sum(...) or count()"),
        (
            "arrayMap(x -> event, groupArray(1))",
            "This must stand inside of an aggregation, such as sum(...) or count()",
        ),
        ("arrayJoin(groupArray(1))", "This must stand inside of an aggregation, such as sum(...) or count()"),
        ("sum(count()) OVER ()", "Window functions cannot be used in an aggregation of rows"),
        ("sum(count())", "Aggregation 'count' cannot be nested inside another aggregation 'sum'."),
        ("count(pdi.person_id)", "This expression cannot use fields of other tables."),
        ("count(event AS x)", "An alias cannot be given here"),
    ],
)
def test_what_is_no_aggregation_of_rows(text: str, message: str) -> None:
    with pytest.raises(HogQLResolutionError) as caught:
        compile_aggregate_expr(parse_expr(text), CONTEXT, {})
    assert caught.value.message == message


def test_the_columns_of_an_aggregation_are_named_by_us() -> None:
    text = "sumIf(toFloat(e.properties.`a b`), events.event = 'x') + uniq(person_id) + uniq(person.properties.name)"
    found = compile_aggregate_expr(parse_expr(text), CONTEXT, {}, alias="r", person_id="owner")
    assert found.columns == {
        "`row_properties`": "r.`properties`",
        "`row_event`": "r.`event`",
        "`row_person_id`": "owner",
        "`row_person__properties`": "r.`person_properties`",
    }
    assert "r." not in found.sql
    assert "a b" not in found.sql
