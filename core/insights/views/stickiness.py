"""Who did something in exactly so many intervals."""

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.schema import InsightPage, query_parameters
from core.insights.stickiness import STICKINESS, read_stickiness
from core.insights.views.base import InsightView
from events.insights.rows import ActorRow
from events.insights.stickiness import stickiness_page


class StickinessView(InsightView):
    """List the actors of stickiness."""

    @extend_schema(parameters=query_parameters(STICKINESS), responses=InsightPage)
    @action(detail=False, methods=["get"])
    def stickiness(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the persons or groups that did something in exactly so many intervals."""
        asked = self.asked(request)
        query = read_stickiness(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            return stickiness_page(query, limit=asked.page.limit, offset=asked.page.offset)

        return self.actors(asked, compute, group_type_index=query.scope.group_type_index, envelope="B")
