"""Where Postgres keeps what belongs to a project, and its removal in batches, each counted in its own transaction."""
# ruff: noqa: S608 - statements are made of this module's constants; values are bound

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, cast

import orjson
import zstandard
from django.db import transaction

from core.tenancy.models import Organization, Project
from core.tenancy.statements import execute

BATCH: Final = 5_000
REFUSED: Final = "postgres.refused_rows"
PROJECT: Final = "postgres.project"


@dataclass(frozen=True, slots=True)
class Store:
    """A table of Postgres with rows of projects.

    `place` is its name in receipts. `owner` is the column that says whose a row is: `team_id`, or `cohort_id` of a
    cohort of the team. `key` are columns that follow the owner in an index: batches go on after the last one, which
    spares them the rows that went before. Without a key they begin at the first row that is left. `which` are the
    rows that belong to the place, `removable` those of them that may go already.
    """

    place: str
    table: LiteralString
    key: tuple[LiteralString, ...] = ()
    owner: LiteralString = "team_id"
    which: LiteralString = "true"
    removable: LiteralString = "true"


STORES: Final = (
    Store("postgres.seen_events", "core_seenevent", ("uuid",)),
    Store("postgres.kept_answers", "core_idempotentanswer"),
    # What stays says who made, changed and deleted the project; there are no persons in it.
    Store("postgres.activity_log", "core_activitylog", which="scope NOT IN ('Team', 'Project')"),
    Store("postgres.cohort_members", "core_cohortperson", ("person_id",), owner="cohort_id"),
    Store("postgres.cohort_uploads", "core_cohortupload", ("id",), owner="cohort_id"),
    Store(
        "postgres.cohorts",
        "core_cohort",
        ("id",),
        # Members are known by their cohort: as long as it has one it stays, and is counted as remaining.
        removable="NOT EXISTS (SELECT FROM core_cohortperson m WHERE m.cohort_id = core_cohort.id)",
    ),
    Store("postgres.actions", "core_action", ("id",)),
    Store("postgres.distinct_ids", "core_persondistinctid", ("distinct_id",)),
    Store("postgres.persons", "core_person", ("uuid",)),
    Store("postgres.distinct_id_tombstones", "core_distinctidtombstone", ("distinct_id_hash",)),
    Store("postgres.person_tombstones", "core_persontombstone", ("person_uuid",)),
    Store("postgres.groups", "core_group", ("group_type_index", "group_key")),
    Store("postgres.group_types", "core_grouptype", ("group_type_index",)),
    Store("postgres.property_definitions", "core_propertydefinition"),
    Store("postgres.imports", "core_importprogress", ("content_hash",)),
    Store("postgres.plugin_deliveries", "core_plugindelivery"),
    Store("postgres.plugin_delivery_counts", "core_plugindeliverycount"),
    Store("postgres.plugin_destinations", "core_plugindestination"),
    Store("postgres.plugin_jobs", "core_pluginjob"),
    Store("postgres.plugin_attachments", "core_pluginattachment"),
    Store("postgres.plugin_configs", "core_pluginconfig"),
    Store("postgres.persisted_folders", "core_persistedfolder", ("user_id", "type", "surface")),
)
"""In the order of removal: what refers to another table goes before it."""

