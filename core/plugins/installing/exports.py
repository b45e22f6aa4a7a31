"""Finds what a plugin's code exports, by parsing it: nothing of it is run.

A program by itself: the parser is C and the text comes from strangers, so it works in a process of its own that may
take only so much (`capabilities.py` starts it). It reads the text from standard input and writes JSON.
"""

import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

CPU_SECONDS: Final = 5
MEMORY_BYTES: Final = 1024 * 1024 * 1024
MAX_DEPTH: Final = 10
"""Steps from a name to what it stands for."""
MAX_NAMES: Final = 2_000

_GRAMMARS: Final = (tree_sitter_typescript.language_typescript, tree_sitter_typescript.language_tsx)
_WRAPPERS: Final = frozenset(
    {
        "as_expression",
        "satisfies_expression",
        "parenthesized_expression",
        "non_null_expression",
        "type_assertion",
    }
)
_FUNCTIONS: Final = frozenset({"function_declaration", "generator_function_declaration", "class_declaration"})
_VARIABLES: Final = frozenset({"lexical_declaration", "variable_declaration"})
_NOTHING: Final = frozenset({"undefined", "null", "false", "0", '""', "''", "void 0", "!1"})
# How bundlers fill the object of exports, and how they hand it over.
_FILLERS: Final = frozenset({"__export", "Object.assign"})
_HANDED_OVER: Final = frozenset({"__toCommonJS", "Object.freeze"})

type Members = dict[str, Node | None]
"""Names and what they stand for; None is something that is not to be seen from the text."""


@dataclass(frozen=True, slots=True)
class Exports:
    """What a module hands out: itself, as its default, and as CommonJS knows it; and its own top level."""

    named: Members = field(default_factory=dict)
    default: Members = field(default_factory=dict)
    commonjs: Members = field(default_factory=dict)
    top: Members = field(default_factory=dict)
    globals: Members = field(default_factory=dict)
    """Those of `top` that a script would share with others: functions and `var`."""


def exported(source: bytes) -> dict[str, list[str] | bool]:
    """Return `names` and the `jobs` among them, in the order of the text, and whether the text has errors.

    Where nothing is exported at all, the functions of the top level count, as in a script.
    """
    root = _parsed(source)
    found = Exports()
    for node in root.named_children:
        _declare(node, found)
    for node in root.named_children:
        _read(node, found)
    places = [found.named, found.default, found.commonjs]
    if not any(places):
        places.append(found.globals)
    names: dict[str, None] = {}
    jobs: dict[str, None] = {}
    for place in places:
        for name, value in place.items():
            if not _is_nothing(value, found):
                names[name] = None
        for name, value in _members(_got(place.get("jobs")), found).items():
            if not _is_nothing(value, found):
                jobs[name] = None
    return {"names": list(names)[:MAX_NAMES], "jobs": list(jobs)[:MAX_NAMES], "broken": root.has_error}


def _parsed(source: bytes) -> Node:
    """Parse as TypeScript, or where that has errors, as TypeScript with JSX."""
    roots = []
    for grammar in _GRAMMARS:
        root = Parser(Language(grammar())).parse(source).root_node
        if not root.has_error:
            return root
        roots.append(root)
    return roots[0]


def _declare(node: Node, found: Exports) -> None:
    """Note what a statement of the top level binds names to."""
    if node.type == "export_statement":
        declaration = node.child_by_field_name("declaration")
        if declaration is not None:
            found.top.update(_bound(declaration))
        return
    bound = dict(_bound(node))
    found.top.update(bound)
    if node.type in _FUNCTIONS or node.type == "variable_declaration":
        found.globals.update(bound)


def _bound(node: Node) -> Iterator[tuple[str, Node | None]]:
    if node.type in _FUNCTIONS:
        name = node.child_by_field_name("name")
        if name is not None:
            yield _text(name), node
    elif node.type in _VARIABLES:
        for declarator in node.named_children:
            yield from _variables(declarator)


def _variables(declarator: Node) -> Iterator[tuple[str, Node | None]]:
    name, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
    if name is None or value is None:
        return
    if name.type == "identifier":
        yield _text(name), value
    elif name.type == "object_pattern":
        for part in name.named_children:
            target = part.child_by_field_name("value") if part.type == "pair_pattern" else part
            if target is not None and target.type in {"identifier", "shorthand_property_identifier_pattern"}:
                yield _text(target), None


def _read(node: Node, found: Exports) -> None:
    if node.type == "export_statement":
        _read_export(node, found)
    elif node.type == "expression_statement":
        for expression in _expressions(node.named_children):
            _read_expression(expression, found)


def _read_export(node: Node, found: Exports) -> None:
    if node.child_by_field_name("source") is not None:
        return  # of another file, and a plugin has one
    words = [child.type for child in node.children if not child.is_named]
    declaration, value = node.child_by_field_name("declaration"), node.child_by_field_name("value")
    if "type" in words:
        return
    if "default" in words:
        found.default.update(_members(value, found))
    elif declaration is not None:
        found.named.update(_bound(declaration))
    elif "=" in words:
        found.commonjs.update(_members(node.named_children[-1], found))
    for clause in node.named_children:
        if clause.type == "export_clause":
            _read_clause(clause, found)


