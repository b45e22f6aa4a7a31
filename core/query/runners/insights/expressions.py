"""The HogQL in the options of insights: aggregations of events, and expressions on one of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.filters.problems import invalid_hogql
from core.insights.project import InsightProject
from core.query.context import hogql_context
from core.query.errors import TooBusy
from core.query.expressions import Expressions
from events.filters.row_expressions import EventsAggregate, RowExpression
from events.hogql import ast
from events.hogql.context import Context
from events.hogql.errors import HogQLBusyError, HogQLError


class InsightExpressions:
    """Reads the expressions of one node, which together have a budget.

    What is wrong with one is Invalid with its place in `hogql_metadata`, as the answers to statements have it.
    """

    def __init__(self, project: InsightProject) -> None:
        """Begin with the whole budget."""
        self._project = project
        self._expressions = Expressions()

    def aggregate(self, text: str, *, attr: str) -> EventsAggregate:
        """Return an aggregation of events, whose value is a number. Raises Invalid and TooBusy."""
        with placed(text, attr):
            found = EventsAggregate(text, *self._read(text))
            found.check()
        return found

    def of_event(self, text: str, *, attr: str) -> RowExpression:
        """Return an expression on an event. Raises Invalid and TooBusy."""
        with placed(text, attr):
            found = RowExpression(text, "events", *self._read(text))
            found.check(condition=False)
        return found

    def _read(self, text: str) -> tuple[ast.Expr, Context]:
        node = self._expressions.expr(text)
        try:
            context = hogql_context(self._project, node)
        except RecursionError:
            message = "The expression is nested too deeply"
            raise HogQLError(message, start=node.start, end=node.end) from None
        return node, context


@contextmanager
def placed(text: str, attr: str) -> Iterator[None]:
    """Turn what is wrong with an expression into the answer that names its member. Raises Invalid and TooBusy."""
    try:
        yield
    except HogQLBusyError as error:
        raise TooBusy from error
    except HogQLError as error:
        raise invalid_hogql(error, text, attr=attr) from error
