"""Events as items of paths: which count, and the name under which they do."""

from typing import Final

from events.insights.paths_query import Items
from events.insights.source import Source
from events.insights.statement import Statement

PAGEVIEW: Final = "$pageview"
SCREEN: Final = "$screen"
# Columns of their own: in paths of all events, reading the JSON of every event would be most of the work.
_NAMES: Final = {PAGEVIEW: "e.`$current_url`", SCREEN: "e.`$screen_name`"}


def counted(items: Items, statement: Statement) -> str:
    """Return the condition that an event, aliased `e`, may be an item."""
    names = [
        *([PAGEVIEW] if items.pageviews else []),
        *([SCREEN] if items.screens else []),
        *items.names,
    ]
    any_of = [
        *([f"e.event IN {statement.bind(names, 'Array(String)')}"] if names else []),
        *(["NOT startsWith(e.event, '$')"] if items.custom else []),
    ]
    return f"({' OR '.join(any_of)})" if any_of else "1"


def item(items: Items, source: Source) -> str:
    """Return the expression of the name under which an event, aliased `e`, is an item."""
    statement = source.statement
    named = "e.event" if items.expression is None else source.word(items.expression)
    cases = [
        *([f"e.event = '{PAGEVIEW}', {_without_slash(_NAMES[PAGEVIEW])}, "] if items.urls else []),
        *([f"e.event = '{SCREEN}', {_NAMES[SCREEN]}, "] if items.screen_names else []),
    ]
    name = f"multiIf({''.join(cases)}{named})" if cases else named
    for pattern, replacement in items.rules:
        # Where a pattern is plain text, ClickHouse takes the replacement for plain text too, backslashes included.
        name = f"replaceRegexpAll({name}, {statement.bind(f'(?:{pattern})')}, {statement.bind(replacement)})"
    return _grouped(name, items.groupings, statement) if items.groupings else name


def _without_slash(url: str) -> str:
    return f"if(length({url}) > 1 AND endsWith({url}, '/'), substring({url}, 1, length({url}) - 1), {url})"


def _grouped(name: str, groupings: tuple[str, ...], statement: Statement) -> str:
    cases = "".join(f"name LIKE {statement.bind(_like(one))}, {statement.bind(one)}, " for one in groupings)
    return f"arrayMap(name -> multiIf({cases}name), [{name}])[1]"


def _like(grouping: str) -> str:
    escaped = grouping.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped.replace('*', '%')}%"
