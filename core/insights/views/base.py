"""What the views of insights share: a request read once, and rows of actors turned into the answer.

A view reads its own parameters with a function of `core.insights`, and hands over how its rows are computed:

    class TrendsView(InsightView):
        @extend_schema(parameters=query_parameters({**COMMON, "entity_id": (str, "...")}), responses=CachedInsightPage)
        @action(detail=False, methods=["get"])
        def trends(self, request: Request, **_: object) -> Answer | HttpResponseBase:
            \"\"\"List the persons or groups behind a data point of a trend.\"\"\"
            asked = self.asked(request)
            query = read_trends(asked.params, asked.project, now=asked.now)

            def compute() -> list[ActorRow]:
                return trends_page(query, limit=asked.page.limit, offset=asked.page.offset, recordings=asked.recordings)

            return self.actors(asked, compute, dates=DateRange(query.scope.since, query.scope.until))

Shapes are in `core.insights.schema`; envelope B is `InsightPage`. With POST as well: `methods=["get", "post"],
scope="person:read"` (it only reads, so it takes no Idempotency-Key), one `@extend_schema(methods=["GET"], ...)` and one
`@extend_schema(methods=["POST"], request=body_serializer("FunnelQuestion", {**COMMON, ...}), ...)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from django.http.response import HttpResponseBase
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.rates import CLICKHOUSE_READS
from core.api.errors import ApiError
from core.api.renderers import TableRenderer
from core.api.views import Answer, TeamViewSet
from core.insights import answers, csv
from core.insights.answers import Envelope
from core.insights.cache import rows_cached, rows_computed
from core.insights.paging import Page, links, read_page
from core.insights.parameters import Parameters, read_parameters
from core.insights.project import InsightProject, project_of
from core.persons.date_range import DateRange
from events.errors import QueryTimeout, QueryTooBig
from events.insights.rows import ActorRow

TABLE = TableRenderer()


class OutOfTime(ApiError):  # noqa: N818 as the other errors of the API
    """The query was stopped at its time limit (query.md B10)."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    type = "server_error"
    code = "error"
    detail = (
        "Query has hit the max execution time before completing. See our docs for how to improve your query "
        "performance. You may need to materialize."
    )


class OutOfMemory(ApiError):  # noqa: N818 as the other errors of the API
    """The query was stopped at its memory limit (query.md B10)."""

    status = 513
    type = "server_error"
    code = "clickhouse_memory_limit_exceeded"
    detail = QueryTooBig.text


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its parameters, the project, the moment from which relative dates count, and the page."""

    request: Request
    params: Parameters
    project: InsightProject
    now: datetime
    page: Page
    recordings: bool


class InsightView(TeamViewSet):
    """The base of every insight about persons."""

    read_limits = CLICKHOUSE_READS

    def get_renderers(self) -> list[BaseRenderer]:
        """Offer tables."""
        return [*super().get_renderers(), TABLE]

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a query that was stopped as PostHog does."""
        if isinstance(exc, QueryTimeout | QueryTooBig):
            error = OutOfTime() if isinstance(exc, QueryTimeout) else OutOfMemory()
            error.__cause__ = exc
            return super().handle_exception(error)
        return super().handle_exception(exc)

    def asked(self, request: Request, *, paging_prefix: str = "") -> Asked:
        """Read what every insight reads; `paging_prefix` stands before `limit` and `offset`. Raises Invalid."""
        params = read_parameters(request)
        return Asked(
            request=request,
            params=params,
            project=project_of(self.team),
            now=datetime.now(UTC),
            page=read_page(params, prefix=paging_prefix),
            recordings=params.flag("include_recordings"),
        )

    def actors(
        self,
        asked: Asked,
        compute: Callable[[], Sequence[ActorRow]],
        *,
        dates: DateRange | None = None,
        group_type_index: int | None = None,
        envelope: Envelope = "A",
    ) -> Answer | HttpResponseBase:
        """Answer with the actors of the rows that `compute` returns, at most `limit` in the order of the pages.

        Envelope A is cached, B is not. `dates` bounds the recordings that are shown with `include_recordings`.
        """
        request, page = asked.request, asked.page
        if envelope == "A":
            found = rows_cached(asked.params, asked.project, endpoint=self.action or "", now=asked.now, compute=compute)
        else:
            found = rows_computed(compute, now=asked.now)
        shown = answers.Shown(
            rows=found.rows,
            group_type_index=group_type_index,
            dates=dates if asked.recordings else None,
        )
        people = answers.actors_of(shown, project=asked.project)
        if request.accepted_renderer is TABLE:
            return csv.table_response(people)
        following, first = links(request, page, len(found.rows))
        answer = answers.envelope(people, rows=len(found.rows), following=following, first=first)
        if envelope == "A":
            answer |= {"is_cached": found.is_cached, "last_refresh": found.last_refresh}
        return Answer(answer)
