"""Keeps cohorts up to date: a set difference per portion of persons, each in a transaction of its own.

What is due is found in Postgres. A worker takes a cohort by a lease, which each portion renews under the
cohort's row lock: so no two work on the same cohort at once, and a calculation whose worker died is taken up
where it stopped. A change to the filters takes the lease away.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import orjson
import structlog
from django.conf import settings
from django.db import transaction

from core.cohorts.definitions import definition_filter
from core.cohorts.membership import Member, members_add, members_remove
from core.cohorts.services import cohort_lock, dependents_wish
from core.cohorts.uploading import upload_part_add
from core.filters.person_sets import with_persons_found
from core.filters.postgres import condition
from core.outbox.services import outbox_add, outbox_nudge
from core.tenancy.holding import TeamGoneError, team_hold
from core.tenancy.statements import execute
from events.errors import QueryMistake, QueryUnsupported
from events.filters.grammar import Filter, FilterError
from events.rows import Table

log = structlog.get_logger(__name__)

PORTION: Final = 5_000
LEASE_SECONDS: Final = 30
STATEMENT_MS: Final = 120_000
RETRY_SECONDS: Final = 30
RETRY_AT_MOST_SECONDS: Final = 3_600
# Below every UUID that a person can have: those are made by hashing.
_FIRST: Final = UUID(int=0)

_DUE: Final = """(
    ({c}.version_wanted > coalesce({c}.version, 0)
     OR (NOT {c}.deleted AND coalesce({c}.last_calculation, {c}.created_at)
                             < statement_timestamp() - %(refresh)s * interval '1 second'))
    AND ({c}.retry_at IS NULL OR {c}.retry_at <= statement_timestamp())
)"""

_CLAIM: Final = f"""
UPDATE core_cohort SET lease_id = %(lease)s, lease_until = statement_timestamp() + %(seconds)s * interval '1 second'
WHERE id = (
    SELECT c.id FROM core_cohort c
    WHERE {_DUE.format(c="c")} AND (c.lease_until IS NULL OR c.lease_until < statement_timestamp())
      AND NOT EXISTS (SELECT FROM core_team t WHERE t.id = c.team_id AND t.deleted_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM core_cohort d WHERE d.id = ANY(c.depends_on) AND {_DUE.format(c="d")})
    ORDER BY c.version_wanted > coalesce(c.version, 0) DESC, c.last_calculation NULLS FIRST, c.id
    LIMIT 1 FOR NO KEY UPDATE OF c SKIP LOCKED
)
RETURNING id, team_id, is_static, deleted, filters::text, version_wanted, progress
"""  # noqa: S608 constants of this module

_HOLD: Final = """
UPDATE core_cohort SET lease_until = statement_timestamp() + %s * interval '1 second'
WHERE id = %s AND lease_id = %s RETURNING id
"""
_PATIENCE: Final = f"SET LOCAL statement_timeout = {STATEMENT_MS}"
_PORTION_END: Final = "SELECT uuid FROM core_person WHERE team_id = %s AND uuid > %s ORDER BY uuid OFFSET %s LIMIT 1"
_CHANGED: Final = """
SELECT p.id, p.uuid, m.person_id IS NULL
FROM core_person p LEFT JOIN core_cohortperson m ON m.cohort_id = %(cohort_id)s AND m.person_id = p.id
WHERE p.team_id = %(team_id)s AND p.uuid > %(after)s {until}
  AND (m.person_id IS NULL) = {condition}
ORDER BY p.id FOR KEY SHARE OF p
"""
_MEMBERS: Final = """
SELECT p.id, p.uuid FROM core_cohortperson m JOIN core_person p ON p.id = m.person_id AND p.team_id = %s
WHERE m.cohort_id = %s ORDER BY p.id LIMIT %s FOR KEY SHARE OF p
"""
_ADVANCE: Final = """
UPDATE core_cohort SET progress = coalesce(%s, progress), members_changed = members_changed OR %s WHERE id = %s
"""
_FINISH: Final = """
UPDATE core_cohort SET version = version_wanted, lease_id = NULL, lease_until = NULL, progress = NULL,
    members_changed = false, errors_calculating = 0, last_error = '', retry_at = NULL,
    last_calculation = CASE WHEN deleted THEN last_calculation ELSE statement_timestamp() END,
    count = (SELECT count(*) FROM core_cohortperson WHERE cohort_id = core_cohort.id)
WHERE id = %s
"""
_RELEASE: Final = "UPDATE core_cohort SET lease_id = NULL, lease_until = NULL WHERE id = %s AND lease_id = %s"
_FAIL: Final = """
UPDATE core_cohort SET lease_id = NULL, lease_until = NULL, progress = NULL,
    errors_calculating = errors_calculating + 1, last_error = %s,
    retry_at = statement_timestamp() + least(%s * 2 ^ least(errors_calculating, 20), %s) * interval '1 second'
