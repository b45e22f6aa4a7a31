"""What was done to persons, and by whom."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.activity.pages import PARAMETERS, ActivityLogPage, activity_answer
from core.api.views import Answer, action
from core.persons.views.base import PersonView


class LogView(PersonView):
    """The activity log of the persons of a project, and of one of them."""

    @extend_schema(parameters=PARAMETERS, responses=ActivityLogPage)
    @action(detail=False, methods=["get"], url_path="activity", scope="activity_log:read")
    def all_activity(self, request: Request, **_: object) -> Answer:
        """Return what was done to persons of the project, those deleted since included, newest first."""
        return Answer(activity_answer(request, team_id=self.team.id, scopes=["Person"]))

    @extend_schema(parameters=PARAMETERS, responses=ActivityLogPage)
    @action(detail=True, methods=["get"], scope="activity_log:read")
    def activity(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return what was done to one person, newest first."""
        person = self._ref(self._row(id))
        return Answer(activity_answer(request, team_id=self.team.id, scopes=["Person"], item_id=str(person.id)))
