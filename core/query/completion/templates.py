"""Places in templates: texts with expressions in braces, over global names that the caller gives."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.query.completion.names import quoted, unquoted
from core.query.completion.suggest import Place, Suggestion, Suggestions
from core.query.completion.tokens import tokens

# A boolean is an integer to Python.
_TYPES: Final[Sequence[tuple[type, str]]] = (
    (bool, "Boolean"),
    (int, "Integer"),
    (float, "Float"),
    (str, "String"),
    (Mapping, "Object"),
    (list, "Array"),
)


def braces_at(place: Place) -> list[str] | None:
    """Return the names before the last dot inside of the braces around a place; None outside of braces."""
    opened = _opened(place.text[: place.start])
    if opened is None:
        return None
    before = list(tokens(place.text[opened : place.start]))
    names: list[str] = []
    while len(before) > 1 and before[-1].text == "." and before[-2].kind == "name":
        names.append(unquoted(before[-2].text))
        before = before[:-2]
    return names[::-1]


def members_below(names: Mapping[str, Any], chain: Sequence[str]) -> Suggestions:
    """Return the members of an object below the global names."""
    found: Any = names
    for name in chain:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        return Suggestions()
    return Suggestions(
        [
            Suggestion("Folder" if isinstance(value, Mapping) else "Variable", name, quoted(name), _type(value))
            for name, value in found.items()
        ]
    )


def _opened(text: str) -> int | None:
    """Return where the innermost open brace ends; one behind a backslash is text."""
    opened: list[int] = []
    escaped = False
    for number, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            opened.append(number + 1)
        elif character == "}" and opened:
            opened.pop()
    return opened[-1] if opened else None


def _type(value: object) -> str:
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "Null")
