"""Runs the runners of insights on a team, without HTTP; and streams of events behind an API."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from core.insights.project import InsightProject
from core.query.runners.base import QueryContext
from core.tenancy.context import TeamContext
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team
from tests.support.event_streams import Stream, store

NOW = datetime(2024, 5, 10, 12, 30, tzinfo=UTC)


def context(
    team_id: int, *, zone: str = "UTC", week_start: int = 0, now: datetime = NOW, **of_project: Any
) -> QueryContext:
    """Return the context of a question about a team."""
    team = TeamContext(
        id=team_id,
        organization_id=UUID(int=1),
        api_token="token",
        name="Team",
        timezone=zone,
        person_display_name_properties=None,
        person_processing_opt_out=False,
        anonymize_ips=False,
        ingested_event=True,
        rate_limits=None,
    )
    project = InsightProject(team_id=team_id, timezone=zone, week_start_day=week_start, **of_project)
    return QueryContext(team=team, project=project, now=now, query_id="q", seconds=60, max_rows=1000)


def series(*names: str | None, **fields: Any) -> list[dict[str, Any]]:
    return [{"kind": "EventsNode", "event": name, **fields} for name in names]


def dated(date_from: datetime | str, date_to: datetime | str, **more: Any) -> Mapping[str, Any]:
    texts = [one.isoformat() if isinstance(one, datetime) else one for one in (date_from, date_to)]
    return {"dateRange": {"date_from": texts[0], "date_to": texts[1], **more}}


def served(stream: Stream, *, zone: str = "UTC", week_start: int = 0) -> Api:
    """Return the API of a new team that has the events of a stream."""
    api = make_api(make_team(timezone=zone, week_start_day=week_start))
    store(stream, team_id=api.team.id)
    return api
