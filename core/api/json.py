"""JSON in and out: orjson, one form of time, and Python's wording for syntax errors."""

import datetime as dt
import json  # noqa: TID251 only words the error of a body that orjson has refused already
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson
from django.utils.functional import Promise

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS
MAX_ERROR_LENGTH = 200


def format_time(value: dt.datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.ffffffZ`, microseconds even when zero: one connector parses nothing else."""
    return value.astimezone(dt.UTC).isoformat(timespec="microseconds")[:26] + "Z"


def _default(value: object) -> Any:  # noqa: ANN401, PLR0911 anything that orjson knows
    match value:
        case dt.datetime():
            return format_time(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case Decimal() | Promise():
            return str(value)
        case set() | frozenset():
            return sorted(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case Enum():
            return value.value
        case _ if hasattr(value, "__iter__"):
            return list(value)
    message = f"{type(value).__name__} is not JSON"
    raise TypeError(message)


def dumps(value: object, *, indent: bool = False) -> bytes:
    """Return JSON text; times in UTC with microseconds."""
    options = _OPTIONS | orjson.OPT_INDENT_2 if indent else _OPTIONS
    return orjson.dumps(value, default=_default, option=options)


def loads(body: bytes | str) -> Any:  # noqa: ANN401 any JSON value
    """Parse JSON text; a ValueError carries Python's own words, which clients of the original servers know."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(_words(body) or str(error)) from error


def _words(body: bytes | str) -> str:
    try:
        json.loads(body.decode("utf-8") if isinstance(body, bytes) else body)
    except RecursionError:
        return "nesting is too deep"
    except UnicodeDecodeError as error:
        return f"'utf-8' codec can't decode byte at position {error.start}: {error.reason}"
    except ValueError as error:
        return str(error)[:MAX_ERROR_LENGTH]
    return ""
