"""What the parser reads in a way of its own, or leaves out of its tree: recovered from the text, or refused."""

import math

import pytest

from events.hogql import ast
from events.hogql.errors import HogQLSyntaxError
from events.hogql.parser import MAX_CHARACTERS, parse_expr, parse_order_expr, parse_select, parse_template
from events.hogql.parser.builder import MAX_DEPTH

A, B, C = (ast.Field((name,)) for name in "abc")
ONE, TWO, THREE = (ast.Constant(number) for number in (1, 2, 3))


def select(text: str) -> ast.SelectQuery:
    query = parse_select(text)
    assert isinstance(query, ast.SelectQuery)
    return query


def union(text: str) -> ast.SelectSetQuery:
    query = parse_select(text)
    assert isinstance(query, ast.SelectSetQuery)
    return query


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("a.b.c", ("a", "b", "c")),
        ("properties['x']", ("properties", "x")),
        ("properties['x y'].z", ("properties", "x y", "z")),
        ("properties.a.0", ("properties", "a", 0)),
        ("properties.a[1].b", ("properties", "a", 1, "b")),
        ("properties.0", ("properties", 0)),
        ("e.properties?.a?.['b']", ("e", "properties", "a", "b")),
        ("(a).b", ("a", "b")),
        ('`a.b`."c"', ("a.b", "c")),
        ("*", ("*",)),
        ("e.*", ("e", "*")),
    ],
)
def test_names_below_a_field_are_one_chain(text: str, chain: tuple[str | int, ...]) -> None:
    assert parse_expr(text) == ast.Field(chain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a[1]", ast.ArrayAccess(A, ONE)),
        ("a.1", ast.TupleAccess(A, 1)),
        ("a[-1]", ast.ArrayAccess(A, ast.Constant(-1))),
        ("a[b]", ast.ArrayAccess(A, B)),
        ("a['b' || c]", ast.ArrayAccess(A, ast.Call("concat", (ast.Constant("b"), C)))),
        ("f(a).b", ast.ArrayAccess(ast.Call("f", (A,)), ast.Constant("b"))),
        ("f(a)?.1", ast.TupleAccess(ast.Call("f", (A,)), 1, nullish=True)),
        ("a[1:2]", ast.ArraySlice(A, ONE, TWO)),
        ("a[:2]", ast.ArraySlice(A, None, TWO)),
    ],
)
def test_access_that_is_no_key_of_a_field_stays(text: str, expected: ast.Expr) -> None:
    assert parse_expr(text) == expected


def test_folded_field_spans_all_of_its_keys() -> None:
    node = parse_expr("  properties['ü'].x + 1")
    assert isinstance(node, ast.ArithmeticOperation)
    assert (node.left.start, node.left.end) == (2, 19)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("1e999", math.inf),
        ("18446744073709551615", 2**64 - 1),
        ("0x8000000000000000", 2**63),
        ("-9223372036854775809", -(2**63) - 1),
        ("true", True),
        ("null", None),
        (r"'a\'b''c\n\\'", "a'b'c\n\\"),
    ],
)
def test_constants(text: str, value: object) -> None:
    node = parse_expr(text)
    assert isinstance(node, ast.Constant)
    assert (node.value, type(node.value)) == (value, type(value))


def test_nan_is_a_number() -> None:
    node = parse_expr("NaN")
    assert isinstance(node, ast.Constant)
    assert math.isnan(node.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("case when a then b end", ast.Call("if", (A, B, ast.Constant(None)))),
        ("a ? b : c", ast.Call("if", (A, B, C))),
        ("a ?? b", ast.Call("ifNull", (A, B))),
        ("a || b || c", ast.Call("concat", (A, B, C))),
        ("interval 7 day", ast.Call("toIntervalDay", (ast.Constant(7),))),
        ("-a", ast.ArithmeticOperation("-", ast.Constant(0), A)),
        ("a <=> b", ast.IsDistinctFrom(A, B, negated=True)),
        ("a ~* b", ast.CompareOperation("=~*", A, B)),
        ("a is not null", ast.CompareOperation("!=", A, ast.Constant(None))),
        ("not (a and b)", ast.Not(ast.And((A, B)))),
        ("a::Decimal( 10,2)", ast.TypeCast(A, "decimal(10, 2)")),
        ("a::nullable(String)", ast.TypeCast(A, "nullable(string)")),
        ("try_cast(a as Int32)", ast.TypeCast(A, "int32", nullish=True)),
        ("e.* exclude (a)", ast.ColumnsExpr(table=("e",), exclude=("a",))),
        ("columns(`my e`.* replace (1 as a))", ast.ColumnsExpr(table=("my e",), replace=(("a", ONE),))),
        ("columns('^a')", ast.ColumnsExpr(regex="^a")),
    ],
)
def test_spellings_have_one_tree(text: str, expected: ast.Expr) -> None:
    assert parse_expr(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ast.OrderExpr(A)),
        ("a desc nulls first", ast.OrderExpr(A, "DESC", "FIRST")),
        ("(a) asc NULLS /* x */ last", ast.OrderExpr(A, "ASC", "LAST")),
    ],
)
def test_place_of_nulls_is_kept(text: str, expected: ast.OrderExpr) -> None:
    assert parse_order_expr(text) == expected


