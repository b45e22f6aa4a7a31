"""Groups: `$groupidentify` stores them, `$groups` on other events points at them (capture.md 8)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson
from django.db import connection

from core.persons.process import IngestionWarning, NewEvent
from events.rows import Row, group_row

MAX_GROUP_TYPES: Final = 5
MAX_KEY_LENGTH: Final = 400

_UPSERT = """
INSERT INTO core_group (team_id, group_type_index, group_key, properties, version, created_at)
SELECT %s, i, k, p::jsonb, 0, c
FROM unnest(%s::int[], %s::text[], %s::text[], %s::timestamptz[]) AS new(i, k, p, c)
ON CONFLICT (team_id, group_type_index, group_key)
DO UPDATE SET properties = core_group.properties || excluded.properties, version = core_group.version + 1
RETURNING group_type_index, group_key, properties::text, version, created_at
"""


def enricher(team_id: int, events: Iterable[NewEvent]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that adds `$group_<index>` for each entry of an event's `$groups`."""
    names: list[str] = []
    for event in events:
        groups = event.properties.get("$groups")
        if isinstance(groups, dict):
            names.extend(groups)
    if not names:
        return lambda properties: properties
    indexes = _type_indexes(team_id, names)

    def add(properties: dict[str, Any]) -> dict[str, Any]:
        groups = properties.get("$groups")
        if not isinstance(groups, dict):
            return properties
        found = {f"$group_{indexes[name]}": key for name, key in groups.items() if name in indexes}
        return {**properties, **found}

    return add


def _type_indexes(team_id: int, names: Sequence[str]) -> dict[str, int]:
    """Return the index of each group type, making those that are missing while there is room for five."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT group_type, group_type_index FROM core_grouptype WHERE team_id = %s", [team_id])
        known: dict[str, int] = dict(cursor.fetchall())
        missing = [name for name in dict.fromkeys(names) if name not in known and 0 < len(name) <= MAX_KEY_LENGTH]
        if missing and len(known) < MAX_GROUP_TYPES:
            # One maker at a time per team: two inserts of the same index would fail the whole batch. Not a full lock:
            # both may hold the key share that their new persons took on the team, and would wait for each other.
            cursor.execute("SELECT 1 FROM core_team WHERE id = %s FOR NO KEY UPDATE", [team_id])
            cursor.execute("SELECT group_type, group_type_index FROM core_grouptype WHERE team_id = %s", [team_id])
            known = dict(cursor.fetchall())
            for name in missing:
                if name not in known and len(known) < MAX_GROUP_TYPES:
                    known[name] = len(known)
                    cursor.execute(
                        "INSERT INTO core_grouptype (team_id, group_type, group_type_index, created_at) "
                        "VALUES (%s, %s, %s, now())",
                        [team_id, name, known[name]],
                    )
    return known


def groups_save(team_id: int, events: Iterable[NewEvent]) -> tuple[list[Row], list[IngestionWarning]]:
    """Store the groups that `$groupidentify` events describe; return mirror rows and warnings."""
    wanted: dict[tuple[str, str], tuple[dict[str, Any], NewEvent]] = {}
    warnings = []
    for event in events:
        if event.event != "$groupidentify" or not event.person_processing:
            continue
        kind, key = event.properties.get("$group_type"), event.properties.get("$group_key")
        if not isinstance(kind, str) or not kind or key is None or isinstance(key, dict | list):
            continue
        text = key if isinstance(key, str) else orjson.dumps(key).decode()
        if len(text) > MAX_KEY_LENGTH:
            details = {"eventUuid": str(event.uuid), "groupType": kind, "groupKeyLength": len(text)}
            warnings.append(IngestionWarning("group_key_too_long", details))
            continue
        given = event.properties.get("$group_set")
        before, first = wanted.get((kind, text), ({}, event))
        wanted[kind, text] = ({**before, **given} if isinstance(given, dict) else before, first)
    if not wanted:
        return [], warnings
    indexes = _type_indexes(team_id, [kind for kind, _ in wanted])
    found = sorted(
        (
            (indexes[kind], key, properties, event.timestamp)
            for (kind, key), (properties, event) in wanted.items()
            if kind in indexes
        ),
        key=lambda row: row[:2],
    )
    return _upsert(team_id, found), warnings


def _upsert(team_id: int, found: Sequence[tuple[int, str, dict[str, Any], Any]]) -> list[Row]:
    if not found:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            [
                team_id,
                [row[0] for row in found],
                [row[1] for row in found],
                [orjson.dumps(row[2]).decode() for row in found],
                [row[3] for row in found],
            ],
        )
        return [
            group_row(
                team_id=team_id,
                group_type_index=index,
                group_key=key,
                created_at=created_at,
                properties=text,
                version=version,
            )
            for index, key, text, version, created_at in cursor
        ]
