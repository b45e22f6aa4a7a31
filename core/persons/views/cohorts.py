"""Which cohorts a person is in."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import query_parameter, required
from core.api.views import Answer, action
from core.cohorts.queries import cohort_object, cohorts_of_person
from core.cohorts.serializers import Cohort
from core.persons.views.base import PersonView, text_parameter


class PersonCohorts(serializers.Serializer[object]):
    """The cohorts that a person is in, newest first."""

    results = Cohort(many=True)


class CohortsView(PersonView):
    """Look from a person to its cohorts."""

    @extend_schema(
        parameters=[query_parameter("person_id", "The person's UUID or integer id.", required=True)],
        responses=PersonCohorts,
    )
    @action(detail=False, methods=["get"], scope=("person:read", "cohort:read"))
    def cohorts(self, request: Request, **_: object) -> Answer:
        """Return the cohorts that a person is in; dynamic ones as of their last calculation."""
        text = text_parameter(request, "person_id")
        if not text:
            raise required("person_id")
        try:
            row = self._row(text)
        except Invalid as error:
            raise Invalid(error.detail, attr="person_id") from error
        found = cohorts_of_person(team_id=self.team.id, person_id=row[0])
        return Answer({"results": [cohort_object(one) for one in found]})
