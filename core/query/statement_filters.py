"""The `filters` of a HogQLQuery: what `{filters}` and its dates stand for (query.md B7)."""

from dataclasses import dataclass
from typing import Any, Final

from core.api.errors import Invalid
from core.filters.problems import invalid_filter
from core.query.filter_text import filter_text
from core.query.filters import ALL_TIME, FilterReader, all_of
from core.query.reading import Fields
from core.query.runners.base import QueryContext
from events.filters.errors import FilterError
from events.filters.event_clickhouse import session_condition
from events.filters.grammar import leaves, read_filters
from events.filters.tree import PropertyFilter
from events.hogql import ast
from events.hogql.substitution import HogQLFilters

_ONLY_SESSIONS: Final = "Can only use session properties in a filter when selecting from only the sessions table."
_NO_ACCOUNTS: Final = "Test accounts can only be left out of a SELECT from the events table."

type Json = Any


def statement_filters(fields: Fields, context: QueryContext) -> HogQLFilters | None:
    """Return the filters of a HogQLQuery's members; None without any. Raises BadNode and Invalid."""
    given = fields.below("filters")
    if given is None:
        return None
    given.closed("properties", "dateRange", "filterTestAccounts")
    dates = (given.below("dateRange") or Fields({}, given.path)).closed("date_from", "date_to", "explicitDate")
    dates.flag("explicitDate")
    reader = FilterReader(context.project, context.now)
    date_from, date_to = dates.text("date_from"), dates.text("date_to")
    has_beginning = date_from and date_from != ALL_TIME
    since = reader.moment(date_from, attr=dates.attr("date_from")) if date_from and has_beginning else None
    until = reader.moment(date_to, attr=dates.attr("date_to")) if date_to else None
    asked = _Asked(
        FilterReader(context.project, context.now, since=since, until=until),
        given.filters("properties"),
        leaves_accounts_out=given.flag("filterTestAccounts"),
        attr=given.attr("properties"),
        accounts_attr=given.attr("filterTestAccounts"),
    )
    return HogQLFilters(condition=asked.condition, since=since, until=until)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Properties, and whether test accounts are left out."""

    reader: FilterReader
    properties: Json
    leaves_accounts_out: bool
    attr: str
    accounts_attr: str

    def condition(self, tables: frozenset[str]) -> ast.Expr | None:
        """Return what is asked of the rows of a SELECT that reads these tables. Raises Invalid and HogQLError."""
        if "events" in tables:
            own = self.reader.properties(self.properties, attr=self.attr)
            accounts = self.reader.test_accounts(attr=self.accounts_attr) if self.leaves_accounts_out else None
            return all_of(own, accounts)
        if self.leaves_accounts_out and self.reader.project.test_account_filters:
            raise Invalid(_NO_ACCOUNTS, attr=self.accounts_attr)
        if "groups" in tables:
            return self.reader.properties(self.properties, attr=self.attr, scope="group")
        return self._of_sessions()

    def _of_sessions(self) -> ast.Expr | None:
        try:
            wanted = read_filters(self.properties or None, scope="event", now=self.reader.now)
        except FilterError as error:
            raise invalid_filter(error, attr=self.attr, placed=True) from error
        if wanted is None:
            return None
        if not all(isinstance(leaf, PropertyFilter) and leaf.type == "session" for leaf in leaves(wanted)):
            raise Invalid(_ONLY_SESSIONS, attr=self.attr)

        def written(alias: str, person: str, parameters: dict[str, Any]) -> str:
            del person
            return session_condition(wanted, parameters, alias=alias)

        return ast.RowCondition(table="sessions", write=written, text=filter_text(wanted, own="session"))
