"""Who is behind a data point of a trend."""

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.schema import CachedInsightPage, query_parameters
from core.insights.trends import TRENDS, read_trends
from core.insights.views.base import InsightView
from core.persons.date_range import DateRange
from events.insights.rows import ActorRow
from events.insights.trends import trends_page


class TrendsView(InsightView):
    """List the actors of trends."""

    @extend_schema(parameters=query_parameters(TRENDS), responses=CachedInsightPage)
    @action(detail=False, methods=["get"])
    def trends(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the persons or groups behind a data point of a trend, each with its value there."""
        asked = self.asked(request)
        query = read_trends(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            return trends_page(query, limit=asked.page.limit, offset=asked.page.offset, recordings=asked.recordings)

        since, until = query.scope.since, query.scope.until
        dates = None if since is None or until is None else DateRange(since, until)
        return self.actors(asked, compute, dates=dates, group_type_index=query.scope.group_type_index)
