"""Who is in which cohort."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables.table import Field, Join, Member, Row, Table, Write, column, same, written
from events.hogql.types import BOOLEAN, INTEGER, UUID

_COLUMNS: Final[Mapping[str, Field]] = {
    "person_id": Field(type=UUID, write=column("person_id"), description="The member."),
    "cohort_id": Field(type=INTEGER, write=column("cohort_id"), description="The cohort."),
    "team_id": Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project."),
}
_PERSON: Final = Join(
    name="person",
    table="persons",
    keys=((column("id"), column("person_id")),),
    description="The member as it is now.",
)
_MEMBERS: Final[Mapping[str, Member]] = {**_COLUMNS, "person": _PERSON}
_RAW: Final[Mapping[str, Member]] = {
    **_COLUMNS,
    "is_deleted": Field(type=BOOLEAN, write=column("is_deleted"), description="Whether the member left."),
    "version": Field(type=INTEGER, write=column("version"), description="Which version of the row this is."),
}


def _static(row: Row) -> str:
    ids = ", ".join(str(int(cohort)) for cohort in sorted(row.context.static_cohorts))
    return f"NOT {row.alias}.is_deleted AND {f'{row.alias}.cohort_id IN ({ids})' if ids else '0'}"


def _table(name: str, description: str, members: Mapping[str, Member], guard: Write | None, *, listed: bool) -> Table:
    return Table(
        name=name,
        clickhouse="cohort_people",
        description=description,
        of=same(members),
        final=True,
        guard=guard,
        person_id=column("person_id"),
        listed=listed,
    )


COHORT_PEOPLE: Final = _table(
    "cohort_people", "The members of every cohort.", _MEMBERS, written("NOT <e>.is_deleted"), listed=True
)
STATIC_COHORT_PEOPLE: Final = _table(
    "static_cohort_people", "The members of static cohorts only.", _MEMBERS, _static, listed=True
)
RAW_COHORT_PEOPLE: Final = _table(
    "raw_cohort_people", "Members of cohorts, with those that left.", _RAW, None, listed=False
)
