"""CSS selectors over an element and its ancestors: what can be asked of an autocaptured click.

The part of CSS that a chain of elements can answer: tags, `*`, `.class`, `#id`, `[name="value"]`, `:nth-child(n)`,
`:nth-of-type(n)`, descendants and `>`. Whatever else CSS has is refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from events.filters.errors import FilterError

LONGEST_SELECTOR: Final = 1000
MAX_PARTS: Final = 30

_NAME: Final = r"(?:[-\w]|\\[0-9a-fA-F]{1,6}\s?|\\[^\n])+"
_PART: Final = re.compile(
    rf"""(?P<between>\s*>\s*|\s+)
    |(?P<every>\*)
    |(?P<mark>[.#]?)(?P<name>{_NAME})
    |\[\s*(?P<attribute>{_NAME})\s*=\s*(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>{_NAME}))\s*\]
    |:(?P<nth>nth-child|nth-of-type)\(\s*(?P<number>[0-9]{{1,9}})\s*\)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Compound:
    """What one element must be: its tag (None: any), its classes, and for each attribute its names and its value.

    An element has the attribute when it has one of the names with the value. `child` says that it must be a child
    of the element of the compound before, and not only lie below it.
    """

    tag: str | None = None
    classes: tuple[str, ...] = ()
    attributes: tuple[tuple[tuple[str, ...], str], ...] = ()
    child: bool = False


@dataclass(frozen=True, slots=True)
class Selector:
    """Compounds from the outermost element to the innermost."""

    compounds: tuple[Compound, ...]


def read_selector(text: str) -> Selector:
    """Return the selector that a text means; FilterError for what is none, or more than a chain can answer."""
    if len(text) > LONGEST_SELECTOR:
        message = f"A selector may have at most {LONGEST_SELECTOR} characters."
        raise FilterError(message)
    compounds: list[Compound] = []
    current, child = Compound(), False
    for part in _parts(text.strip()):
        if part["between"] is None:
            current = _with(current, part, text)
        else:
            compounds.append(_finished(current, text, child=child))
            current, child = Compound(), ">" in part["between"]
    return Selector((*compounds, _finished(current, text, child=child)))


def tag_selector(tag: str) -> Selector:
    """Return the selector of elements with this tag."""
    return Selector((Compound(tag=tag),))


def _parts(text: str) -> list[re.Match[str]]:
    parts: list[re.Match[str]] = []
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if len(parts) == MAX_PARTS:
            message = f"A selector may have at most {MAX_PARTS} parts."
            raise FilterError(message)
        if part is None:
            raise _refused(text)
        parts.append(part)
        position = part.end()
    return parts


def _with(current: Compound, part: re.Match[str], text: str) -> Compound:
    tag, classes, attributes = current.tag, current.classes, current.attributes
    if part["every"] is not None or (part["name"] is not None and not part["mark"]):
        # A tag is the first part of its compound.
        if current != Compound():
            raise _refused(text)
        tag = "*" if part["every"] is not None else _unescaped(part["name"])
    elif part["mark"] == ".":
        # Chains separate classes by dots, so one with a dot is stored as two.
        classes += tuple(filter(None, _unescaped(part["name"]).split(".")))
    elif part["mark"] == "#":
        attributes += ((_attribute_names("id"), _unescaped(part["name"])),)
    elif part["nth"] is not None:
        attributes += (((part["nth"],), str(int(part["number"]))),)
    else:
        value = next(found for found in (part["double"], part["single"], part["bare"]) if found is not None)
        attributes += ((_attribute_names(_unescaped(part["attribute"])), _unescaped(value)),)
    return Compound(tag, classes, attributes)


def _finished(compound: Compound, text: str, *, child: bool) -> Compound:
    if compound == Compound():
        raise _refused(text)
    tag = None if compound.tag == "*" else compound.tag
    return Compound(tag, compound.classes, compound.attributes, child)


def _attribute_names(name: str) -> tuple[str, ...]:
    # Ids and links have names of their own in chains; other attributes have their prefix.
    return ("attr_id" if name == "id" else name, f"attr__{name}")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _character(int(found[1], 16)) if found[1] else found[2], text)


def _character(code: int) -> str:
    try:
        chr(code).encode()
    except (ValueError, OverflowError):
        return "\ufffd"
    return chr(code) if code else "\ufffd"


def _refused(text: str) -> FilterError:
    return FilterError(
        f'The selector {text[:100]!r} is not supported: selectors have tags, .class, #id, [name="value"],'
        " :nth-child(n), :nth-of-type(n), descendants and >."
    )