@pytest.mark.parametrize(
    ("text", "mode", "totals"),
    [
        ("a, b", None, False),
        ("a, b with rollup", "rollup", False),
        ("a, (b) WITH  Cube with totals", "cube", True),
        ("rollup(a, b) with totals", "rollup", True),
        ("a, b with totals", None, True),
    ],
)
def test_rollup_cube_and_totals_are_kept(text: str, mode: str | None, totals: bool) -> None:  # noqa: FBT001
    query = select(f"select 1 group by {text} having c")
    assert (query.group_by, query.group_by_mode, query.with_totals) == ((A, B), mode, totals)


@pytest.mark.parametrize(("words", "said"), [("with totals", (None, True)), ("with rollup", ("rollup", False))])
def test_what_follows_a_subquery_in_group_by_is_said_of_the_outer_query(
    words: str, said: tuple[str | None, bool]
) -> None:
    query = select(f"select 1 group by ((select a group by (b))) {words}")
    inner = query.group_by[0]
    assert isinstance(inner, ast.SelectQuery)
    assert (query.group_by_mode, query.with_totals) == said
    assert (inner.group_by_mode, inner.with_totals) == (None, False)


def test_grouping_sets() -> None:
    query = select("select 1 group by grouping sets ((a, b), ())")
    assert query.group_by == (ast.GroupingSet((A, B)), ast.GroupingSet(()))


@pytest.mark.parametrize(
    ("text", "limit", "offset"),
    [
        ("limit 3", THREE, None),
        ("limit 2, 3", TWO, THREE),
        ("limit 2 offset 3", TWO, THREE),
        ("offset 3 limit 2", TWO, THREE),
        ("limit (1 + 1) offset 3", ast.ArithmeticOperation("+", ONE, ONE), THREE),
    ],
)
def test_limit_and_offset(text: str, limit: ast.Expr, offset: ast.Expr | None) -> None:
    query = select(f"select e.offset, limit {text}")
    assert (query.limit, query.offset) == (limit, offset)


@pytest.mark.parametrize("limits", ["limit 2 offset 3", "offset 3 limit 2", "limit 1 by a limit 2 offset 3"])
def test_what_follows_a_subquery_is_read_after_its_limit_and_offset(limits: str) -> None:
    first, second = select(f"select a order by b, (select c {limits}) desc nulls first").order_by
    assert isinstance(second, ast.OrderExpr)
    assert isinstance(second.expr, ast.SelectQuery)
    assert (first, second.order, second.nulls) == (ast.OrderExpr(B), "DESC", "FIRST")
    assert (second.expr.limit, second.expr.offset) == (TWO, THREE)
    assert select(f"select a group by (select c {limits}) with rollup").group_by_mode == "rollup"


def test_limit_after_a_union_is_that_of_its_last_arm_with_its_offset() -> None:
    query = union("select 1 union all select 2 limit 3 offset 2")
    last = query.queries[1]
    assert (query.limit, query.offset, last.limit, last.offset) == (None, None, THREE, TWO)


def test_order_and_limit_after_parentheses_are_those_of_the_union() -> None:
    text = "(select 1 limit 1) union all (select 2) order by 'ü' desc limit 3 offset 2"
    query = union(text)
    assert query.order_by == (ast.OrderExpr(ast.Constant("ü"), "DESC"),)
    assert (query.limit, query.offset) == (THREE, TWO)
    assert text[query.order_by[0].start : query.order_by[0].end] == "'ü' desc"
    assert query.queries[0].limit == ONE


def test_order_after_one_query_in_parentheses_is_kept() -> None:
    assert select("(select a) order by b limit 2") == select("select a order by b limit 2")
    inner = select("select a order by b limit 3")
    everything = (ast.Field(("*",)),)
    order = (ast.OrderExpr(C),)
    expected = ast.SelectQuery(everything, select_from=ast.JoinExpr(inner), order_by=order)
    assert parse_select("(select a order by b limit 3) order by c") == expected


def test_ctes_before_a_union_are_for_all_of_it() -> None:
    for text in (
        "with x as (select ')') select 1 union all select 2",
        "with x as (select ')') (select 1) union all select 2",
    ):
        query = union(text)
        assert [cte.name for cte in query.ctes] == ["x"]
        assert not query.queries[0].ctes


