"""Columns of `events` as filters of type `event_metadata` see them."""

from difflib import get_close_matches
from typing import Final

from events.filters.errors import FilterError

TEXTS: Final = ("event", "distinct_id", "person_mode")
"""Those that every event has as a text or as the word of an enum."""
UUIDS: Final = ("uuid", "person_id")
MOMENTS: Final = ("timestamp", "created_at")
OPTIONAL: Final = (
    "elements_chain", "$session_id", "$window_id", "$group_0", "$group_1", "$group_2", "$group_3", "$group_4",
)  # fmt: skip
"""Those that are an empty text for events that have none."""
COLUMNS: Final = (*TEXTS, *UUIDS, *MOMENTS, *OPTIONAL)
_SHOWN: Final = 100


def check_column(key: str) -> str:
    """Return the name of a column that filters know; FilterError for another, with the closest one."""
    if key in COLUMNS:
        return key
    close = get_close_matches(key[:_SHOWN], COLUMNS, n=1)
    hint = f" Perhaps you meant '{close[0]}'?" if close else ""
    message = f"Events have no column {key[:_SHOWN]!r} to filter on.{hint}"
    raise FilterError(message)