_ORGANIZATION_ACTIVITY: Final = """
DELETE FROM core_activitylog WHERE id IN (
    SELECT id FROM core_activitylog
    WHERE organization_id = %s AND scope NOT IN ('Organization', 'Project', 'Team') LIMIT %s)
RETURNING 1
"""
# By now the configs of its own projects are gone: one that is left is another organization's, and keeps its plugin.
_PLUGINS_LEAVE: Final = """
UPDATE core_plugin p
SET organization_id = NULL, is_global = false, encrypted_query = NULL, archive = NULL, updated_at = clock_timestamp(),
    url = (SELECT p.url WHERE NOT EXISTS (SELECT FROM core_plugin o WHERE o.organization_id IS NULL AND o.url = p.url))
WHERE organization_id = %s AND EXISTS (SELECT FROM core_pluginconfig c WHERE c.plugin_id = p.id)
"""
_PLUGINS_GO: Final = (
    "DELETE FROM core_pluginsourcefile WHERE plugin_id IN (SELECT id FROM core_plugin WHERE organization_id = %s)",
    "DELETE FROM core_plugin WHERE organization_id = %s",
)
_OWNERS: Final = "SELECT id FROM core_cohort WHERE team_id = %s ORDER BY id"
_ADD_REMOVED: Final = """
UPDATE core_deletionrequest
SET receipt = jsonb_set(receipt, ARRAY['removed', %(place)s],
                        to_jsonb(coalesce((receipt #>> ARRAY['removed', %(place)s])::bigint, 0) + %(count)s))
WHERE id = %(request)s
"""


def removed_add(request_id: int, place: str, count: int) -> None:
    """Add to what a request for a project has removed from a place, in the transaction that removes it."""
    execute(_ADD_REMOVED, {"place": place, "count": count, "request": request_id})


def rows_count(store: Store, team_ids: Sequence[int]) -> dict[int, int]:
    """Return how many rows of a store each team has, by team; teams without any are absent."""
    if store.owner == "team_id":
        sql: LiteralString = (
            "SELECT team_id, count(*) FROM " + store.table
            + " WHERE team_id = ANY(%s) AND " + store.which + " GROUP BY team_id"
        )  # fmt: skip
    else:
        sql = (
            "SELECT c.team_id, count(*) FROM core_cohort c JOIN " + store.table
            + " m ON m.cohort_id = c.id WHERE c.team_id = ANY(%s) GROUP BY c.team_id"
        )  # fmt: skip
    return dict(execute(sql, [list(team_ids)]))


def rows_delete(store: Store, *, team_id: int, request_id: int) -> Iterator[int]:
    """Delete all rows of a store that a team has, yielding after each batch how many it took.

    A batch and its part in the request's `removed` are one transaction, so the sum is right after any kill.
    """
    for owner in [team_id] if store.owner == "team_id" else [row[0] for row in execute(_OWNERS, [team_id])]:
        after: tuple[Any, ...] | None = None
        while True:
            with transaction.atomic():
                found, gone, after = _batch_delete(store, owner, after)
                if gone:
                    removed_add(request_id, store.place, gone)
            yield gone
            if found < BATCH or not gone:
                break


def _batch_delete(store: Store, owner: int, after: tuple[Any, ...] | None) -> tuple[int, int, tuple[Any, ...] | None]:
    """Return how many rows were found and how many deleted, and the key of the last."""
    parameters: list[Any] = [owner]
    following: LiteralString = ""
    if after is not None:
        following = " AND (" + ", ".join(store.key) + ") > (" + ", ".join(["%s"] * len(store.key)) + ")"
        parameters += after
    columns: LiteralString = "".join([", " + column for column in store.key])
    ordered: LiteralString = " ORDER BY " + ", ".join(store.key) if store.key else ""
    backwards: LiteralString = ", ".join([column + " DESC" for column in store.key] or ["place"])
    sql: LiteralString = (
        "WITH doomed AS MATERIALIZED (SELECT ctid AS place" + columns + " FROM " + store.table
        + " WHERE " + store.owner + " = %s AND " + store.which + " AND " + store.removable + following
        + ordered + " LIMIT %s), "
        "gone AS (DELETE FROM " + store.table + " WHERE ctid = ANY(ARRAY(SELECT place FROM doomed)) RETURNING 1) "
        "SELECT (SELECT count(*) FROM doomed), (SELECT count(*) FROM gone)" + columns
        + " FROM doomed ORDER BY " + backwards + " LIMIT 1"
    )  # fmt: skip
    rows = execute(sql, [*parameters, BATCH])
    if not rows:
        return 0, 0, None
    found, gone, *key = rows[0]
    return found, gone, tuple(key) or None


