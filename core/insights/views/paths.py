"""Who went along a path."""

from typing import Final

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights.paths import read_path
from core.insights.paths_schema import PATH
from core.insights.schema import COMMON, CachedInsightPage, body_serializer, query_parameters
from core.insights.views.base import InsightView
from core.persons.date_range import DateRange
from events.insights.paths import paths_page
from events.insights.rows import ActorRow

_DESCRIBED: Final = {
    **{name: described for name, described in COMMON.items() if name not in {"events", "actions"}},
    **PATH,
}
_Body: Final = body_serializer("PathPersonsRequest", _DESCRIBED)


class PathView(InsightView):
    """List the persons of paths."""

    @extend_schema(methods=["GET"], parameters=query_parameters(_DESCRIBED), responses=CachedInsightPage)
    @extend_schema(methods=["POST"], request=_Body, responses=CachedInsightPage)
    @action(detail=False, methods=["get", "post"], scope="person:read")
    def path(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the persons whose paths have certain items next to each other, end with one, or are there at all."""
        asked = self.asked(request)
        query = read_path(asked.params, asked.project, now=asked.now)

        def compute() -> list[ActorRow]:
            page = asked.page
            return paths_page(query, limit=page.limit, offset=page.offset, recordings=asked.recordings)

        scope = query.scope
        dates = None if scope.since is None or scope.until is None else DateRange(scope.since, scope.until)
        return self.actors(asked, compute, dates=dates)
