"""The events of a funnel's steps that answers show: how they are gathered, and read from rows."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from events.insights.entities import Entity
from events.insights.rows import MatchedEvent
from events.insights.source import Source

MOST_MATCHED: Final = 10
EARLIEST: Final = f"arraySlice(arraySort(m -> (m.1, toUInt128(m.2)), groupUniqArray(v.matched)), 1, {MOST_MATCHED})"
"""An aggregate over rows `v` of `step_events`: their first events, those of one moment by uuid as a number."""


def step_events(steps: Sequence[Entity], source: Source) -> str:
    """Return a SELECT of the events of steps: `did` (the numbers of the steps, from 1) and `matched`."""
    hits = ", ".join(f"if({source.condition(step)}, {number}, 0)" for number, step in enumerate(steps, 1))
    columns = {
        "did": f"arrayFilter(h -> h > 0, CAST([{hits}], 'Array(UInt16)'))",
        "matched": "(e.timestamp, e.uuid, e.`$session_id`, e.`$window_id`)",
    }
    return source.select(columns, entities=steps, where="notEmpty(did)")


def read_matched(rows: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> dict[str, tuple[MatchedEvent, ...]]:
    """Return the events of each actor from rows of its id and EARLIEST."""
    return {
        actor: tuple(
            MatchedEvent(uuid=UUID(str(uuid)), timestamp=timestamp, session_id=session, window_id=window)
            for timestamp, uuid, session, window in matched
        )
        for actor, matched in rows
    }