def test_ctes_in_parentheses_are_for_their_arm() -> None:
    query = union("with x as (select 1) (with y as (select 2) select 3) union all select 4")
    assert [cte.name for cte in query.ctes] == ["x"]
    assert [cte.name for cte in query.queries[0].ctes] == ["y"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("select 1 limit 1 limit 2", "limit"),
        ("select 1 limit 1, 2 offset 3", "3"),
        ("(select 1 limit 3) limit 2", "limit"),
        ("(select 1 limit 3) offset 2", "2"),
        ("select * from (select 1) as x where a in ((select 1) order by 1)", "order"),
        ("(select 1 union all select 2) limit 4 with ties", "with"),
        ("select 1 group by all with totals", "with"),
        ("select sum(a) filter (where b) over ()", "filte"),
        ("select 1 order by a collate 'en'", "a collate 'en'"),
        ("select 1 order by a with fill", "a with fill"),
        ("select 1 limit 10%", "select 1 limit 10%"),
        ("select 1 from events format JSON", "events format"),
        ("select 1 from events as e format JSON", "events as e"),
        ("select 1 from numbers(1) format JSON", "numbers(1)"),
        ("select 1 from numbers(1) as n format JSON", "numbers(1)"),
        ("select 1 from events into outfile", "events into"),
        ("select 1 from a join (b join c on 1) on 2", "c"),
        ("select 1 from (values (1, 2)) as t", "values (1, 2)"),
        ("select 1 from e pivot (count() for x in (1))", "e pivot (count() for x in (1))"),
        ("select 1 from t sample 10", "10"),
        ("select a.b(1)", "a.b(1)"),
        ("select (x -> x)(1)", "(x -> x)(1)"),
        ("select #1", "#1"),
        ("<a b={1} />", "<a b={1} />"),
        ("select <a>x</a>", "<a>x</a>"),
        ("{x}", "{x}"),
        ("with recursive t(n) using key (n) as (select 1) select 1", "t(n) using key (n) as (select 1)"),
        ("select sum(a) over (rows between interval 1 day preceding and current row)", "interval 1 day preceding"),
        ("select " + "9" * 100, "9" * 100),
        ("select 1 settings max_threads = 1", "settings"),
        ("select 1; select 2", "select"),
        ("drop table events", None),
        ("insert into events values (1)", None),
        ("explain select 1", None),
        ("select 1 as team_id", None),
        ("", None),
    ],
)
def test_what_would_be_lost_or_is_not_supported_is_refused(text: str, part: str | None) -> None:
    with pytest.raises(HogQLSyntaxError) as raised:
        parse_select(text)
    start, end = raised.value.start, raised.value.end
    assert raised.value.message
    assert start is not None
    assert part is None or text[start:end].startswith(part), (text[start:end], raised.value.message)


@pytest.mark.parametrize(
    "rest",
    [
        "'x' ^",
        "'x",
        "`a",
        '"a',
        r"'\u'",
        "f'x{a",
        "(1",
        "1 as team_id",
        "1 settings a=1",
        "1 from from from",
        ")",
        "1 limit 1 limit 2",
    ],
)
def test_errors_count_characters_not_bytes(rest: str) -> None:
    positions = []
    for word in ("xxxxx", "ü😀漢字é"):
        with pytest.raises(HogQLSyntaxError) as raised:
            parse_select(f"select '{word}', {rest}")
        positions.append((raised.value.start, raised.value.end))
    assert positions[0] == positions[1]
    assert positions[0][0] is not None


def test_trees_count_characters_not_bytes() -> None:
    query = select("select 'ü😀漢字é', a from b")
    assert (query.select[1].start, query.select[1].end) == (16, 17)


@pytest.mark.parametrize("text", ["select '\ud800'", "select \udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    with pytest.raises(HogQLSyntaxError, match="not valid Unicode"):
        parse_select(text)


def test_too_long_a_text_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(HogQLSyntaxError, match="longer than 100000 characters"):
        parse_select("select " + "a" * MAX_CHARACTERS)


@pytest.mark.parametrize(
    ("before", "after"), [("(", ")"), ("f(", ")"), ("[", "]"), ("not ", ""), ("(select ", ")"), ("a + (", ")")]
)
def test_deep_nesting_is_refused(before: str, after: str) -> None:
    text = before * 3_000 + "1" + after * 3_000
    with pytest.raises(HogQLSyntaxError) if before != "(" else pytest.raises(HogQLSyntaxError, match="nest"):
        parse_expr(text)


def test_depth_is_bounded_to_what_recursion_can_take() -> None:
    assert parse_expr("f(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
    with pytest.raises(HogQLSyntaxError, match=f"more than {MAX_DEPTH} levels"):
        parse_expr("f(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH)


def test_too_many_terms_are_refused() -> None:
    with pytest.raises(HogQLSyntaxError, match="more than 10000 terms"):
        parse_expr("[" + "1," * 10_000 + "1]")


def test_template_is_a_text_with_expressions() -> None:
    expected = ast.Call("concat", (ast.Constant("order by "), A, ast.Constant(" limit limit")))
    assert parse_template("order by {a} limit limit") == expected
    assert parse_template("plain") == ast.Constant("plain")


@pytest.mark.parametrize("depth", [300, 511, 600, 900, 1500])
def test_depth_is_refused_whoever_meets_it_first(depth: int) -> None:
    with pytest.raises(HogQLSyntaxError):
        parse_expr("abs(" * depth + "1" + ")" * depth)
