"""The published shapes of roles; the writable fields are read by them too, rows never pass through."""

from typing import Any

from rest_framework import serializers

from core.api.fields import UUIDTextField
from core.api.people import OrganizationMemberSerializer, UserBasicSerializer
from core.roles.models import CAN_ALWAYS_EDIT, CAN_ONLY_VIEW

MAX_NAME = 200


class NewRoleBody(serializers.Serializer[Any]):
    """What a caller may say of a new role."""

    name = serializers.CharField(max_length=MAX_NAME, help_text="Unique in the organization, whatever the case.")


class RoleBody(NewRoleBody):
    """What a caller may change of a role."""

    feature_flags_access_level = serializers.ChoiceField(
        choices=[(CAN_ONLY_VIEW, "can only view"), (CAN_ALWAYS_EDIT, "can always edit")],
        required=False,
        help_text="A new role gets 37, whatever is sent.",
    )


class RoleMembershipBody(serializers.Serializer[Any]):
    """Who is to be put into a role."""

    user_uuid = UUIDTextField(write_only=True, help_text="`uuid` of the user, who is a member of the organization.")


class RoleMembershipSerializer(RoleMembershipBody):
    """One user in one role."""

    id = serializers.UUIDField(read_only=True)
    role_id = serializers.UUIDField(read_only=True)
    organization_member = OrganizationMemberSerializer(read_only=True)
    user = UserBasicSerializer(read_only=True)
    joined_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class AssociatedFlagSerializer(serializers.Serializer[Any]):
    """A feature flag that a role has an access row for."""

    id = serializers.IntegerField(read_only=True)
    key = serializers.CharField(read_only=True)


class RoleSerializer(RoleBody):
    """A named group of members of the organization."""

    id = serializers.UUIDField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    created_by = UserBasicSerializer(
        read_only=True, allow_null=True, help_text="Always null, as existing clients need it; see `created_by_user`."
    )
    created_by_user = UserBasicSerializer(read_only=True, allow_null=True)
    members = RoleMembershipSerializer(many=True, read_only=True, help_text="In the order of joining.")
    associated_flags = AssociatedFlagSerializer(many=True, read_only=True, help_text="Always empty.")
    is_default = serializers.BooleanField(
        read_only=True, help_text="Whether it is the `default_role_id` of the organization."
    )
