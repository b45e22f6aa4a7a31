"""The published shapes of organizations and members; the writable fields are read by them too."""

from typing import Any

from rest_framework import serializers

from core.api.fields import UUIDTextField
from core.tenancy.models import Level


class ProjectNameSerializer(serializers.Serializer[Any]):
    """The shortest form of a project."""

    id = serializers.IntegerField(read_only=True)
    organization_id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(read_only=True)


class OrganizationSerializer(serializers.Serializer[Any]):
    """An organization with its projects."""

    id = serializers.UUIDField(read_only=True)
    name = serializers.CharField(max_length=64)
    slug = serializers.CharField(read_only=True)
    logo_media_id = serializers.CharField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    membership_level = serializers.IntegerField(read_only=True, allow_null=True)
    plugins_access_level = serializers.IntegerField(read_only=True)
    teams = serializers.ListField(child=serializers.DictField(), read_only=True)
    projects = ProjectNameSerializer(many=True, read_only=True)
    available_product_features = serializers.ListField(child=serializers.DictField(), read_only=True)
    is_member_join_email_enabled = serializers.BooleanField(required=False)
    metadata = serializers.DictField(read_only=True)
    customer_id = serializers.CharField(read_only=True, allow_null=True)
    enforce_2fa = serializers.BooleanField(allow_null=True, required=False)
    members_can_invite = serializers.BooleanField(required=False)
    members_can_use_personal_api_keys = serializers.BooleanField(
        required=False, help_text="Whether plain members may use personal API keys here; admins and owners always may."
    )
    allow_publicly_shared_resources = serializers.BooleanField(required=False)
    member_count = serializers.IntegerField(read_only=True)
    is_ai_data_processing_approved = serializers.BooleanField(read_only=True, allow_null=True)
    default_experiment_stats_method = serializers.CharField(read_only=True, allow_null=True)
    default_role_id = UUIDTextField(
        allow_null=True, required=False, help_text="A role of this organization; null for none."
    )


class MemberBody(serializers.Serializer[Any]):
    """What may be changed of a member."""

    level = serializers.ChoiceField(
        choices=Level.choices, required=False, help_text="No higher than the caller's own; owners may make owners."
    )
