"""Conditions are 0 or 1, never NULL, and say of NULL what query.md D4 says."""
# ruff: noqa: E501, S608 - a statement and its outcome are one line; nobody else's text is in the statements

from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.events.hogql.compiler.world import ask, compiled, run

RULES: list[tuple[str, Any]] = [
    ("a = 'x'", [0, 1, 0]),
    ("a != 'x'", [1, 0, 1]),
    ("'x' != a", [1, 0, 1]),
    ("a = NULL", [1, 0, 0]),
    ("a != NULL", [0, 1, 1]),
    ("a IS NULL", [1, 0, 0]),
    ("a IS NOT NULL", [0, 1, 1]),
    ("a < 'y'", [0, 1, 0]),
    ("a >= 'x'", [0, 1, 1]),
    ("a LIKE 'x%'", [0, 1, 0]),
    ("a NOT LIKE 'x%'", [1, 0, 1]),
    ("a ILIKE 'X'", [0, 1, 0]),
    ("a NOT ILIKE 'X'", [1, 0, 1]),
    ("a =~ '^x'", [0, 1, 0]),
    ("a !~ '^x'", [1, 0, 1]),
    ("a =~* '^X'", [0, 1, 0]),
    ("a !~* '^X'", [1, 0, 1]),
    ("a BETWEEN 'a' AND 'x'", [0, 1, 0]),
    ("a NOT BETWEEN 'a' AND 'x'", [0, 0, 1]),
    ("a IN ('x')", [0, 1, 0]),
    ("a NOT IN ('x')", [1, 0, 1]),
    ("a IN ('x', NULL)", [1, 1, 0]),
    ("a NOT IN ('x', NULL)", [0, 0, 1]),
    ("a IN (NULL)", [1, 0, 0]),
    ("a NOT IN []", [1, 1, 1]),
    ("a IN ['x', 'z']", [0, 1, 1]),
    ("a IN (b, 'z')", [1, 0, 1]),
    ("a IN (SELECT 'x')", [0, 1, 0]),
    ("a IN (SELECT nullIf('', ''))", [1, 0, 0]),
    ("a IS DISTINCT FROM 'x'", [1, 0, 1]),
    ("a IS NOT DISTINCT FROM NULL", [1, 0, 0]),
    ("a = a", [1, 1, 1]),
    ("a = b", [1, 0, 0]),
    ("a != b", [0, 1, 1]),
    ("not (a = 'x')", [1, 0, 1]),
    ("a = 'x' OR a = NULL", [1, 1, 0]),
    ("a = 'x' AND true", [0, 1, 0]),
]


@pytest.mark.parametrize(("expression", "outcome"), RULES, ids=[text for text, _ in RULES])
def test_rule(world: ModuleType, expression: str, outcome: Any) -> None:
    rows = ask(f"""
        SELECT {expression} FROM (
            SELECT number AS n, nullIf(['', 'x', 'z'][n + 1], '') AS a, nullIf(['', 'z', ''][n + 1], '') AS b FROM numbers(3)
        ) ORDER BY n
    """)
    assert [int(value) for (value,) in rows] == outcome


VALUES = [None, "", "a", "b"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_comparisons_agree_with_python(world: ModuleType, data: st.DataObject) -> None:
    """NULL is a value that is equal to itself and to nothing else, and in no order."""
    pairs = [(left, right) for left in VALUES for right in VALUES]
    op = data.draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    left, right = data.draw(st.sampled_from(["a", "b"])), data.draw(st.sampled_from(["a", "b", "'a'", "''", "NULL"]))
    made = compiled(
        f"SELECT {left} {op} {right} FROM (SELECT a, b FROM (SELECT 1) ARRAY JOIN {_column(0)} AS a, {_column(1)} AS b)"
    )
    found = [bool(row[0]) for row in run(made.sql, made.parameters)["data"]]
    if right == "NULL" and op not in ("=", "!="):
        assert not any(found)
        return
    assert found == [_python(op, _side(left, pair), _side(right, pair)) for pair in pairs]


def _column(side: int) -> str:
    pairs = [(left, right) for left in VALUES for right in VALUES]
    return "[" + ", ".join("NULL" if pair[side] is None else f"'{pair[side]}'" for pair in pairs) + "]"


def _side(text: str, pair: tuple[Any, Any]) -> Any:
    return {"a": pair[0], "b": pair[1], "'a'": "a", "''": "", "NULL": None}[text]


def _python(op: str, left: Any, right: Any) -> bool:
    if op == "=":
        return bool(left == right)
    if op == "!=":
        return bool(left != right)
    if left is None or right is None:
        return False
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op])
