"""Split: distinct ids leave a person, each to a new person of its own, in one transaction.

A moved id keeps its generation, so its events and property updates follow it through the override; its new
version is above every tombstone, so no mirror can keep the old owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import transaction

from core.activity.services import activity_log
from core.outbox.services import outbox_add, outbox_nudge
from core.persons.identity import TOMBSTONE_STEP, PersonState, Roster, person_uuid
from core.persons.ingest import MAX_RACES, MergeRaceError
from core.persons.services import PersonGoneError, PersonRef
from core.persons.store import RacedError, json_rows, person_lock, roster_save
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute
from events.rows import Row, Table, distinct_id_row

__all__ = [
    "MAX_MOVED_IDS",
    "MergeRaceError",
    "NotOnPersonError",
    "PersonGoneError",
    "SplitWish",
    "TooManyIdsError",
    "person_split",
]

MAX_MOVED_IDS: Final = 10_000
MAX_LOGGED_IDS: Final = 1000
# One more than a deletion adds, so that a split beats the tombstone of an earlier deletion.
SPLIT_STEP: Final = TOMBSTONE_STEP + 1

_OVERVIEW: Final = """
SELECT clock_timestamp(),
       (SELECT count(*) FROM core_persondistinctid WHERE team_id = %(team)s AND person_id = %(person)s),
       ARRAY(SELECT distinct_id FROM core_persondistinctid
             WHERE team_id = %(team)s AND person_id = %(person)s ORDER BY id LIMIT %(limit)s)
"""

_OWN_AMONG: Final = """
SELECT distinct_id FROM core_persondistinctid
WHERE team_id = %s AND person_id = %s AND distinct_id = ANY(%s)
ORDER BY id
"""

_ALL_BUT: Final = """
SELECT distinct_id FROM core_persondistinctid
WHERE team_id = %s AND person_id = %s AND distinct_id <> %s
ORDER BY id LIMIT %s
"""

_UUIDS_IN_USE: Final = """
SELECT person_uuid, version FROM core_persontombstone WHERE team_id = %s AND person_uuid = ANY(%s)
UNION ALL
SELECT uuid, NULL FROM core_person WHERE team_id = %s AND uuid = ANY(%s)
"""

_MOVE: Final = """
UPDATE core_persondistinctid d SET person_id = moved.owner, version = d.version + %s
FROM json_to_recordset(%s::json) AS moved(named text, owner bigint)
WHERE d.team_id = %s AND d.person_id = %s AND d.distinct_id = moved.named
RETURNING d.distinct_id, d.version, d.generation
"""


@dataclass(frozen=True, slots=True)
class SplitWish:
    """Which ids are to leave: those of `leaving`, else all but `main`, else all but the person's first."""

    leaving: tuple[str, ...] | None = None
    main: str | None = None


class NotOnPersonError(ValueError):
    """Some of the ids do not belong to the person."""

    def __init__(self, distinct_ids: Sequence[str]) -> None:
        """Keep the ids, sorted."""
        super().__init__("ids of someone else")
        self.distinct_ids = sorted(distinct_ids)


class TooManyIdsError(ValueError):
    """More than MAX_MOVED_IDS ids would leave in one call."""


def person_split(*, person: PersonRef, wish: SplitWish) -> list[tuple[str, UUID]]:
    """Move distinct ids to new persons; return the moved ids with their new UUIDs, oldest id first.

    The person keeps its properties; the new ones begin without any. A person with one id stays as it is
    and nothing is logged. Raises NotOnPersonError, TooManyIdsError, PersonGoneError and MergeRaceError;
    nothing has moved then.
    """
    for _ in range(MAX_RACES):
        try:
            with transaction.atomic():
                return _split_once(person, wish)
        except RacedError:
            continue
    message = f"gave up after {MAX_RACES} lost races"
    raise MergeRaceError(message)


