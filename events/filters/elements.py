"""ClickHouse expressions that read `elements_chain`: the clicked element, then its ancestors, as autocapture sends it.

A chain is `tag.class1.class2:name="value"name="value";...`. A quote inside a value has a backslash before it.
"""

from typing import Final

from events.filters.forms import literal

# Each element up to a semicolon that no quotes enclose.
_ELEMENT: Final = literal(r'(?s)(?:[^;"]|"(?:[^"\\]|\\.)*")+')
# Classes may have colons: attributes begin where a name with a value does.
_HEAD: Final = literal(r'(?s)^([^"]*?)(?::([a-zA-Z0-9_-]+=".*)?)?$')
_ATTRIBUTE: Final = literal(r'(?s)([^"=]+)="((?:[^"\\]|\\.)*)"')


def elements(chain: str) -> str:
    """Return the elements of a chain, each as `([tag, classes...], [[name, value], ...])`, values as in the chain."""
    return (
        f"arrayMap(g -> (splitByChar('.', g[1]), extractAllGroupsVertical(g[2], {_ATTRIBUTE})), "
        f"arrayMap(w -> extractGroups(w, {_HEAD}), extractAll({chain}, {_ELEMENT})))"
    )


def written(value: str) -> str:
    """Return a value as chains have it."""
    return value.replace('"', '\\"')


def read(value: str) -> str:
    """Return an expression for what a value in a chain means."""
    return f"replaceAll({value}, '\\\\\"', '\"')"
