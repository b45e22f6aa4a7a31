"""Changes to cohorts: each is logged, and calculated by the worker soon after it is committed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.cohorts.definitions import Definition, definition_read, definitions_lock, loop_refuse
from core.cohorts.membership import LOCK_BY_UUID, members_add, members_lock, members_remove
from core.cohorts.models import Cohort, CohortUpload
from core.cohorts.nudges import cohorts_nudge
from core.cohorts.uploads import CohortBody, Upload
from core.filters.storing import stores_filters
from core.outbox.services import outbox_add, outbox_nudge
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute
from events.rows import Table

MAX_COHORTS: Final = 2_000
UPLOAD_PART: Final = 10_000
STATIC_CHANGED: Final = "A cohort cannot change between static and dynamic."
NOT_STATIC_ADD: Final = "Can only add users to static cohorts"
NOT_STATIC_REMOVE: Final = "Can only remove users from static cohorts"
_LOGGED: Final = ("name", "description", "filters", "groups", "deleted")
_USERS_NAMED: Final = 5

_WISH: Final = """
UPDATE core_cohort SET version_wanted = version_wanted + 1, retry_at = NULL,
    lease_id = NULL, lease_until = NULL, progress = NULL, members_changed = false
WHERE team_id = %(team_id)s AND {which}
"""
_WISH_ONE: Final = _WISH.format(which="id = %(cohort_id)s")
_WISH_DEPENDENTS: Final = _WISH.format(which="%(cohort_id)s = ANY(depends_on) AND NOT deleted")
_RECOUNT: Final = """
UPDATE core_cohort SET last_calculation = statement_timestamp(),
    count = (SELECT count(*) FROM core_cohortperson WHERE cohort_id = core_cohort.id)
