"""Sets of characters as RE2 means them, as sorted ranges of code points.

What belongs to a Unicode class is asked of RE2 itself, so that both are of one version of Unicode.
"""

import sys
from collections.abc import Iterable
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final

import re2

type Ranges = tuple[tuple[int, int], ...]

LAST: Final = sys.maxunicode
# Texts of Postgres have no NUL.
EVERYTHING: Final[Ranges] = ((1, LAST),)
# Letters with cases end with the script Adlam.
_LAST_WITH_CASES: Final = 0x1E943
# Equal only in simple folding; Python folds both to the same three letters.
_SAME: Final = {"\u1fd3": "\u0390", "\u1fe3": "\u03b0", "\ufb06": "\ufb05"}
_SURROGATES: Final = range(0xD800, 0xE000)

DIGIT: Final[Ranges] = ((0x30, 0x39),)
WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
SPACE: Final[Ranges] = ((0x9, 0xA), (0xC, 0xD), (0x20, 0x20))
PERL: Final = MappingProxyType({"d": DIGIT, "w": WORD, "s": SPACE})
POSIX: Final = MappingProxyType(
    {
        "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
        "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
        "ascii": ((0x1, 0x7F),),
        "blank": ((0x9, 0x9), (0x20, 0x20)),
        "cntrl": ((0x1, 0x1F), (0x7F, 0x7F)),
        "digit": DIGIT,
        "graph": ((0x21, 0x7E),),
        "lower": ((0x61, 0x7A),),
        "print": ((0x20, 0x7E),),
        "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
        "space": ((0x9, 0xD), (0x20, 0x20)),
        "upper": ((0x41, 0x5A),),
        "word": WORD,
        "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
    }
)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, joined where they touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        start = max(low, 1)
        if start > high:
            continue
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((start, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Return all characters that are not in the ranges."""
    missing, following = [], 1
    for low, high in ranges:
        if low > following:
            missing.append((following, low - 1))
        following = high + 1
    if following <= LAST:
        missing.append((following, LAST))
    return tuple(missing)


def folded(ranges: Ranges) -> Ranges:
    """Return the ranges with every letter in all its cases."""
    more = [
        (other, other)
        for letter, others in _other_cases().items()
        if any(low <= letter <= high for low, high in ranges)
        for other in others
    ]
    return union([*ranges, *more])


@lru_cache(maxsize=512)
def unicode_class(name: str) -> Ranges:
    """Return the characters of a class that RE2 knows, such as `L` or `Greek`."""
    pattern = re2.compile(rf"\p{{{name}}}+".encode())
    runs = (found.group().decode() for found in pattern.finditer(_all_characters()))
    return union((ord(run[0]), ord(run[-1])) for run in runs)


def disjoint(first: Ranges, second: Ranges) -> bool:
    """Tell whether no character is in both."""
    return not any(low <= end and start <= high for low, high in first for start, end in second)


@cache
def _all_characters() -> bytes:
    return "".join(chr(code) for code in range(1, LAST + 1) if code not in _SURROGATES).encode()


@cache
def _other_cases() -> dict[int, tuple[int, ...]]:
    orbits: dict[str, list[int]] = {}
    for code in range(1, _LAST_WITH_CASES + 1):
        letter = chr(code)
        if not letter == letter.lower() == letter.upper() == letter.casefold():
            orbits.setdefault(_fold(letter), []).append(code)
    return {
        code: tuple(other for other in orbit if other != code)
        for orbit in orbits.values()
        if len(orbit) > 1
        for code in orbit
    }


def _fold(letter: str) -> str:
    """Return a letter's one-character folding, as Unicode's simple case folding has it."""
    if letter in _SAME:
        return _SAME[letter]
    if len(letter.casefold()) == 1:
        return letter.casefold()
    return letter.lower() if len(letter.lower()) == 1 else letter
