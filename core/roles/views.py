"""Roles and their members over HTTP: read the request, call one function, answer."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from core.api.errors import Invalid, NotFound
from core.api.pagination import Turn, turned_page
from core.api.params import body_of
from core.api.views import Answer, ApiViewSet, at_least
from core.roles import queries, services
from core.roles.serializers import (
    NewRoleBody,
    RoleBody,
    RoleMembershipBody,
    RoleMembershipSerializer,
    RoleSerializer,
)
from core.tenancy.models import Level


def read_id(text: str) -> UUID:
    """Read the UUID of a path; raises NotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _read_role_to_join(text: str) -> UUID:
    try:
        return read_id(text)
    except NotFound:
        raise Invalid(services.NO_ROLE) from None


def _read(body: Serializer[Any]) -> dict[str, Any]:
    body.is_valid(raise_exception=True)
    fields: dict[str, Any] = body.validated_data
    return fields


class RolesViewSet(ApiViewSet):
    """What roles and their memberships share: they belong to the organization of the URL."""

    sensitive = True

    def _author(self) -> services.Author:
        return services.Author(organization_id=self.organization.id, user_id=self.caller.user_id)


class RoleViewSet(RolesViewSet):
    """Named groups of members of the organization; admins and owners change them."""

    serializer_class = RoleSerializer

    @extend_schema(responses=RoleSerializer(many=True))
    def list(self, request: Request, **_: object) -> Answer:
        """List roles with their members, oldest first.

        A page whose roles have more than 10,000 members together ends early; `next` leads on.
        """
        window = self.window()
        roles, count = queries.role_page(organization_id=self.organization.id, limit=window.limit, offset=window.offset)
        end = window.offset + len(roles)
        following = Turn(offset=end) if roles and end < count else None
        previous = Turn(offset=window.offset - window.limit) if window.offset else None
        return Answer(turned_page(request, window, roles, following=following, previous=previous, count=count))

    @extend_schema(request=RoleSerializer, responses={201: RoleSerializer})
    @at_least(Level.ADMIN)
    def create(self, request: Request, **_: object) -> Answer:
        """Make a role without members."""
        fields = _read(NewRoleBody(data=body_of(request)))
        return Answer(self._object(services.role_create(author=self._author(), name=fields["name"])), status=201)

    @extend_schema(responses=RoleSerializer)
    def retrieve(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one role with all its members."""
        del request
        return Answer(self._object(read_id(id)))

    @extend_schema(request=RoleSerializer, responses=RoleSerializer)
    @at_least(Level.ADMIN)
    def update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the name, and the access level if it is given."""
        return self._change(request, read_id(id), partial=False)

    @extend_schema(request=RoleSerializer, responses=RoleSerializer)
    @at_least(Level.ADMIN)
    def partial_update(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Change the given fields."""
        return self._change(request, read_id(id), partial=True)

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Deleted.")})
    @at_least(Level.ADMIN)
    def destroy(self, request: Request, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Delete a role; its memberships go with it."""
        del request
        services.role_delete(author=self._author(), role_id=read_id(id))
        return Answer(None, status=204)

    def _change(self, request: Request, role_id: UUID, *, partial: bool) -> Answer:
        fields = _read(RoleBody(data=body_of(request), partial=partial))
        services.role_update(author=self._author(), role_id=role_id, fields=fields)
        return Answer(self._object(role_id))

    def _object(self, role_id: UUID) -> dict[str, Any]:
        role = queries.role_object(organization_id=self.organization.id, role_id=role_id)
        if role is None:
            raise NotFound
        return role


class RoleMembershipViewSet(RolesViewSet):
    """Who is in a role; admins and owners change it."""

    serializer_class = RoleMembershipSerializer

    @extend_schema(responses=RoleMembershipSerializer(many=True))
    def list(self, request: Request, role_id: str, **_: object) -> Answer:
        """List memberships in the order of joining; a role of another organization has none."""
        del request
        window = self.window()
        memberships, count = queries.membership_page(
            organization_id=self.organization.id, role_id=read_id(role_id), limit=window.limit, offset=window.offset
        )
        return self.page_response(window, memberships, count=count)

    @extend_schema(request=RoleMembershipSerializer, responses={201: RoleMembershipSerializer})
    @at_least(Level.ADMIN)
    def create(self, request: Request, role_id: str, **_: object) -> Answer:
        """Put an active member of the organization into the role."""
        fields = _read(RoleMembershipBody(data=body_of(request)))
        made = services.membership_create(
            author=self._author(), role_id=_read_role_to_join(role_id), user_uuid=fields["user_uuid"]
        )
        return Answer(self._object(role_id, str(made)), status=201)

    @extend_schema(responses=RoleMembershipSerializer)
    def retrieve(self, request: Request, role_id: str, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Return one membership of the role."""
        del request
        return Answer(self._object(role_id, id))

    @extend_schema(request=None, responses={204: OpenApiResponse(description="Removed.")})
    @at_least(Level.ADMIN)
    def destroy(self, request: Request, role_id: str, id: str, **_: object) -> Answer:  # noqa: A002 the route's name
        """Take the user out of the role."""
        del request
        services.membership_delete(author=self._author(), role_id=read_id(role_id), membership_id=read_id(id))
        return Answer(None, status=204)

    def _object(self, role_id: str, membership_id: str) -> dict[str, Any]:
        membership = queries.membership_object(
            organization_id=self.organization.id, role_id=read_id(role_id), membership_id=read_id(membership_id)
        )
        if membership is None:
            raise NotFound
        return membership
