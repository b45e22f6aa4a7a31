"""The shapes of projects: what is read from bodies, field by field, and what the OpenAPI document says of them."""

from typing import Any, Final

from rest_framework import serializers

from core.projects.choices import CURRENCIES, HASH_MODES, WEEK_STARTS
from core.projects.json_fields import LIMIT_HELP, MAX_ITEMS, JSONObject, JSONObjects, TextList
from core.projects.recording_fields import (
    LinkedFlag,
    Masking,
    NetworkPayloadCapture,
    RetentionPeriod,
    SessionReplay,
    TriggerMatch,
)
from core.projects.special_fields import (
    ErrorsToIgnore,
    MarketingAnalytics,
    PathRules,
    PropertyFilters,
    RevenueAnalytics,
    Share,
    TimeOfDay,
    TimeZone,
)

_MOST: Final = f"At most {MAX_ITEMS} elements."
_MAX_INTEGER: Final = 2**31 - 1
_OPTIONAL: Final[dict[str, Any]] = {"required": False, "allow_null": True}


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


class GroupTypeSerializer(serializers.Serializer[Any]):
    """The name of one kind of groups."""

    group_type = serializers.CharField(read_only=True)
    group_type_index = serializers.IntegerField(read_only=True)
    name_singular = serializers.CharField(read_only=True, allow_null=True)
    name_plural = serializers.CharField(read_only=True, allow_null=True)
    default_columns = serializers.ListField(child=serializers.CharField(), read_only=True, allow_null=True)
    detail_dashboard = serializers.IntegerField(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)

    class Meta:
        """The component's name."""

        ref_name = "GroupType"


