"""Events as items of paths: which count, and the name under which they do."""

from typing import Final

from events.insights.paths_query import Items
from events.insights.statement import Statement

PAGEVIEW: Final = "$pageview"
SCREEN: Final = "$screen"
# A column of its own, for most events of most paths are page views, and reading their JSON would take longest.
_URL: Final = "e.`$current_url`"


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


def item(items: Items, statement: Statement) -> str:
    """Return the expression of the name under which an event, aliased `e`, is an item."""
    cases = [
        *([f"e.event = '{PAGEVIEW}', {_without_slash(property_text('$current_url'))}, "] if items.urls else []),
        *([f"e.event = '{SCREEN}', {property_text('$screen_name')}, "] if items.screen_names else []),
    ]
    name = f"multiIf({''.join(cases)}e.event)" if cases else "e.event"
    for pattern, replacement in items.rules:
        name = f"replaceRegexpAll({name}, {statement.bind(pattern)}, {statement.bind(replacement)})"
    return _grouped(name, items.groupings, statement) if items.groupings else name


def property_text(key: str) -> str:
    """Return the expression of a property of an event, aliased `e`: missing and null are '', what is no text its JSON.

    Reading JSON as such is most of the work of a path. A search for the key in the text is a third of that, and right
    where the key cannot stand in an inner object or within another key, and its value is text.
    """
    exact = f"JSONExtractString(e.properties, '{key}')"
    found = f"simpleJSONExtractString(e.properties, '{key}')"
    at, inner = f"position(e.properties, '\"{key}\":')", "position(e.properties, '{', 2)"
    return (
        # What was written as a pair of surrogates comes back as no UTF-8.
        f"multiIf({found} = '' OR NOT isValidUTF8({found}), {exact}, {inner} != 0 AND {inner} < {at}, {exact},"
        f" substring(e.properties, {at} - 1, 1) NOT IN ('{{', ','), {exact}, {found})"
    )


def _without_slash(url: str) -> str:
    # Not by length and substring: ClickHouse would read the JSON anew for each time that the URL is named.
    return f"replaceRegexpOne({url}, '(?s)(.)/$', '\\\\1')"


def _grouped(name: str, groupings: tuple[str, ...], statement: Statement) -> str:
    cases = "".join(f"name LIKE {statement.bind(_like(one))}, {statement.bind(one)}, " for one in groupings)
    return f"arrayMap(name -> multiIf({cases}name), [{name}])[1]"


def _like(grouping: str) -> str:
    escaped = grouping.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped.replace('*', '%')}%"