WHERE id = %s AND lease_id = %s
"""


@dataclass(slots=True)
class Claim:
    """A cohort that this worker may calculate while it holds the lease."""

    lease: UUID
    cohort_id: int
    team_id: int
    is_static: bool
    deleted: bool
    filters: Mapping[str, Any]
    version: int
    progress: UUID | None


class LeaseLostError(Exception):
    """The cohort was changed, or taken up by another worker after this one was silent for too long."""


def cohorts_calculate(*, seconds: float) -> bool:
    """Calculate what is due, dependencies first, until the time is up; return whether something is left.

    A calculation that fails is noted on its cohort and tried again later, the others go on.
    """
    deadline = time.monotonic() + seconds
    while (claim := cohort_claim()) is not None:
        try:
            while portion_calculate(claim):
                if time.monotonic() > deadline:
                    execute(_RELEASE, [claim.cohort_id, claim.lease])
                    return True
        except (LeaseLostError, TeamGoneError):
            log.info("cohort_calculation_dropped", cohort=claim.cohort_id)
        except (FilterError, QueryMistake, QueryUnsupported) as error:
            log.warning("cohort_filters_wrong", cohort=claim.cohort_id, error=type(error).__name__)
            _fail(claim, str(error))
        except Exception as error:
            log.exception("cohort_calculation_failed", cohort=claim.cohort_id)
            _fail(claim, f"The calculation failed: {type(error).__name__}")
        if time.monotonic() > deadline:
            return True
    return False


def cohort_claim() -> Claim | None:
    """Take the lease of a cohort that is due and whose dependencies are not; None when there is none."""
    lease = uuid4()
    rows = execute(_CLAIM, {"lease": lease, "seconds": LEASE_SECONDS, "refresh": settings.COHORT_REFRESH_EVERY_SECONDS})
    if not rows:
        return None
    cohort_id, team_id, is_static, deleted, filters, version, progress = rows[0]
    return Claim(lease, cohort_id, team_id, is_static, deleted, orjson.loads(filters), version, progress)


def portion_calculate(claim: Claim) -> bool:
    """Do one portion in one transaction; return whether more is left. Raises LeaseLostError and TeamGoneError."""
    portion = None if claim.is_static or claim.deleted else _portion(claim)
    with transaction.atomic():
        execute(_PATIENCE)
        team_hold(claim.team_id)
        if not execute(_HOLD, [LEASE_SECONDS, claim.cohort_id, claim.lease]):
            raise LeaseLostError
        if claim.is_static:
            more = upload_part_add(team_id=claim.team_id, cohort_id=claim.cohort_id)
        elif portion is None:
            more = _members_erase(claim)
        else:
            more = _members_compare(claim, portion)
    if not more:
        _finish(claim)
    return more


def _fail(claim: Claim, text: str) -> None:
    waits = [text[:400], RETRY_SECONDS, RETRY_AT_MOST_SECONDS]
    execute(_FAIL, [*waits, claim.cohort_id, claim.lease])


@dataclass(frozen=True, slots=True)
class _Portion:
    """The next persons, in the order of UUIDs up to `until` (None: all), and whom of them the cohort has."""

    after: UUID
    until: UUID | None
    wanted: Filter | None


def _portion(claim: Claim) -> _Portion:
    """Find the next portion. ClickHouse is asked what HogQL filters mean, so this is in no transaction."""
    after = claim.progress or _FIRST
    ends = execute(_PORTION_END, [claim.team_id, after, PORTION - 1])
    until = ends[0][0] if ends else None
    wanted = definition_filter(claim.filters, team_id=claim.team_id)
    if wanted is not None:
        wanted = with_persons_found(wanted, after=after, until=until)
    return _Portion(after, until, wanted)


def _members_compare(claim: Claim, portion: _Portion) -> bool:
    """Bring the members among the persons of a portion in line with the filters."""
    until = portion.until
    parameters = {"cohort_id": claim.cohort_id, "team_id": claim.team_id, "after": portion.after, "until": until}
    sql = _changed_sql(portion.wanted, parameters, bounded=until is not None)
    joined: list[Member] = []
    gone: list[Member] = []
    for person_id, uuid, joins in execute(sql, parameters):
        (joined if joins else gone).append((person_id, uuid))
    _write(claim, joined, gone, progress=until)
    claim.progress = until
    return until is not None


def _changed_sql(wanted: Filter | None, parameters: dict[str, Any], *, bounded: bool) -> LiteralString:
    until = "AND p.uuid <= %(until)s" if bounded else ""
    matches = "false" if wanted is None else "((" + condition(wanted, parameters) + ") IS TRUE)"
    return _CHANGED.format(until=until, condition=matches)


def _members_erase(claim: Claim) -> bool:
    """Take the next members out of a cohort that was deleted."""
    gone = [(row[0], row[1]) for row in execute(_MEMBERS, [claim.team_id, claim.cohort_id, PORTION])]
    _write(claim, [], gone, progress=None)
    return len(gone) == PORTION


def _write(claim: Claim, joined: list[Member], gone: list[Member], *, progress: UUID | None) -> None:
    keys = {"team_id": claim.team_id, "cohort_id": claim.cohort_id}
    rows = [
        *(members_add(**keys, persons=joined) if joined else ()),
        *(members_remove(**keys, persons=gone) if gone else ()),
    ]
    execute(_ADVANCE, [progress, bool(rows), claim.cohort_id])
    if rows:
        outbox_add({Table.COHORT_PEOPLE: rows})
        transaction.on_commit(outbox_nudge)


def _finish(claim: Claim) -> None:
    """Note that the cohort is calculated, and wish for its dependents if its members changed."""
    with transaction.atomic():
        team_hold(claim.team_id)
        cohort = cohort_lock(team_id=claim.team_id, cohort_id=claim.cohort_id)
        if cohort.lease_id != claim.lease:
            raise LeaseLostError
        execute(_FINISH, [claim.cohort_id])
        if cohort.members_changed:
            dependents_wish(team_id=claim.team_id, cohort_id=claim.cohort_id)
