"""Reads the body of POST query, in the order of its checks (query.md B1, B2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.api.errors import Invalid
from core.api.values import NotJSONError, TooDeepError, json_repaired
from core.query.modes import Mode, read_mode
from core.query.override import Override, overridden, read_override
from core.query.reading import BadNode, Fields
from core.query.runners.registry import KNOWN_KINDS, WRAPPERS

KEYS: Final = frozenset(
    {
        "query", "refresh", "async", "client_query_id", "name", "filters_override", "variables_override",
        "limit_context",
    }
)  # fmt: skip
MAX_NAME: Final = 128
HOGQL_QUERY: Final = "HogQLQuery"
# The id stands in ClickHouse's log_comment, between colons, and in URLs, where dots alone and some words mean others.
_ID: Final = re.compile(r"(?!(?:\.{1,2}|upgrade|check_auth_for_async)$)[A-Za-z0-9_.~@+=-]{1,128}")
_KEY_OF_CALLER: Final = "personal_api_key"
_SHOWN: Final = 100

type Json = Any
type Node = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What is asked: the node with all overrides applied, and how it is to be run."""

    node: Node
    mode: Mode = Mode.BLOCKING
    client_query_id: str | None = None
    name: str | None = None
    sent: Node | None = None
    """The node before any override, to say where in the body a mistake stands."""
    override: Override | None = None

    @property
    def kind(self) -> str:
        """The kind of the node."""
        return str(self.node["kind"])


def read_request(body: Json, *, path_kind: str | None = None) -> QueryRequest:
    """Return the request in a body; `path_kind` is that of the URL, if it has one. Raises Invalid and BadNode."""
    if path_kind is not None:
        _check_path_kind(body, path_kind)
    fields = Fields(_shallow(_object(body)), ())
    for name in fields.values:
        if name not in KEYS and name != _KEY_OF_CALLER:
            raise BadNode("Extra inputs are not permitted", (str(name)[:_SHOWN],))
    sent = node = _node(fields)
    mode = read_mode(fields.values.get("refresh"), fields.flag("async"))
    if mode is None:
        raise BadNode("Input should be a valid string, boolean or null", ("refresh",))
    fields.choice("limit_context", ("posthog_ai",))
    override = read_override(fields.values.get("filters_override"))
    if override is not None:
        node = overridden(node, override)
    variables = _variables_override(fields)
    if variables:
        node = _with_variables(node, variables)
    return QueryRequest(
        node=node,
        mode=mode,
        client_query_id=read_query_id(fields.text("client_query_id")),
        name=fields.text("name", longest=MAX_NAME) or _name_of(node),
        sent=sent,
        override=override,
    )


def read_query_id(text: str | None) -> str | None:
    """Return an id that callers choose; empty is none. Raises BadNode."""
    if not text:
        return None
    if not _ID.fullmatch(text):
        message = "Input should have 1 to 128 of the characters A-Z, a-z, 0-9 and _.~@+=-"
        raise BadNode(message, ("client_query_id",))
    return text


def is_query_id(text: str) -> bool:
    """Tell whether a query can have this id."""
    return _ID.fullmatch(text) is not None


def kind_of_body(body: Json) -> str | None:
    """Return the kind of the query that is really run.

    That is what a DataTableNode and the like are wrapped around, and the source of an ActorsQuery where that is HogQL.
    """
    node = body.get("query") if isinstance(body, Mapping) else None
    for _ in range(len(WRAPPERS) + 1):
        if not isinstance(node, Mapping):
            return None
        if node.get("kind") not in WRAPPERS:
            break
        node = node.get("source")
    if not isinstance(node, Mapping):
        return None
    source = node.get("source")
    if isinstance(source, Mapping) and source.get("kind") == HOGQL_QUERY:
        return HOGQL_QUERY
    kind = node.get("kind")
    return kind if isinstance(kind, str) else None


def _check_path_kind(body: Json, path_kind: str) -> None:
    if not isinstance(body, Mapping):
        raise Invalid("Query body must be a JSON object.")
    query = body.get("query")
    if not isinstance(query, Mapping):
        raise Invalid("Query must be a JSON object.")
    kind = query.get("kind")
    if kind != path_kind:
        message = (
            f'Query kind mismatch: path kind "{path_kind[:_SHOWN]}" does not match body kind "{str(kind)[:_SHOWN]}".'
        )
        raise Invalid(message)


def _object(body: Json) -> Node:
    if not isinstance(body, Mapping):
        raise BadNode("Input should be an object", ())
    return body


def _shallow(body: Node) -> Node:
    try:
        return dict(json_repaired(body))
    except TooDeepError:
        raise BadNode("Input is nested too deeply", ()) from None
    except NotJSONError:
        # A file of a form.
        raise BadNode("Input should be JSON", ()) from None


def _node(fields: Fields) -> Node:
    node = fields.mapping("query")
    if node is None:
        raise fields.missing("query")
    kind = node.get("kind")
    if kind is None:
        raise BadNode("Unable to extract tag using discriminator 'kind'", ("query",))
    if not isinstance(kind, str) or kind not in KNOWN_KINDS:
        expected = ", ".join(repr(one) for one in KNOWN_KINDS)
        message = (
            f"Input tag '{str(kind)[:_SHOWN]}' found using 'kind' does not match any of the expected tags: {expected}"
        )
        raise BadNode(message, ("query",))
    return node


def _name_of(node: Node) -> str | None:
    name = node.get("name")
    return name[:MAX_NAME] if isinstance(name, str) else None


def _variables_override(fields: Fields) -> Mapping[str, Node]:
    below = fields.below("variables_override")
    if below is None:
        return {}
    for name in below.values:
        below.mapping(name)
    return {name: entry for name, entry in below.values.items() if entry is not None}


def _with_variables(node: Node, entries: Mapping[str, Node]) -> Node:
    """Return a node with the entries in the place of its variables of the same ids."""
    if node.get("kind") in WRAPPERS and isinstance(node.get("source"), Mapping):
        return {**node, "source": _with_variables(node["source"], entries)}
    own = node.get("variables")
    if not isinstance(own, Mapping):
        return node
    merged = {
        name: {**entry, **entries[name]} if name in entries and isinstance(entry, Mapping) else entry
        for name, entry in own.items()
    }
    return {**node, "variables": merged}
