"""The table `events`, and whose an event is."""

from collections.abc import Mapping
from typing import Final

from events.hogql.context import Context, PropertyOf
from events.hogql.tables.persons import virtual
from events.hogql.tables.table import Field, Join, Member, Part, Row, Table, column, written
from events.hogql.types import DATETIME, INTEGER, JSON, STRING, UUID, Type

GROUP_PLACES: Final[tuple[PropertyOf, ...]] = ("group_0", "group_1", "group_2", "group_3", "group_4")
GROUP_TYPES: Final = len(GROUP_PLACES)
_STRINGS: Final = Type("Array", items=(STRING,))
_TIMESTAMP: Final = Type("DateTime", timestamp=True)
# An override counts for events of its own life of the distinct id. A life counts from 1, so that 0 is an id without an
# override; hashes of 64 bits are as good as distinct ids, and quicker to read for every event.
_OVERRIDES: Final = (
    "LEFT ANY JOIN (SELECT cityHash64(o.distinct_id) AS hash, o.person_id AS owner, toUInt64(o.generation) + 1 AS life"
    " FROM person_distinct_id_overrides AS o FINAL WHERE o.team_id = {team_id:Int64}) AS <alias>"
)
_ATTRIBUTE: Final = r'(?:[:"]){name}="((?:[^"\\\\]|\\\\.)*)"'
# A quote inside a value has a backslash before it.
_QUOTED: Final = r"""'\\"', '"'"""
_TAGS: Final = "(?:^|;)(a|button|form|input|select|textarea|label)(?:[.:]|$)"


def person_id(row: Row) -> str:
    """Return the UUID of the person that an event belongs to, by the mode of the project."""
    match row.context.person_mode:
        case "disabled":
            return row.expression(("pdi", "person_id"))
        case "person_id_no_override_properties_on_events":
            return f"{row.alias}.person_id"
        case _:
            e = row.alias
            o = row.joined("owner", f"{_OVERRIDES} ON <alias>.hash = {e}.distinct_id_hash")
            return f"if({o}.life = toUInt64({e}.generation) + 1, {o}.owner, {e}.person_id)"


def _attribute(name: str, *, every: bool) -> str:
    pattern = "'" + _ATTRIBUTE.replace("{name}", name) + "'"
    if not every:
        return f"replaceAll(extract(<e>.elements_chain, {pattern}), {_QUOTED})"
    return f"arrayDistinct(arrayMap(x -> replaceAll(x, {_QUOTED}), extractAll(<e>.elements_chain, {pattern})))"


