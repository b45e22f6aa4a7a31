"""From rows of a query to the actors of an answer, and the envelopes A and B (insight_actors.md 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.insights.people import Actor, groups_of, people_of
from core.insights.project import InsightProject
from core.insights.recordings import matched_recordings
from core.persons.date_range import DateRange
from events.insights.rows import ActorRow

type Envelope = Literal["A", "B"]


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows of a page. With `dates`, the recordings of these dates are shown beside the actors."""

    rows: Sequence[ActorRow]
    group_type_index: int | None = None
    dates: DateRange | None = None


def actors_of(shown: Shown, *, project: InsightProject) -> list[Actor]:
    """Return the actors of a page in the order in which they are answered.

    Those with the largest value come first and those without one last, then the newest, then by id. Actors that are
    no more are left out.
    """
    values = {row.actor: row.value for row in shown.rows}
    found = _loaded(list(values), shown.group_type_index, project)
    recordings: dict[str, Any] = {}
    if shown.dates is not None:
        recordings = matched_recordings(
            team_id=project.team_id,
            rows=shown.rows,
            dates=shown.dates,
            of_persons=shown.group_type_index is None,
        )
    for key, actor in found.items():
        actor["value_at_data_point"] = values[key]
        actor["matched_recordings"] = recordings.get(key, [])
    ordered = sorted(found.values(), key=lambda actor: actor["id"])
    ordered.sort(key=lambda actor: actor["created_at"], reverse=True)
    ordered.sort(key=lambda actor: _rank(actor["value_at_data_point"]), reverse=True)
    return ordered


def envelope(people: Sequence[Actor], *, rows: int, following: str | None, first: str) -> dict[str, Any]:
    """Return the answer to a query that returned so many rows; `following` and `first` are links."""
    return {
        "results": [{"people": people, "count": len(people)}],
        "next": following,
        "initial": first,
        "missing_persons": rows - len(people),
    }


def _rank(value: float | None) -> tuple[bool, float]:
    return value is not None, value or 0


def _loaded(actors: Sequence[str], group_type_index: int | None, project: InsightProject) -> dict[str, Actor]:
    if group_type_index is not None:
        return groups_of(team_id=project.team_id, group_type_index=group_type_index, actors=actors)
    return people_of(team_id=project.team_id, actors=actors, display_properties=project.display_properties)
