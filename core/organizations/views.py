"""Organizations, their members and their activity log over HTTP: read the request, call one function, answer."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request

from core.activity.pages import ORGANIZATION_PARAMETERS, ActivityLogPage, organization_activity_answer
from core.api.errors import NotFound
from core.api.params import body_of, required
from core.api.people import OrganizationMemberSerializer
from core.api.views import Answer, ApiViewSet, any_session, at_least
from core.organizations import members, services
from core.organizations.serializers import MemberBody, OrganizationSerializer
from core.tenancy.answers import member, organization_full
from core.tenancy.models import Level, User
from core.tenancy.queries import Row, member_of, members_of, organization_page, organizations_of, visible_teams

ME = "@me"


def _read_settings(request: Request, *, whole: bool) -> dict[str, Any]:
    """Read the settings that a body names. A form cannot show what it leaves out, so nothing is filled in."""
    body = body_of(request)
    if whole and "name" not in body:
        raise required("name")
    settings = OrganizationSerializer(data=body, partial=True)
    settings.is_valid(raise_exception=True)
    return dict(settings.validated_data)


class OrganizationViewSet(ApiViewSet):
    """Organizations of the caller; `@current` is the one the caller works with."""

    serializer_class = OrganizationSerializer
    identity = "organization"
    sensitive = True

    @extend_schema(summary="List organizations", responses=OrganizationSerializer(many=True))
    def list(self, request: Request, **_: object) -> Answer:
        """Organizations the caller belongs to and the key may see, in the order of joining."""
        del request
        window = self.window()
        access = self.access
        rows, count = organization_page(
            user_id=access.caller.user_id,
            ids=access.scoped_organizations,
            by_key=access.caller.is_key,
            limit=window.limit,
            offset=window.offset,
        )
        return self.page_response(window, self._objects(rows), count=count)

    @extend_schema(
        summary="Create an organization", request=OrganizationSerializer, responses={201: OrganizationSerializer}
    )
    @any_session
    def create(self, request: Request, **_: object) -> Answer:
        """Make an organization with a first project; the caller owns it and works with it from now on."""
        fields = _read_settings(request, whole=True)
        organization_id = services.organization_start(user_id=self.caller.user_id, fields=fields)
        return Answer(self._object(organization_id), status=status.HTTP_201_CREATED)

    @extend_schema(summary="Retrieve an organization", responses=OrganizationSerializer)
    def retrieve(self, request: Request, **_: object) -> Answer:
        """One organization with its projects."""
        del request
        return Answer(self._object(self.organization.id))

    @extend_schema(summary="Replace an organization", request=OrganizationSerializer, responses=OrganizationSerializer)
    @at_least(Level.ADMIN)
    def update(self, request: Request, **_: object) -> Answer:
        """Change the name, and the other settings that are given."""
        return self._change(request, whole=True)

    @extend_schema(summary="Change an organization", request=OrganizationSerializer, responses=OrganizationSerializer)
    @at_least(Level.ADMIN)
    def partial_update(self, request: Request, **_: object) -> Answer:
        """Change the settings that are given."""
        return self._change(request, whole=False)

    @extend_schema(
        summary="Delete an organization", request=None, responses={204: OpenApiResponse(description="Deleted.")}
    )
    @at_least(Level.OWNER)
    def destroy(self, request: Request, **_: object) -> Answer:
        """Delete an organization for good, with all its projects.

        All persons, events and recordings of these are erased and cannot be restored. Nobody sees it any more at once.
        """
        del request
        services.organization_delete(author=self._author())
        return Answer(None, status=status.HTTP_204_NO_CONTENT)

    def _change(self, request: Request, *, whole: bool) -> Answer:
        services.organization_update(author=self._author(), fields=_read_settings(request, whole=whole))
        return Answer(self._object(self.organization.id))

    def _object(self, organization_id: UUID) -> dict[str, Any]:
        objects = self._objects(organizations_of(user_id=self.caller.user_id, ids=[organization_id]))
        if not objects:
            raise NotFound
        return objects[0]

    def _objects(self, rows: Sequence[Row]) -> Sequence[dict[str, Any]]:
        """Return organizations as they are shown; the projects of all of them are read at once."""
        teams: defaultdict[UUID, Any] = defaultdict(list)
        if rows:
            found, _ = visible_teams(
                user_id=self.caller.user_id, organization_id=None, organizations=[str(row["id"]) for row in rows]
            )
            for team in found:
                teams[team["organization"]].append(team)
        return [organization_full(row, teams[row["id"]]) for row in rows]

    def _author(self) -> services.Author:
        return services.Author(self.organization.id, self.caller.user_id)


class MemberViewSet(ApiViewSet):
    """Members of one organization, named by the uuid of the user; `@me` is the caller."""

    serializer_class = OrganizationMemberSerializer
    sensitive = True

    @extend_schema(summary="List members", responses=OrganizationMemberSerializer(many=True))
    def list(self, request: Request, **_: object) -> Answer:
        """Active members in the order they joined."""
        del request
        window = self.window()
        rows, count = members_of(organization_id=self.organization.id, limit=window.limit, offset=window.offset)
        return self.page_response(window, [member(row) for row in rows], count=count)

    @extend_schema(summary="Retrieve a member", responses=OrganizationMemberSerializer)
    def retrieve(self, request: Request, **_: object) -> Answer:
        """One active member."""
        del request
        return self._answer(self._user_uuid())

    @extend_schema(summary="Change a member", request=MemberBody, responses=OrganizationMemberSerializer)
    @at_least(Level.ADMIN)
    def update(self, request: Request, **_: object) -> Answer:
        """Change the level, exactly as PATCH does."""
        return self._change(request)

    @extend_schema(summary="Change a member", request=MemberBody, responses=OrganizationMemberSerializer)
    @at_least(Level.ADMIN)
    def partial_update(self, request: Request, **_: object) -> Answer:
        """Change the level of another member who is no higher than the caller, to one no higher than the caller's."""
        return self._change(request)

    @extend_schema(summary="Remove a member", request=None, responses={204: OpenApiResponse(description="Removed.")})
    def destroy(self, request: Request, **_: object) -> Answer:
        """Remove a member who is no higher than the caller, or leave; the last owner cannot leave.

        The member's roles in the organization go with the membership. Needs admin level unless one leaves.
        """
        del request
        members.member_remove(author=self._author(), user_uuid=self._user_uuid())
        return Answer(None, status=status.HTTP_204_NO_CONTENT)

    def _change(self, request: Request) -> Answer:
        user_uuid = self._user_uuid()
        body = MemberBody(data=body_of(request))
        body.is_valid(raise_exception=True)
        if "level" in body.validated_data:
            level = body.validated_data["level"]
            members.member_set_level(author=self._author(), user_uuid=user_uuid, level=level)
        return self._answer(user_uuid)

    def _answer(self, user_uuid: UUID) -> Answer:
        row = member_of(organization_id=self.organization.id, user_uuid=user_uuid)
        if row is None:
            raise NotFound
        return Answer(member(row))

    def _user_uuid(self) -> UUID:
        text = self.kwargs["id"]
        try:
            return User.objects.values_list("uuid", flat=True).get(pk=self.caller.user_id) if text == ME else UUID(text)
        except ValueError:
            raise NotFound from None

    def _author(self) -> services.Author:
        return services.Author(self.organization.id, self.caller.user_id)


class OrganizationActivityViewSet(ApiViewSet):
    """The activity log of an organization and of all its projects, for admins and owners."""

    pagination_class = None

    @extend_schema(
        summary="List the activity of an organization", parameters=ORGANIZATION_PARAMETERS, responses=ActivityLogPage
    )
    @at_least(Level.ADMIN)
    def list(self, request: Request, **_: object) -> Answer:
        """Changes to the organization, its members, roles, keys and projects, newest first."""
        return Answer(organization_activity_answer(request, organization_id=self.organization.id))
