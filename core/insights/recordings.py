"""The recordings in which the events of actors can be watched."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

from core.persons.date_range import DateRange
from core.tenancy.statements import fetch_rows
from events.insights.rows import ActorRow, MatchedEvent
from events.recordings import existing_sessions

_MARGIN: Final = timedelta(days=1)
_TO_BE_ERASED: Final[LiteralString] = """
SELECT person_uuid::text, max(requested_at) FROM core_deletionrequest
WHERE team_id = %s AND kind = 'recordings' AND verified_at IS NULL AND person_uuid = ANY(%s::uuid[]) GROUP BY 1
"""


def matched_recordings(
    *, team_id: int, rows: Iterable[ActorRow], dates: DateRange, of_persons: bool
) -> dict[str, list[dict[str, Any]]]:
    """Return `matched_recordings` by actor (insight_actors.md 3.1).

    The events of the rows are grouped by session. A session counts when it has a recording that began and ended
    within the dates, widened by one day at each end. Where the actors are persons, what had been recorded when the
    deletion of their recordings was requested is not shown any more, although it may not be erased yet.
    """
    by_actor: dict[str, dict[str, list[MatchedEvent]]] = {}
    for row in rows:
        sessions = by_actor.setdefault(row.actor, {})
        for event in row.events:
            if event.session_id:
                sessions.setdefault(event.session_id, []).append(event)
    wanted = sorted({session for sessions in by_actor.values() for session in sessions})
    if not wanted:
        return {}
    found = existing_sessions(team_id=team_id, session_ids=wanted)
    recorded = {session: last for session, (first, last) in _aware(found).items() if _within(first, last, dates)}
    erased: dict[str, datetime] = (
        dict(fetch_rows(_TO_BE_ERASED, [team_id, list(by_actor)])) if of_persons and recorded else {}
    )
    return {
        actor: [
            {"session_id": session, "events": [_event(event) for event in events]}
            for session, events in sessions.items()
            if session in recorded and not (actor in erased and recorded[session] <= erased[actor])
        ]
        for actor, sessions in by_actor.items()
    }


def _aware(found: Mapping[str, tuple[datetime, datetime]]) -> dict[str, tuple[datetime, datetime]]:
    return {session: (first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)) for session, (first, last) in found.items()}


def _within(first: datetime, last: datetime, dates: DateRange) -> bool:
    return dates.since - _MARGIN <= first and last <= dates.until + _MARGIN


def _event(event: MatchedEvent) -> dict[str, Any]:
    return {"uuid": event.uuid, "timestamp": event.timestamp.replace(tzinfo=UTC), "window_id": event.window_id}
