"""Input and OpenAPI shapes of the user and of personal API keys."""

from typing import Any

from rest_framework import serializers

from core.access.scopes import is_scope
from core.api.fields import FormListField, UUIDTextField

MAX_PASSWORD = 1024


class UserSerializer(serializers.Serializer[Any]):
    """The caller."""

    id = serializers.IntegerField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    distinct_id = serializers.CharField(read_only=True)
    date_joined = serializers.DateTimeField(read_only=True)
    first_name = serializers.CharField(max_length=150, allow_blank=True, required=False)
    last_name = serializers.CharField(max_length=150, allow_blank=True, required=False)
    email = serializers.EmailField(read_only=True)
    pending_email = serializers.EmailField(read_only=True, allow_null=True)
    is_email_verified = serializers.BooleanField(read_only=True, allow_null=True)
    notification_settings = serializers.DictField(read_only=True)
    anonymize_data = serializers.BooleanField(read_only=True)
    toolbar_mode = serializers.CharField(read_only=True)
    has_password = serializers.BooleanField(read_only=True)
    is_staff = serializers.BooleanField(read_only=True)
    is_impersonated = serializers.BooleanField(read_only=True)
    team = serializers.DictField(read_only=True, allow_null=True)
    organization = serializers.DictField(read_only=True, allow_null=True)
    organizations = serializers.ListField(child=serializers.DictField(), read_only=True)
    events_column_config = serializers.DictField(read_only=True)
    is_2fa_enabled = serializers.BooleanField(read_only=True)
    has_social_auth = serializers.BooleanField(read_only=True)
    has_seen_product_intro_for = serializers.DictField(read_only=True, allow_null=True)
    scene_personalisation = serializers.ListField(child=serializers.DictField(), read_only=True)
    theme_mode = serializers.CharField(read_only=True, allow_null=True)
    hedgehog_config = serializers.DictField(read_only=True, allow_null=True)
    role_at_organization = serializers.CharField(read_only=True, allow_null=True)
    set_current_organization = UUIDTextField(write_only=True, required=False)
    set_current_team = serializers.IntegerField(write_only=True, required=False)
    password = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=MAX_PASSWORD,
        help_text="A new password, for sessions only; needs `current_password`. Ends all other sessions.",
    )
    current_password = serializers.CharField(
        write_only=True, required=False, allow_blank=True, trim_whitespace=False, max_length=MAX_PASSWORD
    )


class PersonalAPIKeySerializer(serializers.Serializer[Any]):
    """A key; `value` is given once, by create and roll."""

    id = serializers.CharField(read_only=True)
    label = serializers.CharField(max_length=40)  # type: ignore[assignment]  # DRF fields have an attribute of this name
    value = serializers.CharField(read_only=True, allow_null=True)
    mask_value = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_rolled_at = serializers.DateTimeField(read_only=True, allow_null=True)
    user_id = serializers.IntegerField(read_only=True)
    scopes = FormListField(child=serializers.CharField(max_length=100), allow_empty=False, style={"words": True})
    scoped_teams = FormListField(child=serializers.IntegerField(), allow_null=True, required=False)
    scoped_organizations = FormListField(child=serializers.CharField(max_length=100), allow_null=True, required=False)

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        """Refuse what is not in the grammar."""
        for scope in scopes:
            if not is_scope(scope):
                message = f"Invalid scope: {scope}"
                raise serializers.ValidationError(message)
        return scopes
