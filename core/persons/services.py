"""Changes to persons that the API makes; each is durable, logged and stored as an event when it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone

from core.activity.services import activity_log
from core.outbox.services import outbox_add, outbox_nudge
from core.persons.identity import PropertiesTooLargeError, PropertyChanges, Roster
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.store import person_lock, roster_save
from core.tenancy.holding import team_hold


class PersonGoneError(LookupError):
    """The person was deleted or merged away by someone else meanwhile."""


@dataclass(frozen=True, slots=True)
class PersonRef:
    """A person of one team by both of its keys, and who is changing it."""

    team: IngestTeam
    organization_id: UUID
    id: int
    uuid: UUID
    by_user_id: int | None


def person_properties_set(*, person: PersonRef, properties: Mapping[str, Any]) -> None:
    """Set the given keys and leave the others; logged as `updated` as PostHog does (no values).

    Raises PropertiesTooLargeError when the person would grow over the size limit; nothing is stored then.
    """
    _apply(person, "$set", PropertyChanges({}, properties, ()))


def person_properties_unset(*, person: PersonRef, keys: Sequence[str]) -> None:
    """Remove keys; stored as a `$delete_person_property` event as PostHog does."""
    _apply(person, "$delete_person_property", PropertyChanges({}, {}, keys))


def _apply(person: PersonRef, event: str, changes: PropertyChanges) -> None:
    with transaction.atomic():
        team_hold(person.team.id)
        distinct_id = _first_distinct_id(person)
        if distinct_id is None:
            _apply_without_event(person, changes)
        else:
            stored: dict[str, Any] = {"$unset": list(changes.unset)} if changes.unset else {"$set": dict(changes.set)}
            new = NewEvent(
                uuid=uuid4(),
                event=event,
                distinct_id=distinct_id,
                timestamp=timezone.now(),
                properties=stored,
                set=changes.set,
                unset=list(changes.unset),
            )
            result = events_ingest(team=person.team, events=[new])
            if any(warning.type == "person_properties_size_violation" for warning in result.warnings):
                raise PropertiesTooLargeError
        is_unset = event == "$delete_person_property"
        change = {"type": "Person", "action": "changed", "field": None if is_unset else "properties"}
        activity_log(
            team_id=person.team.id,
            organization_id=person.organization_id,
            user_id=person.by_user_id,
            scope="Person",
            activity="delete_property" if is_unset else "updated",
            item_id=str(person.id),
            detail={
                "name": str(person.uuid) if is_unset else None,
                "changes": [{**change, "before": None, "after": None}],
            },
        )


def _first_distinct_id(person: PersonRef) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT distinct_id FROM core_persondistinctid WHERE team_id = %s AND person_id = %s ORDER BY id LIMIT 1",
            [person.team.id, person.id],
        )
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def _apply_without_event(person: PersonRef, changes: PropertyChanges) -> None:
    state = person_lock(team_id=person.team.id, person_id=person.id)
    if state is None:
        raise PersonGoneError
    roster = Roster(person.team.id, nameless=[state])
    roster.apply(state, changes)
    outbox_add(roster_save(roster))
    transaction.on_commit(outbox_nudge)


__all__ = [
    "PersonGoneError",
    "PersonRef",
    "PropertiesTooLargeError",
    "person_properties_set",
    "person_properties_unset",
]
