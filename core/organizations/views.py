"""Organizations and their members."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.errors import NotFound
from core.api.people import OrganizationMemberSerializer
from core.api.views import Answer, ApiViewSet
from core.organizations.serializers import OrganizationSerializer
from core.tenancy.answers import member, organization_full
from core.tenancy.queries import Row, members_of, organizations_of, visible_teams


@extend_schema_view(
    list=extend_schema(summary="List organizations", responses=OrganizationSerializer(many=True)),
    retrieve=extend_schema(summary="Retrieve an organization", responses=OrganizationSerializer),
)
class OrganizationViewSet(ApiViewSet):
    """Organizations of the caller; `@current` is the one the caller works with."""

    identity = "organization"

    def list(self, request: Request, **_: Any) -> Answer:  # noqa: ANN401 URL arguments
        """Organizations the caller belongs to and the key may see."""
        del request
        window = self.window()
        access = self.access
        rows = organizations_of(user_id=access.caller.user_id, ids=access.scoped_organizations)
        shown = rows[window.offset : window.offset + window.limit]
        return self.page_response(window, [self._answer(row) for row in shown], count=len(rows))

    def retrieve(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """One organization with its projects."""
        del request
        rows = organizations_of(user_id=self.caller.user_id, ids=[self.organization.id])
        if not rows:
            raise NotFound
        return Response(self._answer(rows[0]))

    def _answer(self, row: Row) -> dict[str, Any]:
        teams, _ = visible_teams(user_id=self.caller.user_id, organization_id=row["id"])
        return organization_full(row, teams)


@extend_schema_view(list=extend_schema(summary="List members", responses=OrganizationMemberSerializer(many=True)))
class MemberViewSet(ApiViewSet):
    """Members of one organization."""

    def list(self, request: Request, **_: Any) -> Answer:  # noqa: ANN401 URL arguments
        """Active members in the order they joined."""
        del request
        window = self.window()
        rows, count = members_of(organization_id=self.organization.id, limit=window.limit, offset=window.offset)
        return self.page_response(window, [member(row) for row in rows], count=count)
