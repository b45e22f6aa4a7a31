"""The values that a person property has."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.params import query_parameter
from core.api.views import Answer, action
from core.persons.shapes.values import PersonPropertyValues
from core.persons.values import values_answer
from core.persons.views.base import PersonView, text_parameter

_MAX_AGE = "max-age=10"


class ValuesView(PersonView):
    """Offer values to choose from."""

    @extend_schema(
        parameters=[
            query_parameter(
                "key", "The property. Without it, or for one that begins with `$virt`, there are no values."
            ),
            query_parameter("value", "Only values that contain this text, in any case."),
        ],
        responses=PersonPropertyValues,
    )
    @action(detail=False, methods=["get"])
    def values(self, request: Request, **_: object) -> Answer:
        """List the values of a property with their numbers of persons, most frequent first, 20 at most."""
        key, part = text_parameter(request, "key"), text_parameter(request, "value")
        answer = values_answer(team_id=self.team.id, key=key or "", part=part or "")
        self.headers["Cache-Control"] = _MAX_AGE
        return Answer(answer)