class ProjectSerializer(serializers.Serializer[Any]):
    """A project with everything. A change names any of the writable fields; what it leaves out stays as it is."""

    id = serializers.IntegerField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    organization = serializers.UUIDField(read_only=True)
    project_id = serializers.IntegerField(read_only=True)
    api_token = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    ingested_event = serializers.BooleanField(read_only=True)
    effective_membership_level = serializers.IntegerField(read_only=True, allow_null=True)
    has_group_types = serializers.BooleanField(read_only=True)
    person_on_events_querying_enabled = serializers.BooleanField(read_only=True)
    groups_on_events_querying_enabled = serializers.BooleanField(read_only=True)
    default_modifiers = serializers.DictField(read_only=True)
    group_types = GroupTypeSerializer(many=True, read_only=True)
    live_events_token = serializers.CharField(read_only=True, allow_null=True)
    product_intents = serializers.ListField(child=serializers.DictField(), read_only=True)
    managed_viewsets = serializers.DictField(child=serializers.BooleanField(), read_only=True)
    user_access_level = serializers.ChoiceField(choices=["none", "member", "admin"], read_only=True, allow_null=True)
    secret_api_token = serializers.CharField(read_only=True, allow_null=True)
    secret_api_token_backup = serializers.CharField(read_only=True, allow_null=True)

    name = serializers.CharField(max_length=200, required=False)
    product_description = serializers.CharField(max_length=1000, allow_blank=True, **_OPTIONAL)
    access_control = serializers.BooleanField(required=False, help_text="Deprecated: only the present value is taken.")
    timezone = TimeZone(required=False, help_text="The name of an IANA time zone.")
    week_start_day = serializers.ChoiceField(choices=WEEK_STARTS, **_OPTIONAL)
    is_demo = serializers.BooleanField(
        required=False, help_text="A project made with `true` is filled with demo data by the worker."
    )
    anonymize_ips = serializers.BooleanField(required=False)
    person_processing_opt_out = serializers.BooleanField(required=False)
    person_display_name_properties = TextList(longest=400, allow_null=True, help_text=_MOST)
    app_urls = TextList(
        longest=200, drops_empty=True, allow_null=True, help_text=f"{_MOST} Null and empty ones are dropped."
    )
    recording_domains = TextList(
        longest=200, drops_empty=True, allow_null=True, help_text=f"{_MOST} Null and empty ones are dropped."
    )
    data_attributes = TextList(longest=200, help_text=_MOST)
    live_events_columns = TextList(longest=400, allow_null=True, help_text=_MOST)
    slack_incoming_webhook = serializers.CharField(max_length=500, allow_blank=True, **_OPTIONAL)
    base_currency = serializers.ChoiceField(
        choices=CURRENCIES, required=False, help_text="PUT without it sets USD; PATCH leaves it alone."
    )
    completed_snippet_onboarding = serializers.BooleanField(required=False)
    has_completed_onboarding_for = JSONObject(help_text=LIMIT_HELP, **_OPTIONAL)
    onboarding_tasks = JSONObject(help_text=LIMIT_HELP, **_OPTIONAL)
    inject_web_apps = serializers.BooleanField(**_OPTIONAL)
    extra_settings = JSONObject(help_text=LIMIT_HELP, **_OPTIONAL)
    modifiers = JSONObject(help_text=LIMIT_HELP, **_OPTIONAL)
    correlation_config = JSONObject(help_text=LIMIT_HELP, **_OPTIONAL)
    test_account_filters = PropertyFilters(
        required=False,
        help_text="Property filters of the types `event`, `person`, `group` and `cohort`; those without a type are "
        f"about persons. {LIMIT_HELP}",
    )
    test_account_filters_default_checked = serializers.BooleanField(**_OPTIONAL)
    path_cleaning_filters = PathRules(help_text=f"At most 50 rules. {LIMIT_HELP}", **_OPTIONAL)
    primary_dashboard = serializers.IntegerField(
        min_value=0,
        max_value=_MAX_INTEGER,
        help_text="There are no dashboards here, so only null is taken.",
        **_OPTIONAL,
    )
    default_data_theme = serializers.IntegerField(min_value=0, max_value=_MAX_INTEGER, **_OPTIONAL)
    human_friendly_comparison_periods = serializers.BooleanField(**_OPTIONAL)
    experiment_recalculation_time = TimeOfDay(**_OPTIONAL)
    web_analytics_pre_aggregated_tables_enabled = serializers.BooleanField(**_OPTIONAL)
    revenue_analytics_config = RevenueAnalytics(required=False, help_text=LIMIT_HELP)
    marketing_analytics_config = MarketingAnalytics(required=False, help_text=LIMIT_HELP)

    autocapture_opt_out = serializers.BooleanField(**_OPTIONAL)
    autocapture_exceptions_opt_in = serializers.BooleanField(**_OPTIONAL)
    autocapture_exceptions_errors_to_ignore = ErrorsToIgnore(
        help_text="A list of texts, less than 300 characters of JSON.", **_OPTIONAL
    )
    autocapture_web_vitals_opt_in = serializers.BooleanField(**_OPTIONAL)
    autocapture_web_vitals_allowed_metrics = TextList(longest=40, allow_null=True, help_text=_MOST)
    capture_console_log_opt_in = serializers.BooleanField(**_OPTIONAL)
    capture_performance_opt_in = serializers.BooleanField(**_OPTIONAL)
    capture_dead_clicks = serializers.BooleanField(**_OPTIONAL)
    heatmaps_opt_in = serializers.BooleanField(**_OPTIONAL)
    cookieless_server_hash_mode = serializers.ChoiceField(choices=HASH_MODES, **_OPTIONAL)

    session_recording_opt_in = serializers.BooleanField(required=False)
    session_recording_sample_rate = Share(help_text="From 0 to 1, with two decimals at most.", **_OPTIONAL)
    session_recording_minimum_duration_milliseconds = serializers.IntegerField(
        min_value=0, max_value=30_000, **_OPTIONAL
    )
    session_recording_linked_flag = LinkedFlag(**_OPTIONAL)
    session_recording_network_payload_capture_config = NetworkPayloadCapture(**_OPTIONAL)
    session_recording_masking_config = Masking(**_OPTIONAL)
    session_recording_url_trigger_config = JSONObjects(help_text=f"{_MOST} {LIMIT_HELP}", **_OPTIONAL)
    session_recording_url_blocklist_config = JSONObjects(help_text=f"{_MOST} {LIMIT_HELP}", **_OPTIONAL)
    session_recording_event_trigger_config = TextList(longest=400, allow_null=True, help_text=_MOST)
    session_recording_trigger_match_type_config = TriggerMatch(**_OPTIONAL)
    session_recording_retention_period = RetentionPeriod(required=False)
    session_replay_config = SessionReplay(
        help_text=f"Merged into what is stored, `ai_config` too; null clears it. {LIMIT_HELP}", **_OPTIONAL
    )

    surveys_opt_in = serializers.BooleanField(**_OPTIONAL)
    survey_config = JSONObject(help_text=f"Merged into what is stored; null clears it. {LIMIT_HELP}", **_OPTIONAL)
    flags_persistence_default = serializers.BooleanField(**_OPTIONAL)
    feature_flag_confirmation_enabled = serializers.BooleanField(**_OPTIONAL)
    feature_flag_confirmation_message = serializers.CharField(max_length=10_000, allow_blank=True, **_OPTIONAL)
    default_evaluation_environments_enabled = serializers.BooleanField(**_OPTIONAL)

    class Meta:
        """The component's name."""

        ref_name = "Project"

    def validate_app_urls(self, urls: list[str] | None) -> list[str]:
        """Store a list always: SDKs know no null here."""
        return urls or []


class GeneratingDemoDataSerializer(serializers.Serializer[Any]):
    """Whether demo data is on its way."""

    is_generating_demo_data = serializers.BooleanField(read_only=True)

    class Meta:
        """The component's name."""

        ref_name = "GeneratingDemoData"
