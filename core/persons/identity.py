"""The rules of identity, in memory: create, set, merge.

A `Roster` holds the persons that a batch of events can touch. Events change it one after the other;
`core.persons.store` loads it under locks before and writes the outcome after, in one transaction.
The rules are those of PostHog's ingestion as written in capture.md 7.2 to 7.4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

import orjson

PERSON_NAMESPACE: Final = UUID("932979b4-65c3-4424-8467-0b66ec27bc22")
MAX_PROPERTIES_BYTES: Final = 512 * 1024
TOMBSTONE_STEP: Final = 100
MAX_MERGEABLE_LENGTH: Final = 400

_ILLEGAL_ANY_CASE: Final = frozenset(
    [
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    ]
)
_ILLEGAL_EXACT: Final = frozenset({"[object Object]", "NaN", "None", "none", "null", "0", "undefined"})


def person_uuid(team_id: int, distinct_id: str) -> UUID:
    """Return the UUID of the person born with this distinct id, as PostHog derives it."""
    return uuid5(PERSON_NAMESPACE, f"{team_id}:{distinct_id}")


def is_mergeable(distinct_id: str) -> bool:
    """Tell whether an id may take part in a merge; placeholders such as `null` may not."""
    if not distinct_id.strip() or "\x00" in distinct_id or len(distinct_id) > MAX_MERGEABLE_LENGTH:
        return False
    bare = distinct_id
    if len(bare) >= 2 and bare[0] == bare[-1] and bare[0] in "'\"":  # noqa: PLR2004 a pair of quotes
        bare = bare[1:-1]
    return bool(bare.strip()) and bare not in _ILLEGAL_EXACT and bare.lower() not in _ILLEGAL_ANY_CASE


def same_value(one: Any, other: Any) -> bool:  # noqa: ANN401 JSON values
    """Compare two JSON values by type and content: true is not 1, key order does not matter."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict | list):
        return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    return bool(one == other)


@dataclass(slots=True, eq=False)
class PersonState:
    """A person as it stands within the running transaction. `id` is None until the row is inserted.

    `stored` are the properties as they were read from the row, None for a new person. Changes copy, never write
    into them.
    """

    uuid: UUID
    id: int | None
    properties: dict[str, Any]
    created_at: datetime
    is_identified: bool
    version: int
    changed: bool = False
    changed_by: int = -1
    merged_into: "PersonState | None" = None
    text: str | None = None
    stored: Mapping[str, Any] | None = None
    new_distinct_ids: list[str] = field(default_factory=list)

    @classmethod
    def loaded(  # noqa: PLR0913 one argument per column
        cls,
        id: int,  # noqa: A002 the column's name
        uuid: UUID,
        text: str,
        created_at: datetime,
        version: int,
        *,
        is_identified: bool,
    ) -> "PersonState":
        """Return a person as read from its row, with its properties as JSON text."""
        properties = orjson.loads(text)
        return cls(uuid, id, properties, created_at, is_identified, version, stored=properties)

    def next_version(self, event_number: int) -> None:
        """Count a change: all that one event does to a person is one version."""
        self.changed = True
        if self.changed_by != event_number:
            self.changed_by = event_number
            self.version += 1

    def properties_text(self) -> str:
        """Return the properties as JSON text, serialised once per change."""
        if self.text is None:
            self.text = orjson.dumps(self.properties).decode()
        return self.text


@dataclass(slots=True)
class DistinctIdState:
    """What is known of a distinct id: its person, its version and which of its lives this is."""

    person: PersonState
    version: int
    generation: int
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Birth:
    """What a new person or mapping must start above after an earlier deletion, and whether the UUID is taken."""

    person_version: int = 0
    mapping_version: int = 0
    generation: int = 0
    uuid_taken: bool = False


NEVER_LIVED: Final = Birth()


@dataclass(frozen=True, slots=True)
class PropertyChanges:
    """The property operations of one event, in the order in which they apply."""

    set_once: Mapping[str, Any]
    set: Mapping[str, Any]
    unset: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.set_once or self.set or self.unset)


def properties_after(properties: dict[str, Any], changes: PropertyChanges) -> dict[str, Any]:
    """Return the properties after `$set_once`, `$set`, `$unset`; the same object when nothing changes."""
    after = properties
    for key, value in changes.set_once.items():
        if key not in after or (after[key] is None and value is not None):
            after = dict(after) if after is properties else after
            after[key] = value
    for key, value in changes.set.items():
        if key not in after or not same_value(after[key], value):
            after = dict(after) if after is properties else after
            after[key] = value
    for key in changes.unset:
        if key in after:
            after = dict(after) if after is properties else after
            del after[key]
    return after