def _split_once(person: PersonRef, wish: SplitWish) -> list[tuple[str, UUID]]:
    team_hold(person.team.id)
    source = person_lock(team_id=person.team.id, person_id=person.id)
    if source is None:
        raise PersonGoneError
    ((clock, count, first_ids),) = execute(
        _OVERVIEW, {"team": person.team.id, "person": person.id, "limit": MAX_LOGGED_IDS}
    )
    leaving = _leaving(person, wish, first_ids)
    if count <= 1 or not leaving:
        return []
    newcomers = dict(zip(leaving, _newcomers(person.team.id, source, leaving, clock), strict=True))
    rows = roster_save(Roster(person.team.id, nameless=list(newcomers.values())))
    moved = _move(person, newcomers)
    rows[Table.PERSON_DISTINCT_IDS] = moved
    rows[Table.PERSON_DISTINCT_ID_OVERRIDES] = moved
    outbox_add(rows)
    _log(person, wish, count, first_ids)
    transaction.on_commit(outbox_nudge)
    return [(distinct_id, newcomer.uuid) for distinct_id, newcomer in newcomers.items()]


def _leaving(person: PersonRef, wish: SplitWish, first_ids: Sequence[str]) -> list[str]:
    key = [person.team.id, person.id]
    named = wish.leaving if wish.leaving is not None else (wish.main,) if wish.main is not None else ()
    own = [row[0] for row in execute(_OWN_AMONG, [*key, list(named)])] if named else []
    if missing := set(named) - set(own):
        raise NotOnPersonError(list(missing))
    if wish.leaving is not None:
        leaving = own
    elif first_ids:
        main = wish.main if wish.main is not None else first_ids[0]
        leaving = [row[0] for row in execute(_ALL_BUT, [*key, main, MAX_MOVED_IDS + 1])]
    else:
        leaving = []
    if len(leaving) > MAX_MOVED_IDS:
        raise TooManyIdsError
    return leaving


def _newcomers(team_id: int, source: PersonState, leaving: Sequence[str], clock: datetime) -> list[PersonState]:
    derived = [person_uuid(team_id, distinct_id) for distinct_id in leaving]
    taken: set[UUID] = set()
    tombstones: dict[UUID, int] = {}
    for uuid, version in execute(_UUIDS_IN_USE, [team_id, derived, team_id, derived]):
        if version is None:
            taken.add(uuid)
        else:
            tombstones[uuid] = version
    base = source.version + SPLIT_STEP
    return [
        PersonState(
            # Taken by the source itself when the id is its creator's, else by whom an earlier split left behind.
            uuid=uuid4() if uuid in taken else uuid,
            id=None,
            properties={},
            created_at=clock,
            is_identified=False,
            version=max(base, tombstones.get(uuid, 0) + 1),
        )
        for uuid in derived
    ]


def _move(person: PersonRef, newcomers: dict[str, PersonState]) -> list[Row]:
    owners = json_rows({"named": distinct_id, "owner": newcomer.id} for distinct_id, newcomer in newcomers.items())
    moved = execute(_MOVE, [SPLIT_STEP, owners, person.team.id, person.id])
    return [
        distinct_id_row(
            team_id=person.team.id,
            distinct_id=distinct_id,
            person_id=newcomers[distinct_id].uuid,
            version=version,
            generation=generation,
        )
        for distinct_id, version, generation in moved
    ]


def _log(person: PersonRef, wish: SplitWish, count: int, first_ids: Sequence[str]) -> None:
    after: dict[str, Any] = {"distinct_ids": list(first_ids)}
    if count > len(first_ids):
        after["distinct_ids_count"] = count
    if wish.leaving is not None:
        after["distinct_ids_to_split"] = list(wish.leaving[:MAX_LOGGED_IDS])
    change = {"type": "Person", "action": "split", "field": None, "before": None, "after": after}
    activity_log(
        team_id=person.team.id,
        organization_id=person.organization_id,
        user_id=person.by_user_id,
        scope="Person",
        activity="split_person",
        item_id=str(person.id),
        detail={"name": str(person.uuid), "changes": [change]},
    )