WHERE team_id = %s AND id = %s
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes cohorts, of which team."""

    team_id: int
    organization_id: UUID
    user_id: int


@stores_filters
def cohort_create(*, author: Author, body: CohortBody) -> int:
    """Make a cohort and return its id; raises Invalid with the attr that is wrong."""
    fields = body.fields
    is_static = bool(fields.get("is_static"))
    with transaction.atomic():
        team_hold(author.team_id)
        definitions_lock(author.team_id)
        _refuse_too_many(author.team_id)
        definition = Definition() if is_static else _definition(author.team_id, fields)
        cohort = Cohort.objects.for_team(author.team_id).create(
            team_id=author.team_id,
            created_by_id=author.user_id,
            name=fields.get("name", ""),
            description=fields.get("description", ""),
            is_static=is_static,
            filters=definition.filters,
            groups=definition.groups,
            depends_on=definition.depends_on,
            version_wanted=0 if is_static else 1,
            count=0 if is_static else None,
        )
        _take_members(cohort, body)
        _log(author, cohort, "created", None)
        transaction.on_commit(cohorts_nudge)
    return int(cohort.id)


@stores_filters
def cohort_update(*, author: Author, cohort_id: int, body: CohortBody) -> None:
    """Change the given fields; raises NotFound, and Invalid with the attr that is wrong."""
    fields = body.fields
    with transaction.atomic():
        team_hold(author.team_id)
        definitions_lock(author.team_id)
        cohort = cohort_lock(team_id=author.team_id, cohort_id=cohort_id)
        if fields.get("is_static", cohort.is_static) != cohort.is_static:
            raise Invalid(STATIC_CHANGED, attr="is_static")
        before = _logged(cohort)
        for name in ("name", "description"):
            setattr(cohort, name, fields.get(name, getattr(cohort, name)))
        if not cohort.is_static and ("filters" in fields or "groups" in fields):
            definition = _definition(author.team_id, fields)
            loop_refuse(team_id=author.team_id, cohort_id=cohort_id, depends_on=definition.depends_on)
            cohort.filters, cohort.groups = definition.filters, definition.groups
            cohort.depends_on = definition.depends_on
        _set_deleted(cohort, deleted=fields.get("deleted", cohort.deleted))
        cohort.save(update_fields=["name", "description", "filters", "groups", "depends_on", "deleted"])
        _take_members(cohort, body)
        after = _logged(cohort)
        if not cohort.is_static and any(before[name] != after[name] for name in ("filters", "deleted")):
            execute(_WISH_ONE, {"team_id": author.team_id, "cohort_id": cohort_id})
        changes = _changes(before, after)
        _log(author, cohort, "deleted" if after["deleted"] and not before["deleted"] else "updated", changes)
        transaction.on_commit(cohorts_nudge)


def cohort_delete(*, author: Author, cohort_id: int) -> None:
    """Mark a cohort as deleted; raises NotFound when it is that already, and Invalid when other cohorts name it."""
    with transaction.atomic():
        team_hold(author.team_id)
        definitions_lock(author.team_id)
        if cohort_lock(team_id=author.team_id, cohort_id=cohort_id).deleted:
            raise NotFound
        cohort_update(author=author, cohort_id=cohort_id, body=CohortBody({"deleted": True}))


def persons_add(*, author: Author, cohort_id: int, uuids: Sequence[UUID]) -> None:
    """Add persons to a static cohort; who is in it already stays, who is unknown is left out.

    Raises NotFound, and Invalid for a dynamic cohort or when none of the persons is known.
    """
    with transaction.atomic():
        team_hold(author.team_id)
        cohort = _static_lock(author.team_id, cohort_id, NOT_STATIC_ADD)
        if not _add(cohort, uuids):
            raise Invalid("No valid users to add to cohort", attr="person_ids")
        _log(author, cohort, "persons_added_manually", [{"type": "Cohort", "action": "changed"}])


def person_remove(*, author: Author, cohort_id: int, uuid: UUID) -> None:
    """Remove a person from a static cohort; raises NotFound, also for who is not in it, and Invalid."""
    with transaction.atomic():
        team_hold(author.team_id)
        cohort = _static_lock(author.team_id, cohort_id, NOT_STATIC_REMOVE)
        persons = members_lock(LOCK_BY_UUID, team_id=author.team_id, uuids=[uuid])
        if not persons:
            raise NotFound("Person with this UUID does not exist in the cohort's team")
        rows = members_remove(team_id=author.team_id, cohort_id=cohort_id, persons=persons)
        if not rows:
            raise NotFound("Person is not part of the cohort")
        outbox_add({Table.COHORT_PEOPLE: rows})
        transaction.on_commit(outbox_nudge)
        members_changed(team_id=author.team_id, cohort_id=cohort_id)
        _log(author, cohort, "person_removed_manually", [{"type": "Cohort", "action": "changed"}])


def cohort_lock(*, team_id: int, cohort_id: int) -> Cohort:
    """Lock and return a cohort, deleted or not; raises NotFound.

    The cohorts that name it are locked too, in the order of ids, since what changes it has to tell them.
    """
    wanted = Q(id=cohort_id) | Q(depends_on__contains=[cohort_id], deleted=False)
    locked = Cohort.objects.for_team(team_id).filter(wanted).order_by("id").select_for_update(no_key=True)
    cohort = next((cohort for cohort in locked if cohort.id == cohort_id), None)
    if cohort is None:
        raise NotFound
    return cohort


def members_changed(*, team_id: int, cohort_id: int) -> None:
    """Count a static cohort again and wish for new calculations of the cohorts that name it."""
    execute(_RECOUNT, [team_id, cohort_id])
    dependents_wish(team_id=team_id, cohort_id=cohort_id)


def dependents_wish(*, team_id: int, cohort_id: int) -> None:
    """Have the cohorts that name this one calculated again; one under way begins anew."""
    execute(_WISH_DEPENDENTS, {"team_id": team_id, "cohort_id": cohort_id})
    transaction.on_commit(cohorts_nudge)


def _static_lock(team_id: int, cohort_id: int, refusal: str) -> Cohort:
    cohort = cohort_lock(team_id=team_id, cohort_id=cohort_id)
    if cohort.deleted:
        raise NotFound
    if not cohort.is_static:
        raise Invalid(refusal)
    return cohort


def _refuse_too_many(team_id: int) -> None:
    if Cohort.objects.for_team(team_id).filter(deleted=False).count() >= MAX_COHORTS:
        message = f"A project may have {MAX_COHORTS} cohorts at most."
        raise Invalid(message, code="limit_reached")


def _definition(team_id: int, fields: Mapping[str, Any]) -> Definition:
    return definition_read(team_id=team_id, filters=fields.get("filters"), groups=fields.get("groups"))


def _set_deleted(cohort: Cohort, *, deleted: bool) -> None:
    if deleted == cohort.deleted:
        return
    others = Cohort.objects.for_team(cohort.team_id)
    if deleted:
        users = others.filter(deleted=False, depends_on__contains=[cohort.id]).order_by("id")
        if names := [f"{name} ({number})" for number, name in users.values_list("id", "name")[:_USERS_NAMED]]:
            message = (
                f"This cohort is used by other cohorts: {', '.join(names)}. Remove it from them before deleting it."
            )
            raise Invalid(
                message,
                attr="deleted",
            )
    else:
        _refuse_too_many(cohort.team_id)
        if others.filter(id__in=cohort.depends_on, deleted=True).exists():
            raise Invalid("This cohort uses a cohort that is deleted; restore that one first.", attr="deleted")
    cohort.deleted = deleted


def _take_members(cohort: Cohort, body: CohortBody) -> None:
    """Add the persons sent along at once; an uploaded list waits for the worker."""
    if not cohort.is_static:
        if body.upload or body.person_uuids:
            raise Invalid("Only static cohorts take lists of persons.", attr="csv" if body.upload else None)
        return
    if body.person_uuids:
        _add(cohort, body.person_uuids)
    if body.upload:
        _store(cohort, body.upload)


def _add(cohort: Cohort, uuids: Sequence[UUID]) -> int:
    """Return how many of the persons exist."""
    persons = members_lock(LOCK_BY_UUID, team_id=cohort.team_id, uuids=uuids)
    rows = members_add(team_id=cohort.team_id, cohort_id=cohort.id, persons=persons)
    outbox_add({Table.COHORT_PEOPLE: rows})
    transaction.on_commit(outbox_nudge)
    members_changed(team_id=cohort.team_id, cohort_id=cohort.id)
    return len(persons)


def _store(cohort: Cohort, upload: Upload) -> None:
    CohortUpload.objects.bulk_create(
        CohortUpload(cohort=cohort, kind=upload.kind, ids=list(part)) for part in batched(upload.ids, UPLOAD_PART)
    )
    execute(_WISH_ONE, {"team_id": cohort.team_id, "cohort_id": cohort.id})


def _logged(cohort: Cohort) -> dict[str, Any]:
    return {name: getattr(cohort, name) for name in _LOGGED}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "Cohort", "action": "changed", "field": name, "before": before[name], "after": after[name]}
        for name in _LOGGED
        if before[name] != after[name]
    ]


def _log(author: Author, cohort: Cohort, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=author.team_id,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope="Cohort",
        activity=activity,
        item_id=str(cohort.id),
        detail={"name": cohort.name, "changes": changes},
    )
