"""Formulas over series: `A / B * 100`, where letters stand for series in their order."""

import ast
import math
import operator
from collections.abc import Callable, Sequence
from typing import Final

from core.api.errors import Invalid

MAX_LENGTH: Final = 500
_DEEPEST: Final = 50
_LARGEST: Final = 1e300
_OPERATIONS: Final[dict[type[ast.AST], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}

type Formula = Callable[[Sequence[float]], float | None]


def read_formula(text: str, *, series: int, attr: str) -> Formula:
    """Return the function of a formula: from a number of each series to a number, None for what JSON has no number for.

    Dividing by 0 gives 0. Raises Invalid for anything but numbers, letters of series, `+ - * / % ** ^` and parentheses.
    """
    if len(text) > MAX_LENGTH:
        message = f"A formula has at most {MAX_LENGTH} characters."
        raise Invalid(message, attr=attr)
    try:
        tree = ast.parse(text.strip().upper().replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Invalid("This is no formula.", attr=attr) from None
    _check(tree, series, attr, 0)
    return lambda numbers: _number(tree, numbers)


def _check(node: ast.AST, series: int, attr: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise Invalid("The formula is nested too deeply.", attr=attr)
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            _check(left, series, attr, depth + 1)
            _check(right, series, attr, depth + 1)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, series, attr, depth + 1)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and abs(value) < _LARGEST:
            return
        case ast.Name(id=name) if len(name) == 1 and "A" <= name <= "Z":
            if ord(name) - ord("A") >= series:
                message = f"There is no series {name}."
                raise Invalid(message, attr=attr)
        case _:
            raise Invalid("A formula has numbers, letters of series, + - * / % ** and parentheses.", attr=attr)


def _number(tree: ast.AST, numbers: Sequence[float]) -> float | None:
    try:
        found = _evaluated(tree, numbers)
    except OverflowError:
        return None
    return found if not isinstance(found, complex) and math.isfinite(found) else None


def _evaluated(node: ast.AST, numbers: Sequence[float]) -> float:
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            one, other = _evaluated(left, numbers), _evaluated(right, numbers)
            try:
                found: float = _OPERATIONS[type(op)](one, other)
            except ZeroDivisionError:
                return 0.0
            if isinstance(found, complex):
                raise OverflowError
            return found
        case ast.UnaryOp(op=op, operand=operand):
            return -_evaluated(operand, numbers) if isinstance(op, ast.USub) else _evaluated(operand, numbers)
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return float(numbers[ord(name) - ord("A")])
        case _:
            raise TypeError(node)
