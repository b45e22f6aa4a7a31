"""JSON values that come from callers, made safe for the stores."""

import math
import re
from typing import Any, Final

MAX_DEPTH: Final = 200
_REPLACEMENT: Final = "\ufffd"
_BAD_CHARACTERS: Final = re.compile("[\x00\ud800-\udfff]")


class TooDeepError(ValueError):
    """A document is nested deeper than MAX_DEPTH levels."""


class NotJSONError(ValueError):
    """A value of a form, such as an uploaded file, has no JSON form."""


def json_repaired(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 any JSON value
    """Return a copy without what Postgres or orjson refuse: NUL and lone surrogates become U+FFFD, NaN null.

    Raises TooDeepError, and NotJSONError for what no JSON document can hold.
    """
    if isinstance(value, str):
        return _BAD_CHARACTERS.sub(_REPLACEMENT, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        raise TooDeepError
    if isinstance(value, dict):
        return {_BAD_CHARACTERS.sub(_REPLACEMENT, key): json_repaired(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [json_repaired(item, depth + 1) for item in value]
    if value is None or isinstance(value, int):
        return value
    raise NotJSONError
