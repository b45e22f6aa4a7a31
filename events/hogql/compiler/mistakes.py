"""The error of a statement, at a place of its text."""

from events.hogql.ast import Node
from events.hogql.errors import HogQLResolutionError


def mistake(node: Node | None, message: str) -> HogQLResolutionError:
    """Return the error for a node; without one, the expression that is being compiled gives the place."""
    if node is None:
        return HogQLResolutionError(message)
    return HogQLResolutionError(message, start=node.start, end=node.end)
