"""What the views of the persons resource share: finding the person of a URL, and its shapes."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from core.access.rates import CLICKHOUSE_READS
from core.api.errors import NotFound
from core.api.values import json_repaired
from core.api.views import TeamViewSet
from core.persons import queries, services
from core.persons.ingest import IngestTeam
from core.persons.serializers import Person, read_person_key


def text_parameter(request: Request, name: str) -> str | None:
    """Read a parameter as ingestion would have stored it; None when absent or empty."""
    text = request.query_params.get(name)
    return str(json_repaired(text)) if text else None


class PersonView(TeamViewSet):
    """The base of every part of the persons resource."""

    serializer_class = Person
    read_limits = CLICKHOUSE_READS

    def _row(self, text: str) -> tuple[Any, ...]:
        row = queries.person_row(team_id=self.team.id, key=read_person_key(text))
        if row is None:
            raise NotFound
        return row

    def _detail(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return queries.detail(row, queries.naming(self.team.person_display_name_properties))

    def _ref(self, row: tuple[Any, ...]) -> services.PersonRef:
        team = self.team
        return services.PersonRef(
            team=IngestTeam(id=team.id, ingested_event=team.ingested_event),
            organization_id=team.organization_id,
            id=row[0],
            uuid=UUID(row[1]),
            by_user_id=self.caller.user_id,
        )
