"""Definitions of properties are written when a key is seen for the first time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

from django.db import transaction

from core.definitions.detection import property_type_of
from core.tenancy.statements import execute
from events.hogql.context import PropertyOf, PropertyType

MAX_DEFINITIONS: Final = 10_000
"""Of one project; a few more where several processes come to it at once. Later keys are read as text."""
MAX_NAME: Final = 400

type Sighting = tuple[PropertyOf, Mapping[str, Any]]
type _Key = tuple[PropertyOf, str]

# They command, or are defined elsewhere.
_NO_PROPERTIES: Final = frozenset(
    {"$set", "$set_once", "$unset", "$groups", "$group_0", "$group_1", "$group_2", "$group_3", "$group_4"}
)
_KNOWN_NAMES: Final = 200_000
_FULL_SECONDS: Final = 600.0

# Rows that are there are neither locked nor written, but for those that get their type now. Sorted, so that two batches
# that bring the same keys never wait for each other in turn.
_ADD: Final[LiteralString] = """
WITH have AS (SELECT count(*) AS definitions FROM core_propertydefinition WHERE team_id = %(team_id)s),
fresh AS (
    SELECT new.type, new.index, new.name, new.property_type
    FROM unnest(%(types)s::text[], %(indexes)s::smallint[], %(names)s::text[], %(property_types)s::text[])
        AS new(type, index, name, property_type)
    LEFT JOIN core_propertydefinition old ON old.team_id = %(team_id)s AND old.name = new.name
        AND old.type = new.type AND old.group_type_index IS NOT DISTINCT FROM new.index
    WHERE old.id IS NULL OR (old.property_type IS NULL AND new.property_type IS NOT NULL)
    ORDER BY old.id IS NULL, new.name, new.type, new.index
    LIMIT (SELECT greatest(%(most)s - definitions, 0) FROM have)
),
added AS (
    INSERT INTO core_propertydefinition (team_id, type, group_type_index, name, property_type)
    SELECT %(team_id)s, type, index, name, property_type FROM fresh ORDER BY name, type, index
    ON CONFLICT (team_id, name, type, group_type_index) DO UPDATE SET property_type = excluded.property_type
    WHERE core_propertydefinition.property_type IS NULL AND excluded.property_type IS NOT NULL
    RETURNING 1
)
SELECT (SELECT definitions FROM have), (SELECT count(*) FROM added)
"""


@dataclass(slots=True)
class _Names:
    """The names that are defined, those of them that have no type yet apart."""

    typed: set[str] = field(default_factory=set)
    untyped: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.typed) + len(self.untyped)


class Known:
    """What this process knows to be defined, of the projects that it served last; for use by many threads."""

    def __init__(self, most: int = _KNOWN_NAMES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[int, PropertyOf], _Names] = OrderedDict()
        self._full: dict[int, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    def unseen(self, team_id: int, sightings: Iterable[Sighting]) -> dict[_Key, PropertyType | None]:
        """Return the keys that may have to be defined, with the types of their first values that have one."""
        found: dict[_Key, PropertyType | None] = {}
        if self._is_full(team_id):
            return found
        known: dict[PropertyOf, _Names] = {}
        for of, properties in sightings:
            names = known.get(of)
            if names is None:
                names = known[of] = self._of(team_id, of)
            if names.typed.issuperset(properties):
                continue
            for name, value in properties.items():
                if name not in names.typed and found.get((of, name)) is None and _is_definable(name):
                    kind = property_type_of(name, value)
                    if kind is not None or name not in names.untyped:
                        found[of, name] = kind
        return found

    def remember(self, team_id: int, keys: Mapping[_Key, PropertyType | None], *, full: bool) -> None:
        """Take keys for defined from now on; `full` says that the project can have no more for some time."""
        with self._lock:
            if full:
                self._full[team_id] = time.monotonic() + _FULL_SECONDS
            for (of, name), kind in keys.items():
                names = self._names.setdefault((team_id, of), _new(of))
                if kind is None:
                    names.untyped.add(name)
                else:
                    names.typed.add(name)
                    names.untyped.discard(name)
            while len(self) > self._most:
                self._names.popitem(last=False)

    def _of(self, team_id: int, of: PropertyOf) -> _Names:
        with self._lock:
            names = self._names.setdefault((team_id, of), _new(of))
            self._names.move_to_end((team_id, of))
            return names

    def _is_full(self, team_id: int) -> bool:
        until = self._full.get(team_id)
        if until is not None and until < time.monotonic():
            self._full.pop(team_id, None)
            return False
        return until is not None


_KNOWN: Final = Known()


def property_definitions_add(team_id: int, sightings: Iterable[Sighting], *, known: Known = _KNOWN) -> int:
    """Define the keys of these properties that are new, in the transaction that stores them; return how many.

    One statement, and none when this process has seen all keys before. In the order of locks it is the last.
    """
    unseen = known.unseen(team_id, sightings)
    if not unseen:
        return 0
    keys = list(unseen)
    kinds = [of.partition("_") for of, _ in keys]
    ((definitions, added),) = execute(
        _ADD,
        {
            "team_id": team_id,
            "types": [kind for kind, _, _ in kinds],
            "indexes": [int(index) if index else None for _, _, index in kinds],
            "names": [name for _, name in keys],
            "property_types": [unseen[key] for key in keys],
            "most": MAX_DEFINITIONS,
        },
    )
    full = definitions + added >= MAX_DEFINITIONS
    # Never before: what is rolled back has to be defined by the next who brings it.
    transaction.on_commit(lambda: known.remember(team_id, unseen, full=full))
    return int(added)


def _new(of: PropertyOf) -> _Names:
    # As if they were defined, so that an event with such a key is not looked at key by key.
    return _Names(set(_NO_PROPERTIES)) if of == "event" else _Names()


def _is_definable(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and "\x00" not in name
