"""What type the values of a property have, told from its name and one of its values, as PostHog does it."""

import re
import time
from typing import Any, Final

from events.hogql.context import PropertyType

_SIX_MONTHS: Final = 15_768_000
# Their first value often looks like something else than those that follow.
_TEXTS: Final = ("utm_", "$initial_utm_", "$feature/", "$survey_response")
_FLAG_RESPONSE: Final = "$feature_flag_response"
_TIME_WORDS: Final = re.compile(r"time|date|_at|-at|createdat|updatedat")
_TRUTH: Final = frozenset({"true", "false", "TRUE", "FALSE"})
_DATE: Final = re.compile(
    r"(?:\d{4}[/-][0-2]\d[/-][0-3]\d|[0-2]\d[/-][0-3]\d[/-]\d{4})(?:[ T][0-2]\d:[0-6]\d:[0-6]\d.*)?", re.ASCII
)


def property_type_of(name: str, value: Any) -> PropertyType | None:  # noqa: ANN401 any JSON value
    """Return the type of a property with this value; None for null, lists and objects, which tell nothing."""
    name = name.lower()
    if name.startswith(_TEXTS) or name == _FLAG_RESPONSE:
        return "String"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, int | float):
        is_time = value >= time.time() - _SIX_MONTHS and _TIME_WORDS.search(name)
        return "DateTime" if is_time else "Numeric"
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text in _TRUTH:
        return "Boolean"
    return "DateTime" if _DATE.fullmatch(text) else "String"
