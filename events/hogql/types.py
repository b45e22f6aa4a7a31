"""Types of HogQL expressions: as much as comparisons, properties and functions need to know."""

from dataclasses import dataclass, replace
from typing import Literal

type Kind = Literal[
    "String", "Integer", "Float", "Decimal", "Boolean", "Date", "DateTime", "UUID", "JSON", "Array", "Tuple", "Map",
    "Interval", "Lambda", "Unknown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """What an expression is. `nullable` says whether NULL is possible; `items` are an array's or tuple's members.

    `constant` marks a value of the text or a bound parameter, `timestamp` the indexed time of an event.
    """

    kind: Kind
    nullable: bool = False
    items: tuple["Type", ...] = ()
    constant: bool = False
    timestamp: bool = False

    def or_null(self) -> "Type":
        """Return the same type with NULL."""
        return self if self.nullable else replace(self, nullable=True)


STRING = Type("String")
INTEGER = Type("Integer")
FLOAT = Type("Float")
BOOLEAN = Type("Boolean")
DATE = Type("Date")
DATETIME = Type("DateTime")
UUID = Type("UUID")
JSON = Type("JSON")
UNKNOWN = Type("Unknown", nullable=True)
