"""Changes to the properties of a person."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from core.api.errors import Invalid, NotFound
from core.api.views import Answer, action
from core.persons import services
from core.persons.serializers import (
    Person,
    PersonDeleteProperty,
    PersonUpdateProperty,
    read_properties,
    read_unset,
    read_update_property,
)
from core.persons.views.base import PersonView

_UPDATED = OpenApiResponse(Person, description="The person after the change.")


class ChangingView(PersonView):
    """Set and remove properties."""

    @extend_schema(request=Person, responses=_UPDATED)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set the given properties; the others stay, every other field is ignored."""
        row = self._row(id)
        if properties := read_properties(request):
            self._set(row, properties, attr="properties")
        return Answer(self._detail(self._row(id)))

    @extend_schema(request=Person, responses=_UPDATED)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set the given properties, exactly as PUT does."""
        return self.update(request, id)

    @extend_schema(request=PersonUpdateProperty, responses=_UPDATED)
    @action(detail=True, methods=["post"])
    def update_property(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Set one property. Values from a query string or a form are stored as text."""
        row = self._row(id)
        self._set(row, read_update_property(request), attr="value")
        return Answer(self._detail(self._row(id)))

    @extend_schema(request=PersonDeleteProperty, responses=_UPDATED)
    @action(detail=True, methods=["post"])
    def delete_property(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Remove one property or a list of them."""
        row = self._row(id)
        keys = read_unset(request)
        try:
            services.person_properties_unset(person=self._ref(row), keys=keys)
        except services.PersonGoneError:
            raise NotFound from None
        return Answer(self._detail(self._row(id)))

    def _set(self, row: tuple[Any, ...], properties: Mapping[str, Any], *, attr: str) -> None:
        try:
            services.person_properties_set(person=self._ref(row), properties=properties)
        except services.PropertiesTooLargeError:
            message = "The properties of a person may not exceed 512 KB."
            raise Invalid(message, code="max_length", attr=attr) from None
        except services.PersonGoneError:
            raise NotFound from None
