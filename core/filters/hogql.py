"""The HogQL in filters, breakdowns and paths of one request: parsed, looked up together, and checked by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Final, Literal, LiteralString

from core.api.errors import ServiceUnavailable
from core.definitions.contexts import ActionsNamed, project_context
from core.filters.problems import invalid_hogql
from core.filters.storing import types_check
from core.tenancy.statements import fetch_row
from events.filters.errors import FilterError
from events.filters.grammar import HOGQL, HOGQL_VALUE, MAX_FILTERS, HogQLReader
from events.filters.row_expressions import RowExpression
from events.hogql import ast
from events.hogql.errors import HogQLBusyError, HogQLError
from events.hogql.parser import parse_expr

MAX_CHARACTERS: Final = 20_000
"""Of all expressions of one filter together."""
MAX_SECONDS: Final = 3.0
"""Of all parses together: each has a limit of its own."""
_TOO_LONG: Final = f"The HogQL expressions of a filter may have at most {MAX_CHARACTERS} characters together."
_TOO_SLOW: Final = "The HogQL expressions take too long to parse."
_TOO_MANY: Final = f"At most {MAX_FILTERS} filters are possible."
_PROJECT: Final[LiteralString] = "SELECT timezone, week_start_day FROM core_team WHERE id = %s"

type Rows = Literal["events", "persons"]


def hogql_reader(  # noqa: PLR0913 what may stand in the expressions
    value: object,
    *,
    team_id: int,
    table: Rows = "events",
    values: bool = False,
    storing: bool = False,
    actions: ActionsNamed | None = None,
) -> HogQLReader:
    """Return what reads the expressions of the filters of type `hogql` in parsed JSON.

    All are parsed and looked up here, by a statement for each sort of thing; what is wrong with one is a FilterError
    when it is read. With `values`, filters on values of expressions are read too, which no caller may send. With
    `storing`, what ClickHouse says of types counts as well, within `stores_filters` and once `types_known` is called.
    `actions` looks up actions; without, expressions cannot name any.
    Raises ServiceUnavailable while too much is being parsed.
    """
    types = {HOGQL, HOGQL_VALUE} if values else {HOGQL}
    texts = list(dict.fromkeys(_texts(value, types)))
    found = _expressions(texts, team_id=team_id, table=table, actions=actions) if texts else {}

    def read(text: str, kind: str) -> RowExpression:
        if kind not in types:
            message = f"The '{kind}' property filter does not work in '{table.removesuffix('s')}' scope"
            raise FilterError(message)
        expression = found.get(text, HogQLError(_TOO_MANY))
        try:
            if isinstance(expression, HogQLError):
                raise expression
            expression.check(condition=kind == HOGQL)
            if storing:
                types_check(expression)
        except HogQLError as error:
            place = (text, error.start, error.end) if kind == HOGQL else None
            raise FilterError(error.message, place=place) from error
        return expression

    return read


def read_expression(text: str, *, team_id: int, attr: str, actions: ActionsNamed | None = None) -> RowExpression:
    """Return the expression on an event in a text; it may name what `actions` finds.

    Raises Invalid, and ServiceUnavailable.
    """
    try:
        expression = _expressions([text], team_id=team_id, table="events", actions=actions)[text]
        if isinstance(expression, HogQLError):
            raise expression
        expression.check(condition=False)
    except HogQLError as error:
        raise invalid_hogql(error, text, attr=attr) from error
    return expression


def _texts(value: object, types: Iterable[str]) -> Iterator[str]:
    """Yield the expressions in parsed JSON, wherever they stand."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, Mapping):
            if isinstance(one.get("type"), str) and one["type"] in types and isinstance(one.get("key"), str):
                yield one["key"]
            waiting.extend(one.values())


def _expressions(
    texts: Sequence[str], *, team_id: int, table: Rows, actions: ActionsNamed | None
) -> dict[str, RowExpression | HogQLError]:
    """Return the expressions of texts, or what is wrong with them."""
    parsed = _parsed(texts)
    nodes = [node for node in parsed.values() if isinstance(node, ast.Expr)]
    if not nodes:
        return {text: problem for text, problem in parsed.items() if isinstance(problem, HogQLError)}
    timezone, week_start_day = fetch_row(_PROJECT, [team_id]) or ("UTC", 0)
    try:
        context = project_context(
            ast.Tuple(exprs=tuple(nodes)),
            team_id=team_id,
            timezone=timezone,
            week_start_day=week_start_day or 0,
            actions=actions,
        )
    except RecursionError:
        return dict.fromkeys(parsed, HogQLError("The expression is nested too deeply."))
    return {
        text: node if isinstance(node, HogQLError) else RowExpression(text, table, node, context)
        for text, node in parsed.items()
    }


def _parsed(texts: Sequence[str]) -> dict[str, ast.Expr | HogQLError]:
    if sum(map(len, texts)) > MAX_CHARACTERS:
        return dict.fromkeys(texts, HogQLError(_TOO_LONG))
    until = monotonic() + MAX_SECONDS
    found: dict[str, ast.Expr | HogQLError] = {}
    # The reader of filters refuses more before it asks for the rest.
    for text in texts[: MAX_FILTERS + 1]:
        try:
            found[text] = parse_expr(text) if monotonic() < until else HogQLError(_TOO_SLOW)
        except HogQLBusyError as error:
            raise ServiceUnavailable from error
        except HogQLError as error:
            found[text] = error
    return found
