"""Who did what goes with converting in a funnel, or with not converting."""

from typing import Final

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.correlation import PAGING_PREFIX, read_correlation
from core.insights.funnel_schema import CORRELATION, FUNNEL
from core.insights.schema import COMMON, CachedInsightPage, body_serializer, query_parameters
from core.insights.views.base import Asked, InsightView
from core.persons.date_range import DateRange
from events.insights.correlation import correlation_page
from events.insights.rows import ActorRow

_OWN_PAGING: Final = frozenset({"limit", "offset"})
_DESCRIBED: Final = {
    **{name: described for name, described in COMMON.items() if name not in _OWN_PAGING},
    **FUNNEL,
    **CORRELATION,
}
_Body: Final = body_serializer("FunnelCorrelationPersonsRequest", _DESCRIBED)


class CorrelationView(InsightView):
    """List the actors of correlations."""

    @extend_schema(methods=["GET"], parameters=query_parameters(_DESCRIBED), responses=CachedInsightPage)
    @extend_schema(methods=["POST"], request=_Body, responses=CachedInsightPage)
    @action(detail=False, methods=["get", "post"], url_path="funnel/correlation", scope="person:read")
    def funnel_correlation(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the actors of a funnel that did an event on their way, or that have properties."""
        return self.correlated(self.asked(request, paging_prefix=PAGING_PREFIX))

    def correlated(self, asked: Asked) -> Answer | HttpResponseBase:
        """Answer a request with the actors of its correlation."""
        found = read_correlation(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            page = asked.page
            return correlation_page(found, limit=page.limit, offset=page.offset, recordings=asked.recordings)

        scope = found.funnel.scope
        dates = None if scope.since is None or scope.until is None else DateRange(scope.since, scope.until)
        return self.actors(asked, compute, dates=dates, group_type_index=scope.group_type_index)