_STORED: Final[Mapping[str, Field]] = {
    "uuid": Field(type=UUID, write=column("uuid"), description="The event's id."),
    "event": Field(type=STRING, write=column("event"), description="Its name."),
    "properties": Field(
        type=JSON, write=column("properties"), property_of="event", description="Its properties, as JSON."
    ),
    "timestamp": Field(type=_TIMESTAMP, write=column("timestamp"), description="When it happened."),
    "team_id": Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project."),
    "distinct_id": Field(type=STRING, write=column("distinct_id"), description="Who sent it, in the sender's words."),
    "elements_chain": Field(
        type=STRING, write=column("elements_chain"), description="The clicked element and its ancestors."
    ),
    "created_at": Field(type=DATETIME, write=column("created_at"), description="When it was received."),
    "$session_id": Field(type=STRING, write=column("$session_id"), description="Its session; empty without one."),
    "$window_id": Field(type=STRING, write=column("$window_id"), description="Its browser window; empty without one."),
    "person_mode": Field(
        type=STRING,
        write=written("toString(<e>.person_mode)"),
        description="`full`, `propertyless` or `force_upgrade`: how it took part in person processing.",
    ),
    **{
        f"$group_{i}": Field(
            type=STRING,
            write=column(f"$group_{i}"),
            description=f"The key of its group of type {i}, or empty.",
        )
        for i in range(GROUP_TYPES)
    },
    "elements_chain_href": Field(
        type=STRING, write=written(_attribute("href", every=False)), description="The first link of the chain."
    ),
    "elements_chain_texts": Field(
        type=_STRINGS, write=written(_attribute("text", every=True)), description="The texts of the chain's elements."
    ),
    "elements_chain_ids": Field(
        type=_STRINGS, write=written(_attribute("attr_id", every=True)), description="The ids of the chain's elements."
    ),
    "elements_chain_elements": Field(
        type=_STRINGS,
        write=written(f"arrayDistinct(extractAll(<e>.elements_chain, '{_TAGS}'))"),
        description="Which of a, button, form, input, select, textarea and label the chain has.",
    ),
    "$session_id_uuid": Field(
        type=Type("UUID", nullable=True),
        write=written("toUUIDOrNull(<e>.`$session_id`)"),
        hidden=True,
        description="The session's id as a UUID, NULL if it is none.",
    ),
    "event_person_id": Field(
        type=UUID, write=column("person_id"), hidden=True, description="The person that the event was stored with."
    ),
}
_ON_EVENT: Final[Mapping[str, Field]] = {
    "created_at": Field(type=DATETIME, write=column("person_created_at"), description="When the person was created."),
    "properties": Field(
        type=JSON,
        write=column("person_properties"),
        property_of="person",
        description="The person's properties just after the event.",
    ),
    **virtual("<e>.person_properties"),
}
_STORED_PERSON: Final = Part(
    name="poe",
    members={"id": Field(type=UUID, write=column("person_id"), description="The person's id."), **_ON_EVENT},
    description="What is stored with the event of its person.",
)
_PERSON_ON_EVENT: Final = Part(
    name="person",
    members={
        "id": Field(type=UUID, write=lambda row: row.expression(("person_id",)), description="The person's id."),
        **_ON_EVENT,
    },
    description="The event's person, with the properties that it had just after the event.",
)
_PERSON: Final = Join(
    name="person",
    table="persons",
    keys=((column("id"), person_id),),
    property_of="person",
    description="The event's person as it is now.",
)
_PDI: Final = Join(
    name="pdi",
    table="person_distinct_ids",
    keys=(
        (written("cityHash64(<e>.distinct_id)"), written("<e>.distinct_id_hash")),
        (column("generation"), column("generation")),
    ),
    description="The event's distinct id, and whose it is now.",
)
_OVERRIDE: Final = Join(
    name="override",
    table="person_distinct_id_overrides",
    keys=_PDI.keys,
    description="The row of the event's distinct id among those that changed their person.",
)
_SESSION: Final = Join(
    name="session",
    table="sessions",
    keys=((column("$session_id"), column("$session_id")),),
    description="The event's session.",
)


def _group(index: int, of: PropertyOf) -> Join:
    return Join(
        name=f"group_{index}",
        table="groups",
        keys=((column("group_key"), column(f"$group_{index}")),),
        where=written(f"<e>.group_type_index = {index}"),
        property_of=of,
        description=f"The event's group of type {index}.",
    )


_GROUPS: Final[Mapping[str, Join]] = {of: _group(i, of) for i, of in enumerate(GROUP_PLACES)}
_JOINS: Final[Mapping[str, Member]] = {
    "pdi": _PDI,
    "poe": _STORED_PERSON,
    "override": _OVERRIDE,
    "session": _SESSION,
    **_GROUPS,
    **{f"goe_{i}": _GROUPS[f"group_{i}"] for i in range(GROUP_TYPES)},
}


def _members(context: Context) -> Mapping[str, Member]:
    joined = context.person_mode in {"disabled", "person_id_override_properties_joined"}
    owner = Type("UUID", nullable=context.person_mode == "disabled")
    members: dict[str, Member] = {
        **_STORED,
        "person_id": Field(type=owner, write=person_id, hidden=True, description="Whose event it is."),
        "person": _PERSON if joined else _PERSON_ON_EVENT,
        **_JOINS,
    }
    named = {name: _GROUPS[f"group_{i}"] for name, i in context.group_types.items() if 0 <= i < GROUP_TYPES}
    return {**named, **members}


EVENTS: Final = Table(
    name="events",
    clickhouse="events",
    description="Everything that was captured: one row per event.",
    of=_members,
    person_id=person_id,
)
