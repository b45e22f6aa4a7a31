"""The members of a cohort, as the list of persons shows them."""

from dataclasses import replace

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import NotFound
from core.api.views import Answer, scoped
from core.cohorts.queries import cohort_is_alive
from core.persons.listing import PersonFilter
from core.persons.serializers import MAX_INTEGER_ID, PaginatedPersonList
from core.persons.views.reading import LIST_PARAMETERS, ListingView
from events.filters.grammar import CohortFilter, FilterGroup


class CohortPersonsViewSet(ListingView):
    """The members of one cohort; a dynamic one's as of its last calculation."""

    @extend_schema(parameters=LIST_PARAMETERS, responses=PaginatedPersonList)
    @scoped(("cohort:read", "person:read"))
    def list(self, request: Request, **_: object) -> Answer | HttpResponseBase:
        """List the members, newest first, with every filter and form of the list of persons."""
        return super().list(request)

    def person_filter(self, request: Request) -> PersonFilter:
        """Demand membership beside what the parameters ask for; raises NotFound for no living cohort."""
        text = self.kwargs["cohort_id"]
        number = int(text[:20]) if text.isascii() and text.isdigit() else MAX_INTEGER_ID + 1
        if number > MAX_INTEGER_ID or not cohort_is_alive(team_id=self.team.id, cohort_id=number):
            raise NotFound
        asked = super().person_filter(request)
        member = CohortFilter((number,))
        return replace(asked, properties=FilterGroup("AND", (member, asked.properties)) if asked.properties else member)
