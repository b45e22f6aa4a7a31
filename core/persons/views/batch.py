"""Many persons in one request."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.persons import batch
from core.persons.shapes.identity import (
    PersonBatchByDistinctIdsRequest,
    PersonBatchByUuidsRequest,
    PersonBatchResponse,
    read_batch_distinct_ids,
    read_batch_uuids,
)
from core.persons.views.base import PersonView


class BatchView(PersonView):
    """Look up to 200 persons up at once."""

    @extend_schema(request=PersonBatchByDistinctIdsRequest, responses=PersonBatchResponse)
    @action(detail=False, methods=["post"], scope="person:read")
    def batch_by_distinct_ids(self, request: Request, **_: object) -> Answer:
        """Return persons by distinct id; two ids of one person give it twice."""
        asked = read_batch_distinct_ids(request, most=batch.MAX_KEYS)
        found = batch.details_by_distinct_ids(
            team_id=self.team.id,
            distinct_ids=list(asked.values()),
            display_properties=self.team.person_display_name_properties,
        )
        return Answer({"results": {text: found[stored] for text, stored in asked.items() if stored in found}})

    @extend_schema(request=PersonBatchByUuidsRequest, responses=PersonBatchResponse)
    @action(detail=False, methods=["post"], scope="person:read")
    def batch_by_uuids(self, request: Request, **_: object) -> Answer:
        """Return persons by UUID."""
        found = batch.details_by_uuids(
            team_id=self.team.id,
            uuids=read_batch_uuids(request, most=batch.MAX_KEYS),
            display_properties=self.team.person_display_name_properties,
        )
        return Answer({"results": found})
