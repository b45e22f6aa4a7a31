"""property_history: a page of the changes of one property, and where the next one begins."""

from typing import Any, Final

from core.persons import queries
from core.persons.point_in_time import utc_text
from events.history_changes import Change, property_changes

_LARGEST: Final = 2**256
_DIGITS: Final = 64


class CursorError(ValueError):
    """The text is no cursor that this server made."""


def page(  # noqa: PLR0913 what a page is made of
    *, team_id: int, person_id: int, key: str, newest_first: bool, limit: int, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the changes behind the cursor, and the cursor of the next page, None at the end.

    Raises CursorError, and the errors of the events package when ClickHouse cannot answer.
    """
    after = None if cursor is None else _read(cursor)
    ids = queries.distinct_ids_of(team_id=team_id, person_id=person_id)
    changes, more = property_changes(
        team_id=team_id, ids=ids, key=key, newest_first=newest_first, limit=limit, after=after
    )
    return [_shown(change) for change in changes], f"{changes[-1].position:0{_DIGITS}x}" if more else None


def _read(cursor: str) -> int:
    try:
        position = int(cursor, 16) if len(cursor) == _DIGITS and cursor.isalnum() else -1
    except ValueError:
        raise CursorError from None
    if not 0 <= position < _LARGEST:
        raise CursorError
    return position


def _shown(change: Change) -> dict[str, Any]:
    timestamp = utc_text(change.timestamp)
    return {
        "timestamp": timestamp,
        "operation": change.operation,
        "is_set": bool(change.value),
        "value": change.value[0] if change.value else None,
        "was_set": bool(change.previous),
        "previous_value": change.previous[0] if change.previous else None,
        "event": {
            "uuid": change.uuid,
            "event": change.event,
            "distinct_id": change.distinct_id,
            "timestamp": timestamp,
        },
    }
