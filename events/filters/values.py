"""The forms in which values are compared, for operands; the compilers make the same forms of stored values.

* text: a string as it is, `true` and `false`, a number in plain decimals, an array or object as compact JSON
  with keys by length and then by bytes (jsonb's order). Null, a missing key and what is nested deeper than
  `MAX_NESTING` levels have no text.
* comparison form: the text, but a string that is a JSON number becomes that number in plain decimals.
"""

import math
import re
from decimal import Context, Decimal
from typing import Any, Final

import orjson

# What a number is, for JSON numbers and for texts: RE2, ARE and Python read this pattern alike.
NUMBER_PATTERN: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$"
# The longest double in plain decimals has fewer than 350 characters.
LONGEST_NUMBER: Final = 400
MAX_NESTING: Final = 3

_NUMBER: Final = re.compile(NUMBER_PATTERN[1:-1], re.ASCII)
_EXACT: Final = Context(prec=2 * LONGEST_NUMBER, Emax=10_000, Emin=-10_000)
# Lower case depends on neighbours or grows for these two in some engines and not in others.
_FOLDED_FIRST: Final = str.maketrans({"\u03a3": "\u03c3", "\u0130": "i"})


def plain_number(text: str) -> str | None:
    """Return a number's one plain decimal form (`1e2` and `100.0` are `100`); None for what is no number."""
    if len(text) > LONGEST_NUMBER or _NUMBER.fullmatch(text) is None:
        return None
    plain = format(_EXACT.create_decimal(text).normalize(_EXACT), "f")
    return "0" if plain == "-0" else plain


def lower(text: str) -> str:
    """Return a text in lower case, each character by itself, as the locale pg_c_utf8 of Postgres has it."""
    return text.translate(_FOLDED_FIRST).lower()


def value_text(value: Any) -> str | None:  # noqa: ANN401 any JSON value
    """Return the text of a JSON value, or None when it has none."""
    if isinstance(value, list | dict):
        return _document(value, MAX_NESTING)
    return None if value is None else _scalar_text(value)


def comparison_form(text: str) -> str:
    """Return the form in which equal values are equal texts."""
    return plain_number(text) or text


def document_form(text: str) -> str | None:
    """Return the text that an array or object written in `text` has when it is stored; None for other texts."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value_text(value)


def _scalar_text(value: bool | float | str) -> str:  # noqa: FBT001 a JSON value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a JSON number")
    plain = format(Decimal(repr(value)).normalize(_EXACT), "f")
    return "0" if plain == "-0" else plain


def _document(value: Any, levels: int) -> str | None:  # noqa: ANN401, PLR0911 one for each kind of JSON value
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if value is None:
        return "null"
    if not isinstance(value, list | dict):
        return _scalar_text(value)
    if levels == 0:
        return None
    if isinstance(value, list):
        parts = [_document(item, levels - 1) for item in value]
        return None if None in parts else "[" + ",".join(part for part in parts if part is not None) + "]"
    members = []
    for key in sorted(value, key=lambda name: (len(name.encode()), name.encode())):
        part = _document(value[key], levels - 1)
        if part is None:
            return None
        members.append(f"{orjson.dumps(key).decode()}:{part}")
    return "{" + ",".join(members) + "}"
