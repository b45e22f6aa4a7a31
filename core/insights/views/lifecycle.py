"""Who was new, returning, resurrecting or dormant."""

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.lifecycle import LIFECYCLE, read_lifecycle
from core.insights.schema import InsightPage, query_parameters
from core.insights.views.base import InsightView
from events.insights.lifecycle import lifecycle_page
from events.insights.rows import ActorRow

_REQUIRED = ("target_date", "lifecycle_type")


def _parameters() -> list[OpenApiParameter]:
    described = query_parameters(LIFECYCLE)
    for parameter in described:
        parameter.required = parameter.name in _REQUIRED
    return described


class LifecycleView(InsightView):
    """List the persons of lifecycles."""

    @extend_schema(parameters=_parameters(), responses=InsightPage)
    @action(detail=False, methods=["get"])
    def lifecycle(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the persons that were new, returning, resurrecting or dormant in an interval."""
        asked = self.asked(request)
        query = read_lifecycle(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            page = asked.page
            return [] if query is None else lifecycle_page(query, limit=page.limit, offset=page.offset)

        return self.actors(asked, compute, envelope="B")
