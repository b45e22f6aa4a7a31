"""The clicked element and its ancestors, as libraries send them in `$elements`, in PostHog's text form.

A chain is `tag.class1.class2:name="value"name="value";...`, the clicked element first (capture.md 10). A quote inside a
value has a backslash before it. Newer libraries write the chain themselves.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

MAX_TEXT: Final = 400
MAX_LINK: Final = 2048
_CHAIN: Final = "$elements_chain"
_LIST: Final = "$elements"
# What ends a tag, a class or the name of an attribute.
_NOT_IN_CLASSES: Final = re.compile(r'[\s";]+')
_BAD_NAME: Final = re.compile(r'[\s"=;]')
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
# A backslash before a quote belongs to the quote, so values lose those that stand there.
_QUOTES: Final = re.compile(r'\\+(?:"|\Z)?|"')


def elements_taken(properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the chain of an event and its properties without what became the chain.

    A chain that was sent wins over a list. A list that holds anything but objects stays among the properties.
    """
    sent, elements = properties.get(_CHAIN), properties.get(_LIST)
    taken = set()
    chain = ""
    if isinstance(sent, str):
        taken.add(_CHAIN)
        chain = sent
    if isinstance(elements, list) and all(isinstance(element, dict) for element in elements):
        taken.add(_LIST)
        chain = chain or elements_chain(elements)
    if not taken:
        return "", properties
    return chain, {name: value for name, value in properties.items() if name not in taken}


def elements_chain(elements: Sequence[Mapping[str, Any]]) -> str:
    """Return the chain of elements."""
    return ";".join(map(_element, elements))


def _element(element: Mapping[str, Any]) -> str:
    tag = element.get("tag_name")
    head = _NOT_IN_CLASSES.sub("", tag) if isinstance(tag, str) else ""
    for name in sorted(_classes(element.get("attr__class"))):
        head += f".{name}"
    # Readers find the end of the classes by the first plain name of an attribute.
    ordered = sorted(_attributes(element), key=lambda pair: (_PLAIN_NAME.fullmatch(pair[0]) is None, pair[0]))
    return head + ":" + "".join([f'{name}="{_escaped(value)}"' for name, value in ordered])


def _classes(given: object) -> Iterator[str]:
    for listed in given if isinstance(given, list) else [given]:
        if isinstance(listed, str):
            yield from (name for one in listed.split() if (name := _NOT_IN_CLASSES.sub("", one)))


def _attributes(element: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    text, link, own_id = element.get("$el_text"), element.get("attr__href"), element.get("attr__id")
    if isinstance(text, str) and text:
        yield "text", text[:MAX_TEXT]
    if isinstance(link, str) and link:
        yield "href", link[:MAX_LINK]
    if isinstance(own_id, str) and own_id:
        yield "attr_id", own_id
    yield "nth-child", _position(element.get("nth_child"))
    yield "nth-of-type", _position(element.get("nth_of_type"))
    for name, value in element.items():
        if name.startswith("attr__") and value is not None and not _BAD_NAME.search(name):
            yield name, _as_text(value)


def _position(value: object) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else "0"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _escaped(value: str) -> str:
    return _QUOTES.sub(_quoted, value)


def _quoted(found: re.Match[str]) -> str:
    if found[0].endswith('"'):
        return r"\""
    return "" if found.end() == len(found.string) else found[0]
