"""Which SELECT of a UNION ALL a row came from, so that its answer can tell whether a LIMIT cut one of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from events.hogql import ast

_UNION_ALL: Final = frozenset({"UNION ALL"})

type Json = Any


@dataclass(frozen=True, slots=True)
class MarkedUnion:
    """A UNION ALL whose SELECTs give one row more than their limits, with the SELECT's number behind each row."""

    query: ast.SelectSetQuery
    limits: tuple[int, ...]

    def cut(self, rows: Sequence[Sequence[Json]]) -> tuple[list[Sequence[Json]], frozenset[int]]:
        """Return the rows within the limits, without the number, and which SELECTs had more."""
        kept: list[Sequence[Json]] = []
        counts = [0] * len(self.limits)
        for *row, number in rows:
            counts[number] += 1
            if counts[number] <= self.limits[number]:
                kept.append(row)
        return kept, frozenset(
            number for number, (count, limit) in enumerate(zip(counts, self.limits, strict=True)) if count > limit
        )


def marked(query: ast.Query, *, most: int) -> MarkedUnion | None:
    """Return a UNION ALL with its SELECTs marked; None for queries of which what was cut cannot be known.

    What DISTINCT, INTERSECT and EXCEPT leave does not tell what was cut before them, nor do an ORDER BY or OFFSET of
    the whole, a LIMIT that is an expression or has ties, or limits of more than `most` rows together.
    """
    if not isinstance(query, ast.SelectSetQuery) or not _UNION_ALL.issuperset(map(str.upper, query.operators)):
        return None
    if query.limit is not None or query.offset is not None or query.order_by:
        return None
    limits = [_limit(arm) for arm in query.queries]
    known = tuple(limit for limit in limits if limit is not None)
    if len(known) < len(limits) or sum(known) > most:
        return None
    arms = tuple(
        _marked_arm(arm, limit, number) for number, (arm, limit) in enumerate(zip(query.queries, known, strict=True))
    )
    return MarkedUnion(replace(query, queries=arms), known)


def _limit(arm: ast.Query) -> int | None:
    limit = arm.limit
    if arm.limit_with_ties or not isinstance(limit, ast.Constant) or not isinstance(limit.value, int):
        return None
    return limit.value


def _marked_arm(arm: ast.Query, limit: int, number: int) -> ast.SelectQuery:
    more = replace(arm, limit=ast.Constant(limit + 1))
    # Around the SELECT: within, the number would be one more key of GROUP BY ALL.
    return ast.SelectQuery(select=(ast.Field(chain=("*",)), ast.Constant(number)), select_from=ast.JoinExpr(table=more))
