"""Sessions as filters and breakdowns see them: the columns of HogQL's table `sessions`, one row for each session."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from events.filters.errors import FilterError
from events.hogql.context import Context
from events.hogql.tables.sessions import SESSIONS
from events.hogql.tables.source import RowFields, open_source
from events.rows import clickhouse_time

# The table is the same for every project, and whose rows are read says the statement's `team_id`.
_ANY_PROJECT: Final = Context(team_id=0)
_TYPES: Final = {
    name: field.type.kind for name, field in SESSIONS.fields(_ANY_PROJECT) if field.type.kind != "Array"
}  # fmt: skip
_TEXTS: Final = frozenset({"String", "DateTime"})
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Measured:
    """The range whose events, and those of a day before and after it, make the sessions; None sets no bound."""

    since: datetime | None = None
    until: datetime | None = None


def check_property(key: str) -> str:
    """Return the name of a property that sessions have; FilterError for another, with the closest one."""
    if key in _TYPES:
        return key
    close = get_close_matches(key, [*_TYPES, *(name.lstrip("$") for name in _TYPES)], n=1) if len(key) < _SHOWN else []
    hint = f" Perhaps you meant '{close[0] if close[0] in _TYPES else f'${close[0]}'}'?" if close else ""
    message = f"Sessions have no property {key[:_SHOWN]!r} to filter on or break down by.{hint}"
    raise FilterError(message)


def sessions(keys: Iterable[str], parameters: dict[str, Any], within: Measured) -> str:
    """Return a SELECT, in parentheses, of `session_id` and properties by their names, a row for each session.

    Values go into `parameters`, where the caller puts `team_id`.
    """

    def bind(value: Any, kind: str) -> str:  # noqa: ANN401 what ClickHouse can have
        name = f"f{len(parameters)}"
        parameters[name] = value
        return f"{{{name}:{kind}}}"

    source = open_source("sessions", context=_ANY_PROJECT, bind=bind, parameters={})
    for key in ("session_id", *keys):
        source.field((key,))
    since, until = (
        None if end is None else bind(clickhouse_time(end), "DateTime64(6, 'UTC')")
        for end in (within.since, within.until)
    )
    source.bounded(since=since, until=until)
    return source.sql()


def text_of(column: str) -> str:
    """Return the text of a property, of a column as `sessions` has it: '' for null."""
    return f"ifNull(toString({column}), '')"


def is_moment(key: str) -> bool:
    """Tell whether a property is a moment, whose text is that of `toString` in UTC."""
    return _TYPES[key] == "DateTime"


def json_of(key: str, column: str) -> str:
    """Return the JSON text of a property, '' for null."""
    return f"ifNull({f'toJSONString(toString({column}))' if _TYPES[key] in _TEXTS else f'toString({column})'}, '')"


def expression(key: str, alias: str) -> str:
    """Return a property as aggregations over the events `alias` of a session."""
    return RowFields(SESSIONS, _ANY_PROJECT, alias=alias).expression((key,))
