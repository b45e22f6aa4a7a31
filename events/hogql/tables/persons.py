"""Persons, their distinct ids, and the distinct ids that changed their person."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables.channels import channel_type, of_person, referring_domain_type
from events.hogql.tables.table import Field, Join, Member, Table, column, same, written
from events.hogql.types import BOOLEAN, DATETIME, INTEGER, JSON, STRING, UUID

_LIVING: Final = written("NOT <e>.is_deleted")
_TEAM: Final = Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project.")
_VERSION: Final = Field(type=INTEGER, write=column("version"), description="Which version of the row this is.")
_IS_DELETED: Final = Field(type=BOOLEAN, write=column("is_deleted"), description="Whether it was deleted.")


def virtual(properties: str) -> Mapping[str, Field]:
    """Return the columns that are worked out of a person's properties; `<e>` in these stands for the row."""
    read = of_person(properties)
    return {
        "$virt_initial_channel_type": Field(
            type=STRING,
            write=written(channel_type(read)),
            hidden=True,
            description="The channel of the first visit, such as `Organic Search`.",
        ),
        "$virt_initial_referring_domain_type": Field(
            type=STRING.or_null(),
            write=written(referring_domain_type(read)),
            hidden=True,
            description="What kind of site the first visit came from, such as `Search`; NULL for an unknown one.",
        ),
    }


_PERSON: Final[Mapping[str, Member]] = {
    "id": Field(type=UUID, write=column("id"), description="The person's id."),
    "created_at": Field(type=DATETIME, write=column("created_at"), description="When the person was created."),
    "team_id": _TEAM,
    "properties": Field(
        type=JSON, write=column("properties"), property_of="person", description="The person's properties, as JSON."
    ),
    "is_identified": Field(
        type=BOOLEAN, write=column("is_identified"), description="Whether the person was ever identified."
    ),
    **virtual("<e>.properties"),
}
_IDS_OF_PERSON: Final = Join(
    name="pdi",
    table="person_distinct_ids",
    keys=((column("person_id"), column("id")),),
    many=True,
    description="The person's distinct ids: a row for each.",
)
PERSONS: Final = Table(
    name="persons",
    clickhouse="persons",
    description="The project's persons as they are now.",
    of=same({**_PERSON, "pdi": _IDS_OF_PERSON}),
    final=True,
    guard=_LIVING,
    person_id=column("id"),
)
RAW_PERSONS: Final = Table(
    name="raw_persons",
    clickhouse="persons",
    description="Persons with those that were deleted, whose properties are empty: the newest version of each.",
    of=same({**_PERSON, "is_deleted": _IS_DELETED, "version": _VERSION}),
    final=True,
    person_id=column("id"),
    listed=False,
)

_MAPPING: Final[Mapping[str, Field]] = {
    "distinct_id": Field(type=STRING, write=column("distinct_id"), description="The distinct id."),
    "person_id": Field(type=UUID, write=column("person_id"), description="The person that it belongs to."),
    "team_id": _TEAM,
}
_RAW_MAPPING: Final[Mapping[str, Field]] = {**_MAPPING, "is_deleted": _IS_DELETED, "version": _VERSION}
_PERSON_OF_ID: Final = Join(
    name="person",
    table="persons",
    keys=((column("id"), column("person_id")),),
    description="The person that it belongs to.",
)


def _mapping(name: str, clickhouse: str, description: str, *, raw: bool = False, listed: bool = False) -> Table:
    return Table(
        name=name,
        clickhouse=clickhouse,
        description=description,
        of=same(_RAW_MAPPING if raw else {**_MAPPING, "person": _PERSON_OF_ID}),
        final=True,
        guard=None if raw else _LIVING,
        person_id=column("person_id"),
        listed=listed,
    )


PERSON_DISTINCT_IDS: Final = _mapping(
    "person_distinct_ids",
    "person_distinct_ids",
    "Distinct ids, each with whose it is now.",
    listed=True,
)
RAW_PERSON_DISTINCT_IDS: Final = _mapping(
    "raw_person_distinct_ids",
    "person_distinct_ids",
    "Distinct ids with those that were deleted: the newest version of each.",
    raw=True,
)
PERSON_DISTINCT_ID_OVERRIDES: Final = _mapping(
    "person_distinct_id_overrides",
    "person_distinct_id_overrides",
    "Distinct ids whose person changed after their first event.",
)
RAW_PERSON_DISTINCT_ID_OVERRIDES: Final = _mapping(
    "raw_person_distinct_id_overrides",
    "person_distinct_id_overrides",
    "Distinct ids whose person changed or was deleted: the newest version of each.",
    raw=True,
)
