"""DataTableNode, DataVisualizationNode, InsightVizNode: how a query is shown; the answer is that of the one inside."""

import re
from collections.abc import Mapping
from typing import Any, Final

from core.query.reading import COMMON, BadNode, Fields
from core.query.runners.registry import KNOWN_KINDS, WRAPPERS

MAX_DEPTH: Final = 5
_SHOWN: Final = frozenset(
    {
        "source", "name", "columns", "hiddenColumns", "pinnedColumns", "allowSorting", "embedded", "expandable", "full",
        "propertiesViaUrl", "chartSettings", "display", "tableSettings", "hidePersonsModal", "hideTooltipOnScroll",
        "suppressSessionAnalysisWarning", "vizSpecificOptions", "context", "contextKey", "defaultColumns",
    }
)  # fmt: skip
_SHOWS: Final = re.compile(r"show[A-Z][A-Za-z]*", re.ASCII)

type Node = Mapping[str, Any]


def unwrapped(node: Node) -> Node:
    """Return the query inside of nodes that only show one; any other node is returned as it is. Raises BadNode."""
    path: tuple[str, ...] = ("query",)
    while isinstance(kind := node.get("kind"), str) and kind in WRAPPERS:
        if len(path) > MAX_DEPTH:
            raise BadNode("Input is nested too deeply", path)
        fields = Fields(node, path)
        shown = [name for name in node if name in _SHOWN or _SHOWS.fullmatch(name)]
        fields.closed(*shown, *COMMON)
        source = fields.mapping("source")
        if source is None:
            raise fields.missing("source")
        node, path = source, (*path, "source")
    if kind not in KNOWN_KINDS:
        message = f"Input tag '{str(kind)[:100]}' found using 'kind' does not match any of the expected tags"
        raise BadNode(message, path)
    return node
