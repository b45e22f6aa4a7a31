"""Who is behind a step of a funnel."""

from dataclasses import replace
from typing import Final

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.correlation import ENTITY, PAGING_PREFIX
from core.insights.funnel import read_funnel
from core.insights.funnel_schema import FUNNEL
from core.insights.paging import read_page
from core.insights.schema import COMMON, CachedInsightPage, body_serializer, query_parameters
from core.insights.views.correlation import CorrelationView
from core.persons.date_range import DateRange
from events.insights.funnel import funnel_page
from events.insights.rows import ActorRow

_DESCRIBED: Final = {**COMMON, **FUNNEL}
_Body: Final = body_serializer("FunnelPersonsRequest", _DESCRIBED)


class FunnelView(CorrelationView):
    """List the actors of funnels."""

    @extend_schema(methods=["GET"], parameters=query_parameters(_DESCRIBED), responses=CachedInsightPage)
    @extend_schema(methods=["POST"], request=_Body, responses=CachedInsightPage)
    @action(detail=False, methods=["get", "post"], scope="person:read")
    def funnel(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the persons or groups that reached a step of a funnel, or that dropped off before it."""
        asked = self.asked(request)
        if asked.params.structured(ENTITY) is not None:
            return self.correlated(replace(asked, page=read_page(asked.params, prefix=PAGING_PREFIX)))
        found = read_funnel(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            page, recordings = asked.page, asked.recordings
            return funnel_page(found.query, found.which, limit=page.limit, offset=page.offset, recordings=recordings)

        scope = found.query.scope
        dates = None if scope.since is None or scope.until is None else DateRange(scope.since, scope.until)
        return self.actors(asked, compute, dates=dates, group_type_index=scope.group_type_index)
