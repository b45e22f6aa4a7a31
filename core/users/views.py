"""The caller, and the caller's personal API keys."""

from typing import Any, cast

from django.contrib.auth import update_session_auth_hash
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.context import Access
from core.access.models import PersonalAPIKey
from core.access.permissions import UNSUPPORTED
from core.access.routing import CURRENT
from core.api.errors import NotFound
from core.api.idempotent import secret_answer
from core.api.params import body_of
from core.api.views import ApiViewSet, action, scoped, sessions_only
from core.tenancy.answers import organization_basic, organization_full, team_short
from core.tenancy.models import User
from core.tenancy.queries import organizations_of, visible_teams
from core.users import services
from core.users.profile import user_update
from core.users.serializers import PersonalAPIKeySerializer, UserSerializer


def user_object(user: User, access: Access) -> dict[str, Any]:
    """Return the user with what `@current` means and every organization; a restricted key sees what it may reach."""
    organizations = organizations_of(user_id=user.pk, ids=access.scoped_organizations)
    if access.scoped_teams:
        reached, _ = visible_teams(user_id=user.pk, organization_id=None, teams=access.scoped_teams)
        own = {row["organization"] for row in reached}
        organizations = [row for row in organizations if row["id"] in own]
    chosen = next((row for row in organizations if row["id"] == user.current_organization_id), None)
    current = chosen or (organizations[0] if organizations else None)
    teams, _ = (
        visible_teams(user_id=user.pk, organization_id=current["id"], teams=access.scoped_teams) if current else ([], 0)
    )
    team = next((row for row in teams if row["id"] == user.current_team_id), teams[0] if teams else None)
    return {
        "id": user.pk,
        "uuid": user.uuid,
        "distinct_id": user.distinct_id,
        "date_joined": user.date_joined,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "pending_email": None,
        "is_email_verified": user.is_email_verified,
        "notification_settings": {"plugin_disabled": True},
        "anonymize_data": False,
        "toolbar_mode": "toolbar",
        "has_password": user.has_usable_password(),
        "is_staff": user.is_staff,
        "is_impersonated": False,
        "team": team_short(team) if team else None,
        "organization": organization_full(current, teams) if current else None,
        "organizations": [organization_basic(row) for row in organizations],
        "events_column_config": {"active": "DEFAULT"},
        "is_2fa_enabled": False,
        "has_social_auth": False,
        "has_seen_product_intro_for": None,
        "scene_personalisation": [],
        "theme_mode": None,
        "hedgehog_config": None,
        "role_at_organization": None,
    }


