"""What an expression becomes: its SQL and what is known of it."""

from dataclasses import dataclass
from typing import Any, Final

from events.hogql.context import PropertyOf
from events.hogql.types import BOOLEAN, STRING, UNKNOWN, Type

NULL_TYPE: Final = Type("Unknown", nullable=True, constant=True)
PROPERTY_TYPE: Final = STRING.or_null()


@dataclass(frozen=True, slots=True)
class Value:
    """An expression in ClickHouse's SQL.

    `constant` is the value of an expression whose type is constant. A time that is stored in UTC has the stored form as
    `bare`, which indexes serve, while `sql` shows it in the project's zone. `property_of` says whose properties a JSON
    text holds. `is_property` marks the text of a property that has no type of its own.
    """

    sql: str
    type: Type = UNKNOWN
    constant: Any = None
    bare: str | None = None
    property_of: PropertyOf | None = None
    is_property: bool = False

    @property
    def is_null(self) -> bool:
        """Whether this is NULL itself."""
        return self.type.constant and self.constant is None and self.type.kind == "Unknown"

    @property
    def stored(self) -> str:
        """The SQL for places where only order and equality matter."""
        return self.bare or self.sql


TRUE: Final = Value("1", Type("Integer", constant=True), constant=1)
FALSE: Final = Value("0", Type("Integer", constant=True), constant=0)


def condition(sql: str, *, nullable: bool = False) -> Value:
    """Return the value of a condition."""
    return Value(sql, BOOLEAN.or_null() if nullable else BOOLEAN)
