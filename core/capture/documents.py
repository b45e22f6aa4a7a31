"""Bytes to a JSON document that Postgres and `orjson.dumps` are sure to take.

Almost every request is clean, so the whole document is walked only when its bytes show a reason to.
"""

# orjson refuses NaN, infinities and lone surrogates, all of which SDKs do send: the standard library reads those.
import json  # noqa: TID251 see above
import math
from typing import Any

import orjson

from core.api.values import MAX_DEPTH, TooDeepError, json_repaired
from core.capture.refusals import Refusal, malformed

_ORJSON_MAX_DEPTH = 254
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_INTEGER_DIGITS = 19
_INTEGERS = range(-(2**63), 2**64)


def read_document(raw: bytes) -> Any:  # noqa: ANN401 any JSON value
    """Parse UTF-8 JSON; NaN and infinities become null, NUL and lone surrogates U+FFFD."""
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _read_tolerantly(raw)
    if b"\\u0000" in raw:
        return repaired(document)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and not _is_shallow(document):
        raise _too_deep()
    return document


def repaired(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return a copy without anything that a store refuses."""
    try:
        return json_repaired(value)
    except TooDeepError as error:
        raise _too_deep() from error


def _is_shallow(document: Any) -> bool:  # noqa: ANN401 any JSON value
    """Let orjson's own recursion limit do the measuring; it is far quicker than a walk."""
    for _ in range(_ORJSON_MAX_DEPTH - MAX_DEPTH):
        document = [document]
    try:
        orjson.dumps(document)
    except TypeError:
        return False
    return True


def _read_tolerantly(raw: bytes) -> Any:  # noqa: ANN401 any JSON value
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        message = "failed to decode request: invalid UTF8 in request payload"
        raise malformed(message) from error
    try:
        document = json.loads(text, parse_int=_integer, parse_constant=lambda _: None)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        message = f"failed to parse request: {error}"
        raise malformed(message) from error
    return repaired(document)


def _integer(digits: str) -> int | float:
    if len(digits) <= _MAX_INTEGER_DIGITS:
        return int(digits)
    number = float(digits)
    # Beyond 64 bits orjson reads a float too; the text is turned into an int only when that is cheap.
    if math.isfinite(number) and abs(number) < 2.0**65:
        exact = int(digits)
        return exact if exact in _INTEGERS else number
    return number


def _too_deep() -> Refusal:
    return malformed(f"failed to parse request: nested deeper than {MAX_DEPTH} levels")
