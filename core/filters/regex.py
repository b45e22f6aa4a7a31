"""Translates RE2 patterns to the regular expressions of Postgres, so that both say yes to the same texts.

Only whether a text matches is asked, so captures and laziness can go. Classes and letters in both cases
become explicit sets: nothing is left to a locale. Compare under COLLATE "C", where words are ASCII as in RE2.
"""

from functools import lru_cache
from typing import Final

from core.filters import charsets
from core.filters.charsets import Ranges
from core.filters.syntax import Assertion, Characters, Choice, Node, Repeat, Sequence_, UnreadableError, parse
from events.filters.errors import FilterError

# Postgres repeats at most 255 times, and makes one state of its automaton for each character and repeat.
_MOST_REPEATS: Final = 255
LARGEST_SIZE: Final = 1000
_NOTHING: Final = "(?!)"
_PLACES: Final = {
    "^": r"\A",
    "$": r"\Z",
    "m^": r"(?:\A|(?<=\n))",
    "m$": r"(?:\Z|(?=\n))",
    "b": r"\y",
    "B": r"\Y",
}


@lru_cache(maxsize=512)
def translate(pattern: str) -> str:
    """Return the Postgres form of a pattern that RE2 has accepted; FilterError when it has none."""
    node = _tree(pattern)
    if _size(node) > LARGEST_SIZE:
        raise FilterError("This regular expression is too large: about 1000 characters and repetitions are possible.")
    return _written(node)


@lru_cache(maxsize=512)
def replaces_alike(pattern: str) -> bool:
    """Tell whether RE2 and Postgres find the same places to replace.

    RE2 prefers the first branch and Postgres the longest match. They agree on patterns without choices and lazy
    repeats whose every repeat ends where the next part begins: a sequence of sets, each repeat of one
    having nothing in common with what may follow. One match at least must have a character.
    """
    parts = _flattened(_tree(pattern))
    if parts is None or not any(least for _, least, _ in parts):
        return False
    return all(
        most == least or charsets.disjoint(ranges, _first(parts[index + 1 :]))
        for index, (ranges, least, most) in enumerate(parts)
    )


def _tree(pattern: str) -> Node:
    try:
        return parse(pattern)
    except UnreadableError as error:
        raise FilterError("This regular expression uses syntax that filters do not support.") from error


def _size(node: Node) -> int:
    match node:
        case Characters() | Assertion():
            return 1
        case Sequence_(parts):
            return 1 + sum(map(_size, parts))
        case Choice(branches):
            return 1 + sum(map(_size, branches))
        case Repeat(part, least, most, _):
            return 1 + _size(part) * max(least, most or 0, 1)


def _written(node: Node) -> str:
    match node:
        case Characters(ranges):
            return _set(ranges)
        case Assertion(kind):
            return f"(?:{_PLACES[kind]})"
        case Sequence_(parts):
            return "".join(map(_written, parts)) or "(?:)"
        case Choice(branches):
            return f"(?:{'|'.join(map(_written, branches))})"
        case Repeat(part, least, most, _):
            return _repeated(f"(?:{_written(part)})", least, most)


def _repeated(part: str, least: int, most: int | None) -> str:
    if most is None:
        return _times(part, least, least) + f"{part}*"
    return _times(part, least, least) + _times(part, 0, most - least)


def _times(part: str, least: int, most: int) -> str:
    """Repeat up to `most` times, or exactly (`least` = `most`), in blocks that Postgres can count."""
    if most == 0:
        return ""
    blocks, rest = divmod(most, _MOST_REPEATS)
    low = _MOST_REPEATS if least else 0
    written = f"(?:{part}{{{low},{_MOST_REPEATS}}}){{{blocks}}}" if blocks else ""
    return written + (f"{part}{{{rest if least else 0},{rest}}}" if rest else "")


def _set(ranges: Ranges) -> str:
    if not ranges:
        return _NOTHING
    if ranges == charsets.EVERYTHING:
        return "."
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return _letter(ranges[0][0])
    # The shorter of a set and its opposite.
    if ranges[-1][1] == charsets.LAST:
        return f"[^{_members(charsets.complement(ranges))}]"
    return f"[{_members(ranges)}]"


def _members(ranges: Ranges) -> str:
    return "".join(_letter(low) if low == high else f"{_letter(low)}-{_letter(high)}" for low, high in ranges)


def _letter(code: int) -> str:
    letter = chr(code)
    if letter.isascii() and letter.isalnum():
        return letter
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 four digits


type _Run = tuple[Ranges, int, int | None]


def _flattened(node: Node) -> list[_Run] | None:
    """Return the sets of a sequence with how often each may come; None when it is more than that."""
    match node:
        case Characters(ranges):
            return [(ranges, 1, 1)]
        case Sequence_(parts):
            flat = [_flattened(part) for part in parts]
            return None if None in flat else [run for runs in flat for run in runs or ()]
        case Repeat(Characters(ranges), least, most, lazy=False):
            return [(ranges, least, most)]
        case _:
            return None


def _first(runs: list[_Run]) -> Ranges:
    """Return the characters that may come first in what follows."""
    found: Ranges = ()
    for ranges, least, _ in runs:
        found = charsets.union([*found, *ranges])
        if least:
            break
    return found
