"""A plain Python model of one project's persons, to hold the server against.

Written from persons.md, capture.md 7 and decisions.md; it knows nothing of versions, generations, locks or SQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

NAMESPACE = UUID("932979b4-65c3-4424-8467-0b66ec27bc22")
ANONYMOUS = "0191f3c2-77aa-7c11-8d10-6a2b9f00aa01"
ILLEGAL = {"null"}
START = datetime(2024, 1, 1, tzinfo=UTC)
OTHER_ID = {"$identify": "$anon_distinct_id", "$create_alias": "alias", "$merge_dangerously": "alias"}


def exact(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True)
class Event:
    name: str
    who: str
    second: int
    other: str
    set: dict[str, Any]
    set_once: dict[str, Any]
    unset: tuple[str, ...]

    def wire(self, uuid: UUID) -> dict[str, Any]:
        properties: dict[str, Any] = {"$set": self.set, "$set_once": self.set_once, "$unset": list(self.unset)}
        if self.name in OTHER_ID:
            properties[OTHER_ID[self.name]] = self.other
        if self.name == "personless":
            properties["$process_person_profile"] = False
        at = START + timedelta(seconds=self.second)
        return {
            "event": self.name, "distinct_id": self.who, "properties": properties, "uuid": str(uuid),
            "timestamp": at.isoformat(),
        }  # fmt: skip


@dataclass(eq=False)
class Someone:
    """`uuid` and `created_at` are None where the server is free to choose, until its answer was seen."""

    ids: list[str]
    properties: dict[str, Any]
    created_at: datetime | None
    uuid: UUID | None
    identified: bool = False


@dataclass(frozen=True)
class Update:
    at: datetime
    number: int
    who: str
    set: dict[str, Any] = field(default_factory=dict)
    set_once: dict[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()

    def fold(self, properties: dict[str, Any], *, include_set_once: bool = True) -> None:
        for key, value in self.set_once.items() if include_set_once else ():
            if properties.get(key) is None and (key not in properties or value is not None):
                properties[key] = value
        properties.update(self.set)
        for key in self.unset:
            properties.pop(key, None)


@dataclass
class World:
    """All that one project should hold: ids of a person in the order in which they came, the log by request."""

    team_id: int
    people: list[Someone] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    events: dict[UUID, str] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    log: list[list[tuple[str, str]]] = field(default_factory=list)
    clock: int = 0

    def owner(self, who: str) -> Someone | None:
        return next((one for one in self.people if who in one.ids), None)

    def derived(self, who: str) -> UUID | None:
        """Return the UUID that a new person for this id gets; None when it is another's, so that any other will do."""
        uuid = uuid5(NAMESPACE, f"{self.team_id}:{who}")
        return None if any(one.uuid == uuid for one in self.people) else uuid

    def give(self, person: Someone, who: str) -> None:
        self.clock += 1
        self.born[who] = self.clock
        person.ids.append(who)

    def capture(self, uuid: UUID, event: Event) -> None:
        self.events[uuid] = event.who
        if event.name == "personless":
            return
        both = {event.who, event.other}
        merging = event.name in OTHER_ID and len(both) == 2 and not both & ILLEGAL
        target, other = self.owner(event.who), self.owner(event.other) if merging else None
        creator: dict[str, Any] = {}
        if target is None and other is None:
            target = Someone([], {}, START + timedelta(seconds=event.second), self.derived(event.who))
            self.people.append(target)
            creator = {"$creator_event_uuid": str(uuid)}
        elif target is None:
            target = other
        assert target is not None
        for who in [event.who, event.other] if merging else [event.who]:
            if self.owner(who) is None:
                self.give(target, who)
        if other not in {None, target} and other is not None:
            self.absorb(target, other, dangerously=event.name == "$merge_dangerously")
        target.identified = target.identified or merging
        applied = event.name != "$exception"
        self.update(
            target,
            START + timedelta(seconds=event.second),
            event.who,
            set=event.set if applied else {},
            set_once={**(event.set_once if applied else {}), **creator},
            unset=event.unset if applied else (),
        )

    def absorb(self, target: Someone, other: Someone, *, dangerously: bool) -> None:
        if other.identified and not dangerously:
            return
        target.properties = {**other.properties, **target.properties}
        assert target.created_at is not None
        assert other.created_at is not None
        target.created_at = min(target.created_at, other.created_at)
        target.ids = sorted(target.ids + other.ids, key=lambda who: self.born[who])
        self.people.remove(other)

    def update(self, person: Someone, at: datetime, who: str | None, **operations: Any) -> None:
        """Change a person; a person without ids changes, but leaves no history."""
        self.clock += 1
        update = Update(at, self.clock, who or "", **operations)
        update.fold(person.properties)
        if who is not None:
            self.updates.append(update)

    def split(self, person: Someone, leaving: Iterable[str]) -> list[Someone]:
        if len(person.ids) == 1:
            return []
        made = []
        for who in [who for who in person.ids if who in set(leaving)]:
            person.ids.remove(who)
            made.append(Someone([who], {}, None, self.derived(who)))
            self.people.append(made[-1])
        return made

    def delete(self, *people: Someone) -> None:
        gone = {who for person in people for who in person.ids}
        self.people = [person for person in self.people if person not in people]
        self.updates = [update for update in self.updates if update.who not in gone]
        self.events = {uuid: who for uuid, who in self.events.items() if who not in gone}
        self.log.append([("deleted", str(person.uuid)) for person in people])

    def then(self, person: Someone, at: datetime, *, include_set_once: bool) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for update in sorted(self.updates, key=lambda update: (update.at, update.number)):
            if update.who in person.ids and update.at <= at:
                update.fold(properties, include_set_once=include_set_once)
        return properties


def shown(person: Someone) -> list[str]:
    return sorted(person.ids, key=lambda who: who == ANONYMOUS)
