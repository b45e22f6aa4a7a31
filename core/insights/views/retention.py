"""Who is behind a row of a retention table."""

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from core.api.views import Answer, action
from core.insights import csv
from core.insights.answers import Shown, actors_of
from core.insights.paging import links
from core.insights.retention import RETENTION, read_retention
from core.insights.schema import InsightActor, query_parameters
from core.insights.views.base import TABLE, InsightView
from events.insights.retention import retention_page
from events.insights.rows import ActorRow


class RetainedActor(serializers.Serializer[Any]):
    """An actor, and for the selected period and each one after it whether it was active (1) or not (0)."""

    person = InsightActor()
    appearances = serializers.ListField(child=serializers.IntegerField())


class RetentionPage(serializers.Serializer[Any]):
    """A page of actors; `next` is null on the last one, `initial` is the first one."""

    result = RetainedActor(many=True)
    next = serializers.URLField(allow_null=True)
    initial = serializers.URLField()
    missing_persons = serializers.IntegerField(help_text="Actors of this page that are no more.")


class RetentionView(InsightView):
    """List the actors of retention tables."""

    @extend_schema(parameters=query_parameters(RETENTION), responses=RetentionPage)
    @action(detail=False, methods=["get"])
    def retention(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List who did the target event in a period, and in which periods from there on each came back."""
        asked = self.asked(request)
        query = read_retention(asked.params, asked.project, now=asked.now)
        rows = retention_page(query, limit=asked.page.limit, offset=asked.page.offset)
        shown = Shown([ActorRow(row.actor) for row in rows], group_type_index=query.scope.group_type_index)
        actors = {actor["id"]: actor for actor in actors_of(shown, project=asked.project)}
        result = [{"person": actors[row.actor], "appearances": row.appearances} for row in rows if row.actor in actors]
        if request.accepted_renderer is TABLE:
            return csv.table_response(result)
        following, first = links(request, asked.page, len(rows))
        missing = len(rows) - len(result)
        return Answer({"result": result, "next": following, "initial": first, "missing_persons": missing})
