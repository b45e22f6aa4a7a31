"""Queries over HTTP: read the request, run it or look at it, answer."""

from typing import Any, cast

from django.http import QueryDict
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request

from core.access.rates import CLICKHOUSE_READS, HOGQL
from core.api.errors import Invalid
from core.api.leaving import sockets_of
from core.api.params import body_of, flag
from core.api.views import Answer, TeamViewSet, action, scoped
from core.query.background import background_cancel, background_start, background_told
from core.query.bodies import HOGQL_QUERY, is_query_id, kind_of_body, read_request
from core.query.calculation import Asker, answer_of, question_of
from core.query.history import runs_of
from core.query.places import places_in_body
from core.query.runners.nodes import unwrapped
from core.query.serializers import (
    DEQUEUE_ONLY,
    KIND,
    QUERY_ID,
    SHOW_PROGRESS,
    QueryAnswer,
    QueryCancelled,
    QueryRequest,
    QueryStatusResponse,
    QueryUpgrade,
    QueryUserAuth,
)
from core.tenancy.models import Level

BYTES_READ = "X-PostHog-Query-Bytes-Read"
_ANSWERS = {200: QueryAnswer, 202: QueryAnswer}
_STATUS_OR_ERROR = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("QueryStatusResponse", "Error")]}
_FAILED = {
    400: OpenApiResponse(_STATUS_OR_ERROR, description="The query failed; its status says why."),
    500: OpenApiResponse(_STATUS_OR_ERROR, description="The query failed, through no fault of the caller."),
}


class QueryViewSet(TeamViewSet):
    """Questions about the project's own data."""

    read_limits = CLICKHOUSE_READS
    _unreadable: exceptions.APIException | None = None

    def limits_of(self, request: Request) -> tuple[str, ...] | None:
        """Return the rate limits of HogQL for what is a HogQLQuery in the end, else None."""
        if self.action not in {"create", "create_of_kind"}:
            return None
        try:
            return HOGQL if kind_of_body(self._body(request)) == HOGQL_QUERY else None
        except exceptions.APIException as error:
            # DRF forgets it, and the request has to be counted first.
            self._unreadable = error
            return None

    @extend_schema(request=QueryRequest, responses=_ANSWERS)
    @scoped("query:read")
    def create(self, request: Request, **_: object) -> Answer:
        """Run a query, or look at what is kept of an equal one; see `refresh`."""
        return self._answer(request, None)

    @extend_schema(request=QueryRequest, responses=_ANSWERS, parameters=KIND)
    @scoped("query:read")
    def create_of_kind(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the name in the URL
        """Run a query of the kind in the URL."""
        return self._answer(request, id)

    @extend_schema(responses={200: QueryStatusResponse, 202: QueryStatusResponse, **_FAILED}, parameters=[
        *QUERY_ID, *SHOW_PROGRESS,
    ])  # fmt: skip
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 as above
        """Tell how a query in the background stands, with its answer once it is complete."""
        show = any(flag(request, name) for name in ("show_progress", "showProgress"))
        told = background_told(self._asker(request), id, show_progress=show)
        return Answer(told.answer, status=told.status)

    @extend_schema(responses={200: QueryCancelled}, parameters=[*QUERY_ID, *DEQUEUE_ONLY])
    @scoped("query:read")
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 as above
        """Cancel a query, in the background or not; what runs of it in ClickHouse is stopped."""
        if not is_query_id(id):
            raise Invalid("No query has such an id.")
        message = background_cancel(self.team.id, id, dequeue_only=flag(request, "dequeue_only"))
        # The published page says 204; clients read the message.
        return Answer({"message": message})

    @extend_schema(responses=QueryAnswer, parameters=QUERY_ID)
    @action(detail=True, methods=["get"])
    def log(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 as above
        """List the runs of a query since yesterday, from the log of queries, where they are after a moment."""
        return Answer(runs_of(self._asker(request), id))

    @extend_schema(request=QueryUpgrade, responses=QueryUpgrade)
    @action(detail=False, methods=["post"], scope="query:read")
    def upgrade(self, request: Request, **_: object) -> Answer:
        """Return a query in its newest version. There is one version of each kind, so it is returned as it is."""
        body = self._body(request)
        query = body.get("query") if isinstance(body, dict) else None
        if not isinstance(query, dict):
            raise Invalid("Query must be a JSON object.", attr="query")
        return Answer({"query": query})

    @extend_schema(request=None, responses=QueryUserAuth)
    @action(detail=False, methods=["post"], scope="query:read")
    def check_auth_for_async(self, request: Request, **_: object) -> Answer:
        """Tell that the caller may run queries."""
        del request
        return Answer({"user": "ok"})

    def _answer(self, request: Request, path_kind: str | None) -> Answer:
        asked = read_request(self._body(request), path_kind=path_kind)
        # What is wrong with the wrappers themselves leads to them already.
        unwrapped(asked.node)
        with places_in_body(asked.sent or asked.node, asked.override):
            given = answer_of(question_of(self._asker(request), asked), start=background_start)
        if self.caller.is_key:
            self.headers[BYTES_READ] = str(given.bytes_read)
        return Answer(given.answer, status=given.status)

    def _asker(self, request: Request) -> Asker:
        return Asker(
            team=self.team,
            user_id=self.caller.user_id,
            key_id=self.caller.key_id,
            sees_sql=(self.access.level or 0) >= Level.ADMIN,
            sockets=lambda: sockets_of(request.META),
        )

    def _body(self, request: Request) -> Any:  # noqa: ANN401 any JSON value
        if self._unreadable is not None:
            raise self._unreadable
        data: object = request.data
        return dict(body_of(request)) if isinstance(data, QueryDict) else cast("Any", data)
