"""Reads the members of a node: each has a type, and what PostHog's schema does not know is refused (query.md B2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.api.errors import ApiError
from core.api.values import NotJSONError, TooDeepError, json_repaired

MAX_TEXT: Final = 10_000
MAX_TEXTS: Final = 200
"""Items of a list of texts, such as the columns of a table."""
MOST: Final = 2**53
COMMON: Final = frozenset({"kind", "modifiers", "tags", "version", "response"})
"""What every node may have. `response` is what clients keep beside a query; it says nothing to a server."""
_SHOWN: Final = 100

type Json = Any
type Path = tuple[str | int, ...]


class BadNode(ApiError):  # noqa: N818 the name says what was sent
    """The body does not fit the schema of its kind; `attr` is the path to the member."""

    type = "invalid_request"
    code = "parse_error"

    def __init__(self, message: str, path: Path) -> None:
        """Word it as validators of such schemas do, for clients look for the beginning."""
        self.message = message
        self.path = path
        where = ".".join(str(part) for part in path)
        super().__init__(
            f"1 validation error for QueryRequest\n{where}\n  {message}", attr="__".join(str(part) for part in path)
        )


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one object, read by type. Null counts as absent everywhere. All readers raise BadNode."""

    values: Mapping[str, Json]
    path: Path = ("query",)

    def only(self, *names: str) -> "Fields":
        """Refuse members beside these and those that every node may have."""
        self.closed(*names, *COMMON)
        for name in ("modifiers", "tags", "response"):
            self.mapping(name)
        self.number("version")
        return self

    def closed(self, *names: str) -> "Fields":
        """Refuse members beside these."""
        for name in self.values:
            if name not in names:
                raise BadNode("Extra inputs are not permitted", (*self.path, str(name)[:_SHOWN]))
        return self

    def text(self, name: str, *, longest: int = MAX_TEXT) -> str | None:
        """Read a text; characters that no store takes are replaced."""
        value = self.values.get(name)
        return None if value is None else self._text(value, longest, (*self.path, name))

    def required_text(self, name: str, *, longest: int = MAX_TEXT, blank: bool = True) -> str:
        """Read a text that must be there."""
        text = self.text(name, longest=longest)
        if text is None:
            raise self.missing(name)
        if not blank and not text.strip():
            raise BadNode("String should have at least 1 character", (*self.path, name))
        return text

    def texts(self, name: str, *, longest: int = MAX_TEXT) -> list[str] | None:
        """Read a list of texts."""
        value = self.values.get(name)
        if value is None:
            return None
        return [
            self._text(item, longest, (*self.path, name, number)) for number, item in enumerate(self._list(value, name))
        ]

    def integer(self, name: str, *, least: int = 0, most: int = MOST) -> int | None:
        """Read a whole number; 5.0 is one, true is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            raise BadNode("Input should be a valid integer", (*self.path, name))
        if not least <= value <= most:
            message = f"Input should be between {least} and {most}"
            raise BadNode(message, (*self.path, name))
        return int(value)

    def number(self, name: str) -> float | None:
        """Read a number."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadNode("Input should be a valid number", (*self.path, name))
        return value

    def flag(self, name: str) -> bool:
        """Read a boolean, false when absent."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise BadNode("Input should be a valid boolean", (*self.path, name))
        return bool(value)

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """Read one of some words."""
        text = self.text(name)
        if text is not None and text not in choices:
            listed = ", ".join(repr(one) for one in choices)
            message = f"Input should be one of {listed}"
            raise BadNode(message, (*self.path, name))
        return text

    def mapping(self, name: str) -> Mapping[str, Json] | None:
        """Read an object."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise BadNode("Input should be an object", (*self.path, name))
        return value

    def below(self, name: str) -> "Fields | None":
        """Read an object, to read its members."""
        value = self.mapping(name)
        return None if value is None else Fields(value, (*self.path, name))

    def filters(self, name: str) -> Json:
        """Read property filters: a list of them, or a group."""
        value = self.values.get(name)
        group = isinstance(value, Mapping) and isinstance(value.get("values"), list)
        if value is not None and not group and not isinstance(value, list):
            raise BadNode("Input should be a valid list", (*self.path, name))
        try:
            return json_repaired(value)
        except (TooDeepError, NotJSONError):
            raise BadNode("Input is nested too deeply", (*self.path, name)) from None

    def attr(self, name: str) -> str:
        """Return the path of a member as errors name it."""
        return "__".join(str(part) for part in (*self.path, name))

    def missing(self, name: str) -> BadNode:
        """Return the error for a member that must be there."""
        return BadNode("Field required", (*self.path, name))

    def _list(self, value: Json, name: str) -> list[Json]:
        if not isinstance(value, list):
            raise BadNode("Input should be a valid list", (*self.path, name))
        if len(value) > MAX_TEXTS:
            message = f"List should have at most {MAX_TEXTS} items"
            raise BadNode(message, (*self.path, name))
        return value

    @staticmethod
    def _text(value: Json, longest: int, path: Path) -> str:
        if not isinstance(value, str):
            raise BadNode("Input should be a valid string", path)
        if len(value) > longest:
            message = f"String should have at most {longest} characters"
            raise BadNode(message, path)
        return str(json_repaired(value))