def _read_clause(clause: Node, found: Exports) -> None:
    for part in clause.named_children:
        name = part.child_by_field_name("name")
        if name is None or any(child.type == "type" for child in part.children):
            continue
        alias = _text(part.child_by_field_name("alias") or name)
        if alias == "default":
            found.default.update(_members(name, found))
        else:
            found.named[alias.strip("\"'")] = name


def _expressions(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield expressions one by one where they are joined by commas; a loop, for there may be thousands."""
    waiting = list(reversed(list(nodes)))
    while waiting:
        node = waiting.pop()
        if node.type in {"sequence_expression", "parenthesized_expression"}:
            waiting.extend(reversed(node.named_children))
        else:
            yield node


def _read_expression(node: Node, found: Exports) -> None:
    if node.type == "call_expression":
        _read_call(node, found)
    targets = []
    while node.type == "assignment_expression":
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return
        targets.append(left)
        node = right
    for target in targets:
        _assign(target, node, found)


def _assign(target: Node, value: Node, found: Exports) -> None:
    if _text(target) == "module.exports":
        found.commonjs.clear()
        found.commonjs.update(_members(value, found))
        return
    owner, name = _member(target)
    if owner not in {"exports", "module.exports"} or name is None:
        return
    if name == "default":
        found.default.update(_members(value, found))
    else:
        found.commonjs[name] = value


def _read_call(call: Node, found: Exports) -> None:
    """Read `Object.defineProperty(exports, "name", ...)` and what fills an object: bundlers write so."""
    function, arguments = _call(call)
    if function == "Object.defineProperty" and len(arguments) > 2:  # noqa: PLR2004 the object, the name, what it is
        if _text(arguments[0]) in {"exports", "module.exports"} and arguments[1].type == "string":
            found.commonjs[_text(arguments[1]).strip("\"'`")] = None
    elif function in _FILLERS and len(arguments) == 2:  # noqa: PLR2004 what is filled, and with what
        target, members = _text(arguments[0]), _members(arguments[1], found)
        if target in {"exports", "module.exports"}:
            found.commonjs.update(members)
        else:
            found.top[target] = arguments[1]


def _call(call: Node) -> tuple[str, list[Node]]:
    function, arguments = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    if function is None or arguments is None:
        return "", []
    return _text(function), arguments.named_children


def _member(node: Node) -> tuple[str, str | None]:
    """Return the object and the name of `object.name` or `object["name"]`."""
    owner = node.child_by_field_name("object")
    if owner is None:
        return "", None
    if node.type == "member_expression":
        name = node.child_by_field_name("property")
        return _text(owner), None if name is None else _text(name)
    index = node.child_by_field_name("index")
    if index is None or index.type != "string":
        return _text(owner), None
    return _text(owner), _text(index).strip("\"'")


def _members(node: Node | None, found: Exports, depth: int = 0) -> Members:
    """Return what an object has, as far as the text says."""
    node = _resolved(node, found)
    members: Members = {}
    if node is None or node.type != "object":
        return members
    for part in node.named_children:
        if part.type == "spread_element":
            if depth < MAX_DEPTH and part.named_children:
                members.update(_members(part.named_children[0], found, depth + 1))
        elif part.type == "shorthand_property_identifier":
            members[_text(part)] = part
        else:
            name = part.child_by_field_name("key" if part.type == "pair" else "name")
            if name is not None and name.type != "computed_property_name":
                members[_text(name).strip("\"'")] = part.child_by_field_name("value") if part.type == "pair" else part
    return members


def _got(node: Node | None) -> Node | None:
    """Return what a getter of a bundler, `() => name`, hands out; other nodes as they are."""
    body = node.child_by_field_name("body") if node is not None and node.type == "arrow_function" else None
    return node if body is None or body.type == "statement_block" else body


def _resolved(node: Node | None, found: Exports) -> Node | None:
    """Follow names, casts and the calls by which bundlers hand over, to what they stand for; None where it is lost."""
    for _ in range(MAX_DEPTH):
        if node is None:
            return None
        if node.type in _WRAPPERS:
            node = next((child for child in node.named_children if child.type != "type_arguments"), None)
        elif node.type in {"identifier", "shorthand_property_identifier"} and _text(node) in found.top:
            node = found.top[_text(node)]
        elif node.type == "call_expression" and _call(node)[0] in _HANDED_OVER and len(_call(node)[1]) == 1:
            node = _call(node)[1][0]
        else:
            return node
    return None


def _is_nothing(node: Node | None, found: Exports) -> bool:
    node = _resolved(node, found)
    return node is not None and _text(node) in _NOTHING


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(orjson.dumps(exported(sys.stdin.buffer.read())))


if __name__ == "__main__":
    _main()
