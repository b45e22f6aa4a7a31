"""Keyset paging of persons: a cursor names a place between two persons of the list's order.

The order is `created_at` descending, then `uuid`. A page reads from its place on through the index of that
order, so page 10,000 costs what page 1 costs, and persons who come or go elsewhere shift nothing.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FORM: Final = struct.Struct(">cq16s")
_KINDS: Final = {b"a": False, b"b": True}
_LAST_UUID: Final = 2**128 - 1


class CursorError(ValueError):
    """The text is no cursor that this server made."""


@dataclass(frozen=True, slots=True)
class Place:
    """A person's position in the order: the next page begins behind it, the previous one ends before it."""

    created_at: datetime
    uuid: UUID

    def just_behind(self) -> "Place":
        """Return the next place that a person could have, so that "before" includes this one."""
        return Place(self.created_at, UUID(int=min(self.uuid.int + 1, _LAST_UUID)))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Which persons are asked for: those behind the place, or (`backward`) those before it."""

    place: Place
    backward: bool = False

    def text(self) -> str:
        """Return the opaque form that travels in links: URL-safe, 34 characters."""
        microseconds = (self.place.created_at - _EPOCH) // _MICROSECOND
        packed = _FORM.pack(b"b" if self.backward else b"a", microseconds, self.place.uuid.bytes)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Read what `text` wrote; anything else is a CursorError."""
        try:
            kind, microseconds, uuid = _FORM.unpack(base64.b64decode(text + "==", altchars=b"-_", validate=True))
            cursor = cls(Place(_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=uuid)), _KINDS[kind])
        except (KeyError, OverflowError, ValueError, binascii.Error, struct.error) as error:
            raise CursorError from error
        if cursor.text() != text:
            raise CursorError
        return cursor


def place_of(created_at: str, uuid: str) -> Place:
    """Return the place of a row, whose columns are texts."""
    return Place(datetime.fromisoformat(created_at), UUID(uuid))


_COLUMNS: Final[LiteralString] = (
    "p.id, p.uuid, p.created_at, p.properties, p.search_text, p.is_identified, p.last_seen_at"
)
ORDERED_COLUMNS: Final = 7
"""How many columns `ordered_rows` gives."""
_FORWARD: Final[LiteralString] = "ORDER BY p.created_at DESC, p.uuid"
_BACKWARD: Final[LiteralString] = "ORDER BY p.created_at, p.uuid DESC"


def order_of(cursor: Cursor | None) -> LiteralString:
    """Return the ORDER BY in which rows are found: away from the place."""
    return _BACKWARD if cursor is not None and cursor.backward else _FORWARD


def ordered_rows(cursor: Cursor | None, *, limit: LiteralString, where: LiteralString = "") -> LiteralString:
    """Return a SELECT of a team's persons `p` in the list's order, from the cursor on, read off the index.

    Two branches, because "older, or as old with a greater uuid" as one condition would read all the persons
    of one moment again for each page. Parameters are `team_id`, `at` and `uuid`.
    """
    select: LiteralString = "SELECT " + _COLUMNS + " FROM core_person p WHERE p.team_id = %(team_id)s "  # noqa: S608
    order = order_of(cursor)
    tail: LiteralString = where + " " + order + " LIMIT " + limit
    if cursor is None:
        return select + tail
    same, older = ("<", ">") if cursor.backward else (">", "<")
    return (
        "SELECT * FROM (("  # noqa: S608 own constants, values are bound
        + select
        + "AND p.created_at = %(at)s AND p.uuid "
        + same
        + " %(uuid)s "
        + tail
        + ") UNION ALL ("
        + select
        + "AND p.created_at "
        + older
        + " %(at)s "
        + tail
        + ")) p "
        + order
        + " LIMIT "
        + limit
    )


def beyond(cursor: Cursor | None) -> LiteralString:
    """Return the same restriction as one condition, for plans that do not follow the order."""
    if cursor is None:
        return ""
    if cursor.backward:
        return "AND (p.created_at > %(at)s OR (p.created_at = %(at)s AND p.uuid < %(uuid)s)) "
    return "AND (p.created_at < %(at)s OR (p.created_at = %(at)s AND p.uuid > %(uuid)s)) "
