"""Reads RE2 patterns that RE2 has accepted into a small tree; what captures and laziness mean is kept out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from core.filters import charsets
from core.filters.charsets import Ranges

_CONTROL: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_OCTAL: Final = "01234567"
_NEWLINE: Final[Ranges] = ((10, 10),)


class UnreadableError(ValueError):
    """The pattern uses syntax that is not known here."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place and not a character: `^`, `$` (texts), `m^`, `m$` (lines), `b`, `B`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence_:  # noqa: N801 the other name is taken
    """One part after the other; no part at all matches the empty text."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several branches, the first one preferred."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part several times; `most` is None without an upper bound, `lazy` prefers few."""

    part: "Node"
    least: int
    most: int | None
    lazy: bool


type Node = Characters | Assertion | Sequence_ | Choice | Repeat


@dataclass(frozen=True, slots=True)
class _Flags:
    i: bool = False
    m: bool = False
    s: bool = False
    U: bool = False


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def parse(self) -> Node:
        node = self._choice(_Flags())
        if self._at < len(self._text):
            raise UnreadableError
        return node

    def _ahead(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        found = self._ahead(text)
        if found:
            self._at += len(text)
        return found

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise UnreadableError
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, text: str) -> str:
        end = self._text.find(text, self._at)
        if end < 0:
            raise UnreadableError
        found = self._text[self._at : end]
        self._at = end + len(text)
        return found

    def _choice(self, flags: _Flags) -> Node:
        branches: list[Node] = []
        parts: list[Node] = []
        while self._at < len(self._text) and not self._ahead(")"):
            if self._take("|"):
                branches.append(_joined(parts))
                parts = []
            elif (changed := self._flags(flags)) is not None:
                flags = changed
                # RE2 repeats what stands before the flags.
                self._repeats(parts, flags)
            elif self._take("\\Q"):
                parts.extend(self._quoted(flags))
                self._repeats(parts, flags)
            else:
                parts.append(self._atom(flags))
                self._repeats(parts, flags)
        branches.append(_joined(parts))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _flags(self, flags: _Flags) -> _Flags | None:
        """Read `(?flags)`; None when something else stands here."""
        if not self._ahead("(?"):
            return None
        end = self._at + 2
        while end < len(self._text) and self._text[end] in "imsU-":
            end += 1
        if end >= len(self._text) or self._text[end] != ")":
            return None
        letters = self._text[self._at + 2 : end]
        self._at = end + 1
        return _changed(flags, letters)

    def _quoted(self, flags: _Flags) -> list[Node]:
        end = self._text.find("\\E", self._at)
        text = self._text[self._at : end if end >= 0 else len(self._text)]
        self._at = end + 2 if end >= 0 else len(self._text)
        return [_literal(ord(letter), flags) for letter in text]

    def _repeats(self, parts: list[Node], flags: _Flags) -> None:
        while (bounds := self._bounds()) is not None:
            if not parts:
                raise UnreadableError
            lazy = self._take("?") != flags.U
            parts[-1] = Repeat(parts[-1], *bounds, lazy)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        if not self._ahead("{"):
            return None
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not _is_count(low) or not (high == "" or _is_count(high)):
            return None
        self._at = end + 1
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else None

    def _atom(self, flags: _Flags) -> Node:
        letter = self._next()
        match letter:
            case "(":
                return self._group(flags)
            case "[":
                return Characters(self._class(flags))
            case ".":
                return Characters(charsets.EVERYTHING if flags.s else charsets.complement(_NEWLINE))
            case "^" | "$":
                return Assertion(f"m{letter}" if flags.m else letter)
            case "\\":
                return self._escaped(flags)
            case "*" | "+" | "?":
                raise UnreadableError
            case _:
                return _literal(ord(letter), flags)

    def _group(self, flags: _Flags) -> Node:
        if self._take("?P<") or self._take("?<"):
            self._until(">")
        elif self._take("?"):
            flags = _changed(flags, self._until(":"))
        node = self._choice(flags)
        if not self._take(")"):
            raise UnreadableError
        return node

    def _escaped(self, flags: _Flags) -> Node:
        places = {"A": "^", "z": "$", "b": "b", "B": "B"}
        for letter, kind in places.items():
            if self._take(letter):
                return Assertion(kind)
        if (ranges := self._named_class(flags)) is not None:
            return Characters(ranges)
        return _literal(self._escape(), flags)

    def _named_class(self, flags: _Flags) -> Ranges | None:
        """Read what follows a backslash when it names a class: d, w, s, p and their negations."""
        for letter, ranges in charsets.PERL.items():
            if self._take(letter):
                return _cased(ranges, flags)
            if self._take(letter.upper()):
                return charsets.complement(_cased(ranges, flags))
        if not (self._ahead("p") or self._ahead("P")):
            return None
        negated = self._next() == "P"
        name = self._until("}") if self._take("{") else self._next()
        if name.startswith("^"):
            negated, name = not negated, name[1:]
        ranges = _cased(charsets.EVERYTHING if name == "Any" else charsets.unicode_class(name), flags)
        return charsets.complement(ranges) if negated else ranges

    def _escape(self) -> int:
        letter = self._next()
        if letter in _CONTROL:
            return _CONTROL[letter]
        if letter == "x":
            digits = self._until("}") if self._take("{") else self._next() + self._next()
            return int(digits, 16)
        if letter in _OCTAL:
            digits = letter
            while len(digits) < 3 and self._at < len(self._text) and self._text[self._at] in _OCTAL:  # noqa: PLR2004
                digits += self._next()
            return int(digits, 8)
        if letter.isalnum() or not letter.isascii():
            raise UnreadableError
        return ord(letter)

    def _class(self, flags: _Flags) -> Ranges:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._ahead("]"):
            first = False
            ranges.extend(self._member(flags))
        self._at += 1
        found = charsets.union(ranges)
        return charsets.complement(found) if negated else found

    def _member(self, flags: _Flags) -> Ranges:
        if self._ahead("[:") and ":]" in self._text[self._at :]:
            self._at += 2
            name = self._until(":]")
            ranges = _cased(charsets.POSIX[name.removeprefix("^")], flags)
            return charsets.complement(ranges) if name.startswith("^") else ranges
        if self._take("\\"):
            if (named := self._named_class(flags)) is not None:
                return named
            self._at -= 1
        low = self._class_letter()
        high = low
        if self._ahead("-") and not self._ahead("-]"):
            self._at += 1
            high = self._class_letter()
        return _cased(((low, high),), flags)

    def _class_letter(self) -> int:
        letter = self._next()
        return self._escape() if letter == "\\" else ord(letter)


def parse(pattern: str) -> Node:
    """Return the tree of a pattern that RE2 has accepted; UnreadableError for syntax that is not known here."""
    try:
        return _Parser(pattern).parse()
    except (KeyError, ValueError, RecursionError) as error:
        raise UnreadableError from error


def _joined(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Sequence_(tuple(parts))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _changed(flags: _Flags, letters: str) -> _Flags:
    on, _, off = letters.partition("-")
    return replace(flags, **dict.fromkeys(on, True), **dict.fromkeys(off, False))


def _cased(ranges: Ranges, flags: _Flags) -> Ranges:
    found = charsets.union(ranges)
    return charsets.folded(found) if flags.i else found


def _literal(code: int, flags: _Flags) -> Node:
    return Characters(_cased(((code, code),), flags))