def refused_rows_count(team_ids: Sequence[int]) -> dict[int, int]:
    """Return how many rows of each team ClickHouse refused, which are kept for a look; teams without any are absent."""
    wanted = frozenset(team_ids)
    counts: dict[int, int] = {}
    for (entry_id,) in _refused_entries():
        for payload in execute("SELECT payload FROM core_outboxrows WHERE id = %s", [entry_id]):
            for team_id in (team_id for team_id, _ in _lines(payload[0]) if team_id in wanted):
                counts[team_id] = counts.get(team_id, 0) + 1
    return counts


def refused_rows_delete(requests: Mapping[int, int]) -> Iterator[int]:
    """Take the rows of teams, given as {team_id: request_id}, out of what ClickHouse refused; yields as above."""
    for (entry_id,) in _refused_entries():
        with transaction.atomic():
            entries = execute(
                "SELECT payload FROM core_outboxrows WHERE id = %s AND refused_at IS NOT NULL FOR UPDATE", [entry_id]
            )
            gone = sum(_entry_rewrite(entry_id, payload, requests) for (payload,) in entries)
        yield gone


def _refused_entries() -> list[tuple[int]]:
    rows = execute("SELECT id FROM core_outboxrows WHERE refused_at IS NOT NULL ORDER BY id")
    return cast("list[tuple[int]]", rows)


def _entry_rewrite(entry_id: int, payload: bytes, requests: Mapping[int, int]) -> int:
    lines = _lines(payload)
    kept = [line for team_id, line in lines if team_id not in requests]
    if len(kept) == len(lines):
        return 0
    if kept:
        rest = zstandard.ZstdCompressor(level=1).compress(b"\n".join(kept) + b"\n")
        execute("UPDATE core_outboxrows SET payload = %s, row_count = %s WHERE id = %s", [rest, len(kept), entry_id])
    else:
        execute("DELETE FROM core_outboxrows WHERE id = %s", [entry_id])
    gone = Counter(team_id for team_id, _ in lines if team_id in requests)
    for team_id, count in gone.items():
        removed_add(requests[team_id], REFUSED, count)
    return gone.total()


def _lines(payload: bytes) -> list[tuple[int, bytes]]:
    """Return the rows of an entry, each with its team."""
    lines = zstandard.ZstdDecompressor().decompress(bytes(payload)).split(b"\n")
    return [(orjson.loads(line)["team_id"], line) for line in lines if line]


def project_delete(*, team_id: int) -> None:
    """Delete the rows of a team and its project, which nothing refers to any more; deleting again is harmless.

    Users may have chosen the project in the moment of its deletion. Raises IntegrityError when anything else refers
    to it still.
    """
    with transaction.atomic():
        execute("SELECT id FROM core_team WHERE id = %s FOR UPDATE", [team_id])
        execute("UPDATE core_user SET current_team_id = NULL WHERE current_team_id = %s", [team_id])
        execute("DELETE FROM core_team WHERE id = %s AND deleted_at IS NOT NULL", [team_id])
        execute("DELETE FROM core_project WHERE id = %s", [team_id])
        execute("SET CONSTRAINTS ALL IMMEDIATE")


def organizations_sweep() -> None:
    """Delete the rows of organizations that were deleted and have no project left, with memberships, roles and plugins.

    A plugin that another organization's project has a config of stays for it, and is nobody's. Of their activity,
    what tells of the organization and of projects stays; what names members, roles and keys goes.
    """
    waiting = Organization.with_deleted.filter(deleted_at__isnull=False, teams__isnull=True, projects__isnull=True)
    for organization_id in list(waiting.values_list("id", flat=True)):
        while execute(_ORGANIZATION_ACTIVITY, [organization_id, BATCH]):
            pass
        with transaction.atomic():
            locked = Organization.with_deleted.select_for_update().filter(id=organization_id)
            if list(locked) and not Project.objects.filter(organization_id=organization_id).exists():
                for sql in (_PLUGINS_LEAVE, *_PLUGINS_GO):
                    execute(sql, [organization_id])
                Organization.with_deleted.filter(id=organization_id).delete()