class PropertiesTooLargeError(ValueError):
    """The person would exceed the size limit; the update is refused, the event is kept."""


class MergeRefusedError(ValueError):
    """The other person is already identified, so only `$merge_dangerously` may swallow it."""

    def __init__(self, source: PersonState, target: PersonState) -> None:
        super().__init__("the other person is already identified")
        self.source = source
        self.target = target


@dataclass(slots=True)
class Roster:
    """The persons of one team that a batch can touch: by distinct id, and those that have none."""

    team_id: int
    mappings: dict[str, DistinctIdState] = field(default_factory=dict)
    births: dict[str, Birth] = field(default_factory=dict)
    merges: list[tuple[PersonState, PersonState]] = field(default_factory=list)
    nameless: list[PersonState] = field(default_factory=list)
    event_number: int = 0

    def person(self, distinct_id: str) -> PersonState | None:
        """Return the person that a distinct id names at this point of the batch."""
        mapping = self.mappings.get(distinct_id)
        if mapping is None:
            return None
        person = mapping.person
        while person.merged_into is not None:
            person = person.merged_into
        mapping.person = person
        return person

    def generation(self, distinct_id: str) -> int:
        """Return which life of the distinct id this is."""
        mapping = self.mappings.get(distinct_id)
        return mapping.generation if mapping else self.births.get(distinct_id, NEVER_LIVED).generation

    def personless_uuid(self, distinct_id: str) -> UUID:
        """Return the UUID under which events of an id without a person are stored: the one that a person would get.

        Where that is somebody's already, because the id left the person that it made, it is one that nobody has.
        """
        uuid = person_uuid(self.team_id, distinct_id)
        birth = self.births.get(distinct_id, NEVER_LIVED)
        return uuid5(uuid, str(birth.generation)) if birth.uuid_taken else uuid

    def create(self, distinct_id: str, *, created_at: datetime, changes: PropertyChanges) -> PersonState:
        """Make the person of an unknown distinct id; the creating event's properties are its first."""
        birth = self.births.get(distinct_id, NEVER_LIVED)
        person = PersonState(
            uuid=uuid4() if birth.uuid_taken else person_uuid(self.team_id, distinct_id),
            id=None,
            properties=properties_after({}, changes),
            created_at=created_at,
            is_identified=False,
            version=birth.person_version,
        )
        self.mappings[distinct_id] = DistinctIdState(person, birth.mapping_version, birth.generation, is_new=True)
        person.new_distinct_ids.append(distinct_id)
        return person

    def add_distinct_id(self, distinct_id: str, person: PersonState) -> None:
        """Give a person one more distinct id; version 1 makes earlier personless rows reachable."""
        birth = self.births.get(distinct_id, NEVER_LIVED)
        self.mappings[distinct_id] = DistinctIdState(
            person, max(1, birth.mapping_version), birth.generation, is_new=True
        )
        person.new_distinct_ids.append(distinct_id)

    def apply(self, person: PersonState, changes: PropertyChanges, *, identified: bool = False) -> None:
        """Apply property changes (and identification) as one version; no change, no new version.

        Raises PropertiesTooLargeError after marking the person identified: only the properties are refused.
        """
        too_large = False
        after = properties_after(person.properties, changes) if changes else person.properties
        new_text = None
        if after is not person.properties:
            new_text = orjson.dumps(after).decode()
            too_large = len(new_text) > MAX_PROPERTIES_BYTES and len(new_text) > len(person.properties_text())
        if new_text is not None and not too_large:
            person.properties, person.text = after, new_text
            person.next_version(self.event_number)
        if identified and not person.is_identified:
            person.is_identified = True
            person.next_version(self.event_number)
        if too_large:
            raise PropertiesTooLargeError

    def merge(self, source: PersonState, target: PersonState, *, dangerously: bool) -> None:
        """Merge `source` into `target`: target's properties win, the earlier creation counts."""
        if source.is_identified and not dangerously:
            raise MergeRefusedError(source, target)
        target.properties = {**source.properties, **target.properties}
        target.text = None
        target.created_at = min(source.created_at, target.created_at)
        target.is_identified = True
        target.version = max(source.version, target.version)
        target.next_version(self.event_number)
        source.merged_into = target
        for distinct_id in source.new_distinct_ids:
            self.mappings[distinct_id].version += 1
        target.new_distinct_ids.extend(source.new_distinct_ids)
        self.merges.append((source, target))
