"""Semantic versions as texts that sort like versions, and the ranges that the semver operators mean.

A version is `1`, `1.2` or `1.2.3` (missing parts are 0), with an optional `v` before it and an optional
pre-release and build after it; the build does not count. Everything else is no version and never matches.
"""

import re
from typing import Final

VERSION_PATTERN: Final = (
    r"^v?([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.([0-9]{1,9}))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$"
)
LONGEST_VERSION: Final = 64
PART_DIGITS: Final = 9
# In byte order: the end of a text, this separator, then every character that a pre-release may have.
SEPARATOR: Final = "!"
PRE_RELEASE: Final = "-"
RELEASE: Final = "~"
NUMERIC: Final = "0"
WORD: Final = "1"

_VERSION: Final = re.compile(VERSION_PATTERN[1:-1], re.ASCII)
_WILDCARD: Final = re.compile(r"v?(?:([0-9]{1,9})\.)?(?:([0-9]{1,9})\.)?[*xX](?:\.[*xX])*", re.ASCII)

type Parts = tuple[int, ...]


def sortable(text: str) -> str | None:
    """Return the form that sorts (by bytes) like the version; None for what is no version."""
    found = _VERSION.fullmatch(text) if len(text) <= LONGEST_VERSION else None
    if found is None:
        return None
    numbers = "".join((found[index] or "").rjust(PART_DIGITS, "0") for index in (1, 2, 3))
    if found[4] is None:
        return numbers + RELEASE
    return numbers + PRE_RELEASE + SEPARATOR.join(map(_identifier, found[4].split(".")))


def just_above(key: str) -> str:
    """Return the bound that lies between a version's form and all forms above it."""
    return key + SEPARATOR


def tilde_bounds(text: str) -> tuple[str, str] | None:
    """Return the range of `~1.2.3`: up to the next minor version, or the next major one when only that is given."""
    parts, low = _parts(text), sortable(text)
    if parts is None or low is None:
        return None
    return low, _below(parts[:2] if len(parts) > 1 else parts)


def caret_bounds(text: str) -> tuple[str, str] | None:
    """Return the range of `^1.2.3`: up to the next change of the leftmost part that is not 0."""
    parts, low = _parts(text), sortable(text)
    if parts is None or low is None:
        return None
    leading = next((index for index, part in enumerate(parts) if part), len(parts) - 1)
    return low, _below(parts[: leading + 1])


def wildcard_bounds(text: str) -> tuple[str | None, str | None] | None:
    """Return the range of `1.2.*`, `1.*` or `*` (also with x); a full version stands for itself."""
    found = _WILDCARD.fullmatch(text)
    if found is None:
        key = sortable(text)
        return None if key is None else (key, just_above(key))
    parts = tuple(int(part) for part in found.groups() if part is not None)
    return (_key(parts) + RELEASE, _below(parts)) if parts else (None, None)


def _parts(text: str) -> Parts | None:
    found = _VERSION.fullmatch(text)
    return None if found is None else tuple(int(found[index]) for index in (1, 2, 3) if found[index] is not None)


def _below(parts: Parts) -> str:
    # Pre-releases of the next version lie above the range.
    return _key((*parts[:-1], parts[-1] + 1)) + PRE_RELEASE


def _key(parts: Parts) -> str:
    # A number that grew out of nine digits must still sort above all others.
    return "".join(str(part).rjust(PART_DIGITS, "0") if part < 10**PART_DIGITS else ":" for part in (*parts, 0, 0)[:3])


def _identifier(text: str) -> str:
    return NUMERIC + text.rjust(LONGEST_VERSION, "0") if text.isdigit() else WORD + text
