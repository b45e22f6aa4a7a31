"""Actions in HogQL: the condition that an event matches one, and those that `matchesAction(...)` names."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from core.actions.queries import action_matches
from core.api.errors import Invalid
from core.api.params import MAX_INTEGER_ID
from core.tenancy.statements import fetch_rows
from events.filters.event_clickhouse import EventColumns, event_condition
from events.filters.grammar import leaves
from events.hogql import ast
from events.hogql.walk import action_names
from events.insights.entities import EventMatch

MOST_ACTIONS: Final = 20
"""That one statement can name."""
_TOO_MANY: Final = f"A query can name at most {MOST_ACTIONS} actions."
_NAMED: Final[LiteralString] = """
SELECT id, name FROM core_action WHERE team_id = %s AND NOT deleted AND (id = ANY(%s) OR name = ANY(%s)) ORDER BY id
"""


def actions_named(node: ast.Node, team_id: int) -> Mapping[int | str, ast.RowCondition | None]:
    """Return the team's actions that a statement names, by the ids and names that it uses; None for one without steps.

    One statement for all of them, and those of `action_matches`; none where nothing is named. Raises Invalid as that
    does, and for too many.
    """
    named = action_names(node)
    if len(named) > MOST_ACTIONS:
        raise Invalid(_TOO_MANY)
    ids = [one for one in named if isinstance(one, int) and 0 <= one <= MAX_INTEGER_ID]
    names = [one for one in named if isinstance(one, str) and "\x00" not in one]
    if not ids and not names:
        return {}
    rows = fetch_rows(_NAMED, [team_id, ids, names])
    matches = action_matches(team_id=team_id, ids=[number for number, _ in rows])
    found: dict[int | str, ast.RowCondition | None] = {}
    for number, name in rows:
        condition = action_condition(matches[number]) if matches.get(number) else None
        found |= {key: condition for key in (number, name) if key in named}
    return found


def action_condition(
    matches: Sequence[EventMatch], *, text: str = "true", since: datetime | None = None, until: datetime | None = None
) -> ast.RowCondition:
    """Return the condition that an event matches one of these, shown as `text`.

    `since` and `until` bound the events that sessions are measured by.
    """

    def written(alias: str, person: str, parameters: dict[str, Any]) -> str:
        columns = EventColumns(alias, person, since=since, until=until)
        return f"({' OR '.join(_match(match, columns, parameters) for match in matches)})"

    weight = sum(1 + (0 if match.filter is None else sum(1 for _ in leaves(match.filter))) for match in matches)
    return ast.RowCondition(table="events", write=written, text=text, weight=weight)


def _match(match: EventMatch, columns: EventColumns, parameters: dict[str, Any]) -> str:
    parts = []
    if match.event is not None:
        name = f"f{len(parameters)}"
        parameters[name] = match.event
        parts.append(f"{columns.table}.event = {{{name}:String}}")
    if match.filter is not None:
        parts.append(event_condition(match.filter, parameters, columns=columns))
    return f"({' AND '.join(parts) or '1'})"
