"""Which distinct ids name which person: split, and the repair of a distinct id."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import Invalid, NotFound
from core.api.views import Answer, action
from core.persons import resetting, splitting
from core.persons.shapes.identity import (
    PersonResetDistinctIdRequest,
    PersonSplitRequest,
    PersonSplitResponse,
    Success,
    read_distinct_id,
    read_split,
    too_many_ids,
)
from core.persons.views.base import PersonView

_NAMED_IN_ERROR = 100


class IdentityView(PersonView):
    """Split persons and repair distinct ids."""

    @extend_schema(request=PersonSplitRequest, responses=PersonSplitResponse)
    @action(detail=True, methods=["post"])
    def split(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Move distinct ids to new persons, one each. Their events follow; the person keeps its properties."""
        person = self._ref(self._row(id))
        wish = read_split(request)
        try:
            moved = splitting.person_split(person=person, wish=wish)
        except splitting.PersonGoneError:
            raise NotFound from None
        except splitting.TooManyIdsError:
            raise too_many_ids() from None
        except splitting.NotOnPersonError as error:
            attr = "main_distinct_id" if wish.leaving is None else "distinct_ids_to_split"
            message = f"not on this person: {error.distinct_ids[:_NAMED_IN_ERROR]}"
            raise Invalid(message, attr=attr) from None
        persons = [{"distinct_id": distinct_id, "uuid": str(uuid)} for distinct_id, uuid in moved]
        return Answer({"success": True, "persons": persons})

    @extend_schema(request=PersonResetDistinctIdRequest, responses=Success)
    @action(detail=False, methods=["post"])
    def reset_person_distinct_id(self, request: Request, **_: object) -> Answer:
        """Repair a distinct id whose copy in ClickHouse is newer than the truth, such as a stray deletion mark."""
        distinct_id = read_distinct_id(request)
        resetting.distinct_id_reset(team_id=self.team.id, distinct_id=distinct_id)
        return Answer({"success": True})
