"""Reads ClickHouse's names of types, such as `Array(Tuple(day DateTime('UTC'), String))`."""

import re
from typing import Final

_MEMBER: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*) (?=[A-Z])")
"""The name of a member of a tuple, before its type."""
_OPENING: Final = "'`"


def type_parts(kind: str) -> tuple[str, list[str]]:
    """Return the name of a type and what stands between its parentheses, without the names of members."""
    name, _, inside = kind.partition("(")
    parts = _split(inside.removesuffix(")"))
    return name, [_MEMBER.sub("", part, count=1) if _MEMBER.match(part) else part for part in parts]


def _split(text: str) -> list[str]:
    """Cut at the commas that are in no further parentheses and in no quotes."""
    parts, start, depth, quote, place = [], 0, 0, "", 0
    while place < len(text):
        character = text[place]
        if quote:
            place += character == "\\"
            quote = "" if character == quote else quote
        elif character in _OPENING:
            quote = character
        elif character == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
        else:
            depth += (character == "(") - (character == ")")
        place += 1
    last = text[start:].strip()
    return [*parts, last] if last else parts
