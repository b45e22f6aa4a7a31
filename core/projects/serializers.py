"""How projects look in the OpenAPI document."""

from copy import deepcopy
from typing import Any, Final

from rest_framework import serializers

from core.projects.fields import DEFAULTS


class ProjectListItemSerializer(serializers.Serializer[Any]):
    """A project in lists."""

    id = serializers.IntegerField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    organization = serializers.UUIDField(read_only=True)
    project_id = serializers.IntegerField(read_only=True)
    api_token = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True)
    completed_snippet_onboarding = serializers.BooleanField(read_only=True)
    has_completed_onboarding_for = serializers.JSONField(read_only=True, allow_null=True)
    ingested_event = serializers.BooleanField(read_only=True)
    is_demo = serializers.BooleanField(read_only=True)
    timezone = serializers.CharField(read_only=True)
    access_control = serializers.BooleanField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    effective_membership_level = serializers.IntegerField(read_only=True, allow_null=True)

    class Meta:
        """The component's name."""

        ref_name = "ProjectListItem"


_READ_ONLY: Final[dict[str, serializers.Field[Any, Any, Any, Any]]] = {
    "id": serializers.IntegerField(read_only=True),
    "uuid": serializers.UUIDField(read_only=True),
    "organization": serializers.UUIDField(read_only=True),
    "project_id": serializers.IntegerField(read_only=True),
    "api_token": serializers.CharField(read_only=True),
    "created_at": serializers.DateTimeField(read_only=True),
    "updated_at": serializers.DateTimeField(read_only=True),
    "ingested_event": serializers.BooleanField(read_only=True),
    "effective_membership_level": serializers.IntegerField(read_only=True, allow_null=True),
    "has_group_types": serializers.BooleanField(read_only=True),
    "person_on_events_querying_enabled": serializers.BooleanField(read_only=True),
    "groups_on_events_querying_enabled": serializers.BooleanField(read_only=True),
    "default_modifiers": serializers.DictField(read_only=True),
    "group_types": serializers.ListField(child=serializers.DictField(), read_only=True),
    "live_events_token": serializers.CharField(read_only=True, allow_null=True),
    "product_intents": serializers.ListField(child=serializers.DictField(), read_only=True),
    "managed_viewsets": serializers.DictField(child=serializers.BooleanField(), read_only=True),
    "user_access_level": serializers.CharField(read_only=True, allow_null=True),
    "secret_api_token": serializers.CharField(read_only=True, allow_null=True),
    "secret_api_token_backup": serializers.CharField(read_only=True, allow_null=True),
}
_WRITABLE: Final[dict[str, serializers.Field[Any, Any, Any, Any]]] = {
    "name": serializers.CharField(min_length=1, max_length=200, required=False),
    "timezone": serializers.CharField(required=False),
    "week_start_day": serializers.IntegerField(min_value=0, max_value=1, allow_null=True, required=False),
    "anonymize_ips": serializers.BooleanField(required=False),
    "is_demo": serializers.BooleanField(required=False),
    "person_processing_opt_out": serializers.BooleanField(required=False),
    "person_display_name_properties": serializers.ListField(
        child=serializers.CharField(max_length=400), allow_null=True, required=False
    ),
    "product_description": serializers.CharField(max_length=1000, allow_null=True, required=False),
    "app_urls": serializers.ListField(
        child=serializers.CharField(max_length=200, allow_null=True), allow_null=True, required=False
    ),
    "recording_domains": serializers.ListField(
        child=serializers.CharField(max_length=200, allow_null=True), allow_null=True, required=False
    ),
    "live_events_columns": serializers.ListField(child=serializers.CharField(), allow_null=True, required=False),
    "slack_incoming_webhook": serializers.CharField(max_length=500, allow_null=True, required=False),
    "session_recording_sample_rate": serializers.DecimalField(
        max_digits=3, decimal_places=2, min_value=0, max_value=1, allow_null=True, required=False
    ),
    "session_recording_minimum_duration_milliseconds": serializers.IntegerField(
        min_value=0, max_value=30000, allow_null=True, required=False
    ),
    "primary_dashboard": serializers.IntegerField(allow_null=True, required=False),
}
_OPTIONAL_FLAGS: Final = (
    "test_account_filters_default_checked", "autocapture_opt_out", "autocapture_exceptions_opt_in",
    "autocapture_web_vitals_opt_in", "capture_console_log_opt_in", "capture_performance_opt_in", "surveys_opt_in",
    "inject_web_apps", "heatmaps_opt_in",
)  # fmt: skip


class ProjectSerializer(serializers.Serializer[Any]):
    """A project with everything; most settings are JSON values."""

    class Meta:
        """The component's name."""

        ref_name = "Project"

    def get_fields(self) -> dict[str, Any]:
        """Give every field of the object, typed where clients rely on it."""
        fields: dict[str, Any] = deepcopy({**_READ_ONLY, **_WRITABLE})
        for name, default in DEFAULTS.items():
            if name not in fields:
                fields[name] = _field_for(name, default)
        return fields


def _field_for(name: str, default: Any) -> serializers.Field[Any, Any, Any, Any]:  # noqa: ANN401 any JSON value
    if name in _OPTIONAL_FLAGS:
        return serializers.BooleanField(allow_null=True, required=False)
    match default:
        case bool():
            return serializers.BooleanField(required=False)
        case int():
            return serializers.IntegerField(allow_null=True, required=False)
        case str():
            return serializers.CharField(allow_null=True, required=False)
        case _:
            return serializers.JSONField(allow_null=True, required=False)
