"""How users and members look in the OpenAPI document, wherever other objects name them."""

from typing import Any

from rest_framework import serializers


class UserBasicSerializer(serializers.Serializer[Any]):
    """A user as other objects name one."""

    id = serializers.IntegerField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    distinct_id = serializers.CharField(read_only=True, allow_null=True)
    first_name = serializers.CharField(read_only=True)
    last_name = serializers.CharField(read_only=True)
    email = serializers.EmailField(read_only=True)
    is_email_verified = serializers.BooleanField(read_only=True, allow_null=True)
    hedgehog_config = serializers.DictField(read_only=True, allow_null=True)
    role_at_organization = serializers.CharField(read_only=True, allow_null=True)


class OrganizationMemberSerializer(serializers.Serializer[Any]):
    """One member."""

    id = serializers.UUIDField(read_only=True)
    user = UserBasicSerializer(read_only=True)
    level = serializers.IntegerField(read_only=True)
    joined_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    is_2fa_enabled = serializers.BooleanField(read_only=True)
    has_social_auth = serializers.BooleanField(read_only=True)
    last_login = serializers.DateTimeField(read_only=True, allow_null=True)
