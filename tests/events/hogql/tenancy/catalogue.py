"""What the statements are made of: columns of all tables by kind, and calls of the allow-list with places to fill."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from events.hogql.compile import compile_query
from events.hogql.context import Context, PersonMode
from events.hogql.errors import HogQLError
from events.hogql.functions.registry import FUNCTIONS, Function
from events.hogql.parser import parse_select
from events.hogql.printer import print_name
from events.hogql.tables.registry import TABLES
from events.hogql.tables.table import Field, Join, Part
from events.hogql.types import Kind as TypeKind
from tests.events.hogql.corpus.world import CONTEXT
from tests.events.hogql.functions.engine import parts

type Kind = Literal["text", "number", "bool", "time", "uuid", "texts"]
KINDS: Final[tuple[Kind, ...]] = ("text", "number", "bool", "time", "uuid", "texts")
_OF_TYPE: Final[Mapping[TypeKind, Kind]] = {
    "String": "text", "JSON": "text", "Integer": "number", "Float": "number", "Boolean": "bool", "DateTime": "time",
    "UUID": "uuid", "Array": "texts",
}  # fmt: skip
MODES: Final[tuple[PersonMode, ...]] = (
    "person_id_override_properties_on_events",
    "disabled",
    "person_id_no_override_properties_on_events",
    "person_id_override_properties_joined",
)
_PROPERTIES: Final[Mapping[str, Mapping[str, Kind]]] = {
    "event": {"price": "number", "paid": "bool", "due": "time", "code": "text", "$browser": "text", "nested.a": "text"},
    "person": {"age": "number", "plan": "text", "name": "text"},
    "group": {"size": "number", "name": "text"},
}
_JOINS_DEEP: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """`path` is what can be written behind the table's name; `own` ones need no join, `starred` ones are in `*`."""

    path: str
    kind: Kind
    own: bool = True
    starred: bool = False


@lru_cache(maxsize=256)
def columns(table: str, mode: PersonMode) -> tuple[Column, ...]:
    """Return the columns of a table with those of its lazy joins."""
    return tuple(_columns(table, Context(CONTEXT.team_id, person_mode=mode, group_types=CONTEXT.group_types)))


def _columns(table: str, context: Context, prefix: str = "", depth: int = _JOINS_DEEP) -> Iterator[Column]:
    for name, member in TABLES[table].of(context).items():
        path = f"{prefix}{print_name(name)}"
        match member:
            case Field():
                yield from _field(table, path, member, own=not prefix)
            case Part():
                for below, field in member.members.items():
                    yield from _field("persons", f"{path}.{print_name(below)}", field, own=False)
            case Join() if depth:
                yield from _columns(member.table, context, f"{path}.", depth - 1)


def _field(table: str, path: str, field: Field, *, own: bool) -> Iterator[Column]:
    kind = _OF_TYPE.get(field.type.kind)
    if kind is None:
        return
    yield Column(path, kind, own, own and not field.hidden)
    if field.type.kind == "JSON":
        of = (field.property_of or table.removeprefix("raw_").rstrip("s")).partition("_")[0]
        typed = of != "group" or not own
        for key, known in _PROPERTIES.get(of, {}).items():
            # Groups by their table alone have no type, and so no types of properties.
            yield Column(f"{path}.{'.'.join(map(print_name, key.split('.')))}", known if typed else "text", own)


@dataclass(frozen=True, slots=True)
class Template:
    """A call that runs with its example; `places` are arguments, `'..'` or numbers, that may be something else."""

    function: Function
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    places: Mapping[int, Kind]

    def text(self, arguments: Mapping[int, str]) -> str:
        """Return the call with other arguments at some places."""
        listed = ", ".join(arguments.get(place, given) for place, given in enumerate(self.arguments))
        parameters = f"({', '.join(self.parameters)})" if self.parameters else ""
        return f"{self.function.name}{parameters}({listed})"


# Another outcome each time, or one that depends on how many rows are read at once.
_UNSTEADY_GROUPS: Final = frozenset({"Random", "Dates and times: now"})
_UNSTEADY: Final = frozenset(
    {"rowNumberInAllBlocks", "rowNumberInBlock", "indexHint", "groupArraySample", "uniqTheta", "timeSlots"}
)


def _templates(*, aggregate: bool) -> Iterator[Template]:
    for function in FUNCTIONS.values():
        if function.window or function.aggregate != aggregate or function.name in _UNSTEADY:
            continue
        if function.group in _UNSTEADY_GROUPS or not _compiles(function):
            continue
        parameters, arguments, _ = parts(function.example)
        places: dict[int, Kind] = {
            place: "text" if given.startswith("'") else "number"
            for place, given in enumerate(arguments)
            if place not in function.constants and (_is_text(given) or given.isdigit())
        }
        yield Template(function, tuple(parameters), tuple(arguments), places)


def _is_text(given: str) -> bool:
    return given.startswith("'") and given.count("'") == 2


def _compiles(function: Function) -> bool:
    try:
        compile_query(parse_select(f"select {function.example}"), CONTEXT)
    except HogQLError:
        return False
    return True


CALLS: Final = tuple(_templates(aggregate=False))
AGGREGATIONS: Final = tuple(template for template in _templates(aggregate=True) if template.places)
