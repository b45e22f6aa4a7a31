"""What is printed is parsed again to the same tree."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.hogql import ast
from events.hogql.parser import parse_expr, parse_order_expr, parse_select
from events.hogql.printer import print_hogql, print_name, print_string

NAMES = st.one_of(
    st.sampled_from(
        ["a", "b", "event", "$os", "my name", "select", "limit", "true", "nan", "inf", "team_id", "recursive"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00*"), min_size=1, max_size=6),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
FUNCTIONS = st.sampled_from(["count", "toDate", "if", "and", "any", "left", "exists", "$f", "two words", "columns"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS)
TYPES = st.sampled_from(["int32", "nullable(string)", "decimal(10, 2)", "datetime64(3, 'UTC')", "double precision"])
ORDERS = [None, "FIRST", "LAST"]
# `a and (b and c)`, and `not` of a call, have one tree only.
COMPARISONS = [
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "like",
    "ilike",
    "not like",
    "not ilike",
    "in",
    "not in",
    "=~",
    "!~",
    "=~*",
    "!~*",
]


def a_field() -> st.SearchStrategy[ast.Expr]:
    below = st.lists(st.one_of(NAMES, st.integers(0, 99)), max_size=2)
    chains = st.tuples(NAMES, NAMES, below).map(lambda parts: ast.Field((parts[0], parts[1], *parts[2])))
    return st.one_of(NAMES.map(lambda name: ast.Field((name,))), chains, st.just(ast.Field(("*",))))


def tuples(inner: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(inner, min_size=least, max_size=most).map(tuple)


def merged(kind: type[ast.And | ast.Or]) -> Any:
    """Return a builder of conditions as the parser makes them: one of the same kind is merged."""

    def build(exprs: tuple[ast.Expr, ...]) -> ast.Expr:
        flat: list[ast.Expr] = []
        for expr in exprs:
            flat += expr.exprs if isinstance(expr, kind) else [expr]
        return kind(tuple(flat))

    return build


def order(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.OrderExpr]:
    return st.builds(ast.OrderExpr, inner, st.sampled_from(["ASC", "DESC"]), st.sampled_from(ORDERS))


def window(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.WindowExpr]:
    kinds = st.sampled_from(["CURRENT ROW", "PRECEDING", "FOLLOWING"])
    frame = st.builds(ast.WindowFrame, kinds, st.one_of(st.none(), st.integers(0, 9))).map(
        lambda found: replace(found, value=None) if found.kind == "CURRENT ROW" else found
    )
    plain = st.builds(ast.WindowExpr, tuples(inner, 0, 2), tuples(order(inner), 0, 2))
    framed = st.builds(
        ast.WindowExpr,
        tuples(inner, 0, 1),
        tuples(order(inner), 1, 1),
        st.sampled_from(["ROWS", "RANGE"]),
        frame,
        st.one_of(st.none(), frame),
    )
    return st.one_of(plain, framed)


def a_call(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    # A query in the first of two pairs of parentheses is read as a call of what a call returns.
    parameter = inner.filter(lambda node: not isinstance(node, ast.SelectQuery | ast.SelectSetQuery))
    plain = st.builds(ast.Call, FUNCTIONS, tuples(inner))
    full = st.builds(
        ast.Call,
        FUNCTIONS,
        tuples(inner, 1, 2),
        st.one_of(st.none(), tuples(parameter, 1, 2)),
        st.booleans(),
        st.one_of(st.none(), inner),
        tuples(order(inner), 0, 1),
    )
    first = st.one_of(st.none(), tuples(parameter, 1, 1))
    over = st.builds(ast.WindowFunction, FUNCTIONS, tuples(inner, 1, 2), first)
    windows = st.one_of(
        st.builds(lambda node, expr: replace(node, over_expr=expr), over, window(inner)),
        st.builds(lambda node, name: replace(node, over_identifier=name), over, NAMES),
    )
    return st.one_of(plain, full, windows)


def an_operation(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    return st.one_of(
        tuples(inner, 2).map(merged(ast.And)),
        tuples(inner, 2).map(merged(ast.Or)),
        st.builds(ast.Not, inner),
        st.builds(ast.CompareOperation, st.sampled_from(COMPARISONS), inner, inner),
        st.builds(ast.CompareOperation, st.sampled_from(["in cohort", "not in cohort"]), inner, inner),
        st.builds(ast.BetweenExpr, inner, inner, inner, st.booleans()),
        st.builds(ast.IsDistinctFrom, inner, inner, st.booleans()),
        st.builds(ast.ArithmeticOperation, st.sampled_from("+-*/%"), inner, inner),
    )


def an_access(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    base = inner.filter(lambda node: not isinstance(node, ast.Field))
    return st.one_of(
        st.builds(ast.ArrayAccess, base, inner, st.booleans()),
        st.builds(ast.TupleAccess, base, st.integers(0, 9), st.booleans()),
        st.builds(ast.ArraySlice, inner, st.one_of(st.none(), inner), st.one_of(st.none(), inner)),
    )


def an_expression(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    names = tuples(NAMES, 1, 2)
    stars = st.builds(
        lambda table, exclude, replaced: ast.ColumnsExpr(table=table, exclude=exclude, replace=replaced),
        tuples(NAMES, 0, 2),
        names,
        st.dictionaries(NAMES, inner, max_size=2).map(lambda found: tuple(sorted(found.items()))),
    )
    return st.one_of(
        an_operation(inner),
        an_access(inner),
        a_call(inner),
        st.builds(ast.Tuple, tuples(inner, 1)),
        st.builds(ast.Array, tuples(inner)),
        st.builds(ast.Dict, tuples(st.tuples(inner, inner))),
        st.builds(ast.Lambda, tuples(NAMES, 0, 2), inner),
        st.builds(ast.TypeCast, inner, TYPES, st.booleans()),
        st.builds(ast.Alias, NAMES, inner),
        st.builds(ast.Placeholder, NAMES.map(lambda name: ast.Field((name,)))),
        st.one_of(stars, st.builds(lambda regex: ast.ColumnsExpr(regex=regex), TEXTS)),
        a_query(inner),
    )


def a_join(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.JoinExpr]:
    fields = tuples(NAMES, 1, 2).map(ast.Field)
    constraints = st.one_of(
        st.none(),
        st.builds(ast.JoinConstraint, inner, st.just("ON")),
        st.builds(ast.JoinConstraint, tuples(fields, 1, 2).map(ast.Tuple), st.just("USING")),
    )
    joins = st.sampled_from(
        [
            "JOIN",
            "INNER JOIN",
            "LEFT JOIN",
            "RIGHT JOIN",
            "FULL JOIN",
            "LEFT OUTER JOIN",
            "LEFT ANY JOIN",
            "LEFT SEMI JOIN",
        ]
    )
    sample = st.builds(ast.SampleExpr, st.floats(0.001, 1), st.one_of(st.none(), st.floats(0, 1)))

    def build(kind: str, table: ast.Expr, alias: str | None, extra: Any) -> ast.JoinExpr:
        args, final, sampled, columns, constraint = extra
        # A function's table has a plain name.
        args = args if isinstance(table, ast.Field) and table.chain == ("numbers",) else None
        return ast.JoinExpr(
            table, alias, columns if alias else (), args, final, join_type=kind, constraint=constraint, sample=sampled
        )

    tables = st.one_of(fields, st.just(ast.Field(("numbers",))), a_query(inner))
    extra = st.tuples(
        tuples(inner, 1, 2), st.booleans(), st.one_of(st.none(), sample), tuples(NAMES, 0, 2), constraints
    )
    one = st.builds(build, joins, tables, st.one_of(st.none(), NAMES), extra)

    def chained(found: list[ast.JoinExpr]) -> ast.JoinExpr:
        node = None
        for each in reversed(found[1:]):
            node = replace(each, next_join=node)
        return replace(found[0], join_type=None, constraint=None, next_join=node)

    return st.lists(one, min_size=1, max_size=3).map(chained)


def a_select(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.SelectQuery]:
    maybe = st.one_of(st.none(), inner)
    number = st.one_of(st.none(), st.integers(0, 10**6).map(ast.Constant))
    aliases = tuples(st.builds(ast.Alias, NAMES, inner), 1, 2)
    grouping = st.one_of(
        st.tuples(st.just(()), st.sampled_from([None, "all"]), st.just(False)),  # noqa: FBT003
        st.tuples(tuples(inner, 1), st.sampled_from([None, "cube", "rollup"]), st.booleans()),
        st.tuples(tuples(st.builds(ast.GroupingSet, tuples(inner, 0, 2)), 1), st.just("grouping_sets"), st.booleans()),
    )
    arrays = st.one_of(
        st.just((None, ())), st.tuples(st.sampled_from(["ARRAY JOIN", "LEFT ARRAY JOIN", "INNER ARRAY JOIN"]), aliases)
    )

    @st.composite
    def build(draw: st.DrawFn) -> ast.SelectQuery:
        groups, mode, totals = draw(grouping)
        source = draw(st.one_of(st.none(), a_join(inner)))
        operator, listed = draw(arrays) if source else (None, ())
        windows = draw(st.dictionaries(NAMES, window(inner), max_size=1))
        limit = draw(number)
        by = st.builds(ast.LimitByExpr, st.just(ast.Constant(3)), tuples(inner, 1, 2), number)
        return ast.SelectQuery(
            draw(tuples(inner, 1)),
            draw(st.booleans()),
            draw(ctes(inner)),
            source,
            operator,
            listed,
            draw(maybe) if source else None,
            draw(maybe),
            groups,
            mode,
            totals,
            draw(maybe),
            draw(maybe),
            tuple(windows.items()),
            draw(tuples(order(inner), 0, 2)),
            draw(st.one_of(st.none(), by)),
            limit,
            draw(st.booleans()) if limit else False,
            # `FROM a SAMPLE 1 OFFSET 2` is an offset of the sample.
            draw(number) if limit or source is None else None,
        )

    return build()


def ctes(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[tuple[ast.CTE, ...]]:
    query = st.just(ast.SelectQuery((ast.Constant(1),)))
    subquery = st.builds(
        lambda name, expr, columns: ast.CTE(name, expr, "subquery", columns=columns), NAMES, query, tuples(NAMES, 0, 2)
    )
    column = st.builds(
        lambda name, expr: ast.CTE(name, expr, "column"), NAMES, inner.filter(lambda node: type(node) is ast.Constant)
    )
    recursive = tuples(subquery, 1, 2).map(lambda found: tuple(replace(cte, recursive=True) for cte in found))
    return st.one_of(st.just(()), tuples(st.one_of(subquery, column), 0, 2), recursive)


def a_query(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Query]:
    operators = st.sampled_from(["UNION ALL", "UNION DISTINCT", "INTERSECT", "EXCEPT", "INTERSECT DISTINCT"])
    number = st.one_of(st.none(), st.integers(0, 99).map(ast.Constant))

    @st.composite
    def several(draw: st.DrawFn) -> ast.SelectSetQuery:
        arms = draw(st.lists(a_select(inner), min_size=2, max_size=3))
        found = draw(st.lists(operators, min_size=len(arms) - 1, max_size=len(arms) - 1))
        return ast.SelectSetQuery(
            tuple(arms), tuple(found), ctes=draw(ctes(inner)), limit=draw(number), offset=draw(number)
        )

    return st.one_of(a_select(inner), a_select(inner), several())


LEAVES = st.one_of(a_field(), VALUES.map(ast.Constant))
EXPRESSIONS = st.recursive(LEAVES, an_expression, max_leaves=12)
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(EXPRESSIONS)
def test_expression_is_parsed_to_the_same_tree(node: ast.Expr) -> None:
    # A query by itself is a statement.
    parse = parse_select if isinstance(node, ast.SelectQuery | ast.SelectSetQuery) else parse_expr
    assert repr(parse(print_hogql(node))) == repr(node), print_hogql(node)


@FEW
@given(a_query(st.recursive(LEAVES, an_expression, max_leaves=4)))
def test_query_is_parsed_to_the_same_tree(node: ast.Query) -> None:
    assert repr(parse_select(print_hogql(node))) == repr(node), print_hogql(node)


@FEW
@given(order(LEAVES))
def test_order_is_parsed_to_the_same_tree(node: ast.OrderExpr) -> None:
    assert parse_order_expr(print_hogql(node)) == node


@settings(deadline=None)
@given(TEXTS)
def test_any_text_and_name_come_back(text: str) -> None:
    assert parse_expr(print_string(text)) == ast.Constant(text)
    if "*" not in text:
        assert parse_expr(print_name(text)) == ast.Field((text,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "select   event,count() from events group by event limit 100",
            "SELECT event, count() FROM events GROUP BY event LIMIT 100",
        ),
        ("select a from e where not(a=1 or b!=null) and c", "SELECT a FROM e WHERE NOT (a = 1 OR b IS NOT NULL) AND c"),
        ("select 1-(2-3)*-4, a - -1", "SELECT 1 - (2 - 3) * -4, a - -1"),
        ("select not (and(a, b)), not (or(a) = b)", "SELECT NOT (and(a, b)), NOT (or(a) = b)"),
        ("select properties['my key'].x.0", "SELECT properties.`my key`.x.0"),
        ("select 'it''s' as `select`", r"SELECT 'it\'s' AS `select`"),
        ("select x->x+1, (a,b)->(a as b)", "SELECT (x) -> x + 1, (a, b) -> (a AS b)"),
        ("(select 1 limit 2) union all select 3 limit 4", "(SELECT 1 LIMIT 2) UNION ALL (SELECT 3 LIMIT 4)"),
        ("(select 1) union all (select 2) order by 1 limit 3", "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 LIMIT 3"),
        (
            "with a as (select 1) select * from a join b using x",
            "WITH a AS (SELECT 1) SELECT * FROM a JOIN b USING (x)",
        ),
        ("select a::Int32, interval 7 day", "SELECT CAST(a AS int32), toIntervalDay(7)"),
    ],
)
def test_text_is_as_people_write_it(text: str, expected: str) -> None:
    assert print_hogql(parse_select(text)) == expected
    assert parse_select(expected) == parse_select(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, "a", None], "[1, 'a', NULL]"),
        ({"a": [True]}, "{'a': [true]}"),
        (datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC), "toDateTime('2024-03-05 10:20:30+00:00')"),
        (date(2024, 3, 5), "toDate('2024-03-05')"),
        (UUID(int=1), "toUUID('00000000-0000-0000-0000-000000000001')"),
    ],
)
def test_values_of_placeholders_are_shown(value: Any, expected: str) -> None:
    assert print_hogql(ast.Constant(value)) == expected


def test_ready_made_condition_shows_its_text() -> None:
    condition = ast.RowCondition("events", "{}{}{}".format, "a or b")
    assert print_hogql(ast.And((condition, ast.Field(("c",))))) == "(a or b) AND c"