@extend_schema_view(
    retrieve=extend_schema(summary="Retrieve the caller", responses=UserSerializer),
    partial_update=extend_schema(summary="Change the caller", request=UserSerializer, responses=UserSerializer),
)
class UserViewSet(ApiViewSet):
    """The caller, as `@me` or by uuid. Restricted keys work here too: they see and choose what they may reach."""

    ignores_restrictions = True

    def retrieve(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Who the key or session belongs to."""
        del request
        return Response(user_object(self._caller_only(), self.access))

    def partial_update(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Change the name, what `@current` means or, with a session, the password; the rest is read-only here."""
        self._caller_only()
        body = UserSerializer(data=body_of(request), partial=True)
        body.is_valid(raise_exception=True)
        is_new_password = bool(body.validated_data.get("password"))
        if is_new_password and self.caller.is_key:
            raise PermissionDenied(UNSUPPORTED)
        user = user_update(access=self.access, fields=body.validated_data)
        if is_new_password:
            # Every other session of the user ends, for each knows the hash it began with.
            update_session_auth_hash(request._request, user)  # noqa: SLF001 DRF keeps Django's request there
        return Response(user_object(user, self.access))

    def _caller_only(self) -> User:
        user = User.objects.get(pk=self.caller.user_id)
        if self.kwargs["id"].lower() not in {"@me", str(user.uuid)}:
            raise NotFound
        return user


def key_object(key: PersonalAPIKey, value: str | None = None) -> dict[str, Any]:
    """Return a key as it is shown; the value only right after it was made."""
    return {
        "id": key.pk,
        "label": key.label,
        "value": value,
        "mask_value": key.mask_value,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "last_rolled_at": key.last_rolled_at,
        "user_id": key.user_id,
        "scopes": ["*"] if key.scopes is None else key.scopes,
        "scoped_teams": key.scoped_teams or [],
        "scoped_organizations": key.scoped_organizations or [],
    }


@extend_schema_view(
    list=extend_schema(summary="List personal API keys", responses=PersonalAPIKeySerializer(many=True)),
    create=extend_schema(
        summary="Create a personal API key",
        request=PersonalAPIKeySerializer,
        responses={201: PersonalAPIKeySerializer},
    ),
    retrieve=extend_schema(summary="Retrieve a personal API key", responses=PersonalAPIKeySerializer),
    update=extend_schema(
        summary="Replace a personal API key", request=PersonalAPIKeySerializer, responses=PersonalAPIKeySerializer
    ),
    partial_update=extend_schema(
        summary="Change a personal API key", request=PersonalAPIKeySerializer, responses=PersonalAPIKeySerializer
    ),
    destroy=extend_schema(summary="Delete a personal API key", responses={204: None}),
    roll=extend_schema(summary="Give a key a new value", request=None, responses=PersonalAPIKeySerializer),
)
class PersonalAPIKeyViewSet(ApiViewSet):
    """Keys of the caller: managed by sessions; a key may only look at itself."""

    ignores_restrictions = True
    sensitive = True
    serializer_class = PersonalAPIKeySerializer
    pagination_class = None

    @sessions_only
    def list(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """The caller's keys, newest first."""
        del request
        return Response([key_object(key) for key in PersonalAPIKey.objects.filter(user_id=self.caller.user_id)])

    @secret_answer
    @sessions_only
    def create(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Make a key; its value is in this answer only."""
        body = PersonalAPIKeySerializer(data=body_of(request))
        body.is_valid(raise_exception=True)
        key, value = services.key_create(
            user=cast("User", request.user),
            label=body.validated_data["label"],
            scopes=body.validated_data["scopes"],
            scoped_teams=body.validated_data.get("scoped_teams") or (),
            scoped_organizations=body.validated_data.get("scoped_organizations") or (),
        )
        return Response(key_object(key, value), status=status.HTTP_201_CREATED)

    @scoped(())
    def retrieve(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """One key; a key sees only itself, also as `@current`."""
        del request
        wanted = self.kwargs["id"]
        if self.caller.is_key and wanted not in {CURRENT, self.caller.key_id}:
            raise PermissionDenied(UNSUPPORTED)
        return Response(key_object(self._key(self.caller.key_id if wanted == CURRENT else wanted)))

    @sessions_only
    def update(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Replace label, scopes and restrictions."""
        return self._change(request, partial=False)

    @sessions_only
    def partial_update(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Change label, scopes or restrictions."""
        return self._change(request, partial=True)

    @sessions_only
    def destroy(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Remove a key; it stops working at once."""
        del request
        services.key_delete(key=self._key(self.kwargs["id"]))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @action(detail=True, methods=["post"])
    @secret_answer
    @sessions_only
    def roll(self, request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        """Give the key a new value; the old one stops working at once."""
        del request
        key, value = services.key_roll(key=self._key(self.kwargs["id"]))
        return Response(key_object(key, value))

    def _change(self, request: Request, *, partial: bool) -> Response:
        key = self._key(self.kwargs["id"])
        body = PersonalAPIKeySerializer(data=body_of(request), partial=partial)
        body.is_valid(raise_exception=True)
        return Response(key_object(services.key_update(key=key, changes=dict(body.validated_data))))

    def _key(self, key_id: str | None) -> PersonalAPIKey:
        keys = PersonalAPIKey.objects.filter(user_id=self.caller.user_id)
        # A session has no key of its own, and Postgres takes no NUL.
        key = None if key_id is None or "\x00" in key_id else keys.filter(pk=key_id).first()
        if key is None:
            raise NotFound
        return key
