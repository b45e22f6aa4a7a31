"""Rows of insights kept in Redis for INSIGHT_CACHE_SECONDS, so that a page asked for again costs no query.

What is kept is what the query returned: keys of actors, values, matching events. Persons, groups and recordings are
read anew for every answer, so one that was changed or deleted meanwhile is never shown as it was.

The name of an entry is a hash of everything that the rows depend on and that is known without the query: the project
and its settings, the newest wish to erase something of it, the endpoint, every parameter (but `format` and `refresh`),
the hour from which relative dates are counted, the steps of the project's actions where actions are asked for, and the
fingerprint of who owns which distinct ids, so that a merge or split changes the answer as soon as queries see it. New
events, changed properties and members of cohorts are what an entry may be too old for.
"""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings

from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from core.redis_store import redis_store
from core.tenancy.statements import fetch_row
from events.hogql.walk import MATCHES_ACTION
from events.insights.fingerprint import owners_fingerprint
from events.insights.rows import ActorRow, MatchedEvent

ANSWER_SECONDS: Final = 0.5
MAX_BYTES: Final = 2 * 1024**2
MAX_PLAIN_BYTES: Final = 32 * 1024**2
_FORMAT: Final = 1
_NOT_OF_ROWS: Final = frozenset({"format", "refresh"})
_ACTIONS: Final[LiteralString] = (
    "SELECT md5(string_agg(a.id || a.name || a.steps::text, ',' ORDER BY a.id)) FROM core_action a "
    "WHERE a.team_id = %s AND NOT a.deleted"
)

type Compute = Callable[[], Sequence[ActorRow]]


@dataclass(frozen=True, slots=True)
class CachedRows:
    """Rows, whether they were kept, and when they were computed."""

    rows: Sequence[ActorRow]
    is_cached: bool
    last_refresh: datetime


def rows_computed(compute: Compute, *, now: datetime) -> CachedRows:
    """Return fresh rows."""
    return CachedRows(compute(), is_cached=False, last_refresh=now)


def rows_cached(
    params: Parameters, project: InsightProject, *, endpoint: str, now: datetime, compute: Compute
) -> CachedRows:
    """Return the rows of this question that are kept, or compute and keep them; `refresh` always computes.

    While Redis is away rows are computed. Raises what `compute` raises.
    """
    if not settings.INSIGHT_CACHE_SECONDS:
        return rows_computed(compute, now=now)
    try:
        name = cache_name(params, project, endpoint=endpoint, now=now)
    except TypeError:
        # A parameter that nobody reads is nested too deeply to be written.
        return rows_computed(compute, now=now)
    store = redis_store(settings.REDIS_URL, answer_seconds=ANSWER_SECONDS)
    kept = None if _refreshes(params) else _unpacked(store.tried(lambda client: client.get(name)))
    if kept is not None:
        return kept
    found = rows_computed(compute, now=now)
    packed = _packed(found)
    if packed is not None:
        store.tried(lambda client: client.set(name, packed, ex=settings.INSIGHT_CACHE_SECONDS))
    return found


def cache_name(params: Parameters, project: InsightProject, *, endpoint: str, now: datetime) -> str:
    """Return the name under which the rows of a question are kept; TypeError for what has no JSON text."""
    values = {name: _normal(value) for name, value in params.values.items() if name not in _NOT_OF_ROWS}
    of_project = {name: value for name, value in asdict(project).items() if name != "display_properties"}
    of_project["waiting_owners"] = project.waiting_owners
    hour = now.astimezone(ZoneInfo(project.timezone)).strftime("%Y-%m-%dT%H%z")
    text = orjson.dumps([endpoint, values, of_project, hour], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    parts = [text, str(owners_fingerprint(project.team_id)).encode()]
    if b"actions" in text or MATCHES_ACTION.encode() in text:
        parts.append(str(fetch_row(_ACTIONS, [project.team_id])).encode())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return f"insight:{_FORMAT}:{project.team_id}:{digest}"


def _refreshes(params: Parameters) -> bool:
    """Tell whether `refresh` was asked for: a bare or empty one in the query string is a yes."""
    return params.values.get("refresh") == "" or params.flag("refresh")


def _normal(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Return JSON text as the value that it stands for, so that both spellings have one entry."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _packed(found: CachedRows) -> bytes | None:
    """Return rows as compressed JSON; None when they are too many to keep."""
    rows = [
        [row.actor, row.value, [[one.uuid, one.timestamp, one.session_id, one.window_id] for one in row.events]]
        for row in found.rows
    ]
    plain = orjson.dumps([found.last_refresh, rows])
    if len(plain) > MAX_PLAIN_BYTES:
        return None
    packed = zlib.compress(plain, 1)
    return packed if len(packed) <= MAX_BYTES else None


def _unpacked(packed: bytes | None) -> CachedRows | None:
    """Return the rows of an entry; None for what is not readable."""
    if packed is None:
        return None
    try:
        last_refresh, rows = orjson.loads(zlib.decompressobj().decompress(packed, MAX_PLAIN_BYTES))
        return CachedRows(
            rows=[_row(actor, value, events) for actor, value, events in rows],
            is_cached=True,
            last_refresh=datetime.fromisoformat(last_refresh),
        )
    except (zlib.error, ValueError, TypeError):
        return None


def _row(actor: str, value: float | None, events: list[list[str]]) -> ActorRow:
    return ActorRow(actor, value, tuple(
        MatchedEvent(UUID(uuid), datetime.fromisoformat(moment), session, window)
        for uuid, moment, session, window in events
    ))  # fmt: skip
