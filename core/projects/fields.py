"""The fields of the Team object that have no column: their defaults, and how the whole object is put together."""

from decimal import Decimal
from typing import Any, Final

from core.tenancy.models import Level
from core.tenancy.queries import Row

DEFAULT_NAME: Final = "Default project"
MAX_JSON_BYTES: Final = 65_536
"""Of one field that is JSON."""
MAX_SETTINGS_BYTES: Final = 262_144
"""Of all fields without a column, those that were never changed left out: every browser's first request reads them."""
DEFAULTS: Final[dict[str, Any]] = {
    "access_control": False,
    "app_urls": [],
    "slack_incoming_webhook": None,
    "completed_snippet_onboarding": False,
    "test_account_filters": [],
    "test_account_filters_default_checked": None,
    "path_cleaning_filters": [],
    "data_attributes": ["data-attr"],
    "correlation_config": {},
    "autocapture_opt_out": None,
    "autocapture_exceptions_opt_in": None,
    "autocapture_exceptions_errors_to_ignore": None,
    "autocapture_web_vitals_opt_in": None,
    "autocapture_web_vitals_allowed_metrics": None,
    "capture_console_log_opt_in": True,
    "capture_performance_opt_in": True,
    "session_recording_opt_in": False,
    "session_recording_sample_rate": None,
    "session_recording_minimum_duration_milliseconds": None,
    "session_recording_linked_flag": None,
    "session_recording_network_payload_capture_config": None,
    "session_recording_masking_config": None,
    "session_recording_url_trigger_config": [],
    "session_recording_url_blocklist_config": [],
    "session_recording_event_trigger_config": [],
    "session_recording_trigger_match_type_config": None,
    "session_recording_retention_period": "30d",
    "session_replay_config": None,
    "survey_config": None,
    "surveys_opt_in": None,
    "primary_dashboard": None,
    "live_events_columns": None,
    "recording_domains": None,
    "inject_web_apps": None,
    "extra_settings": None,
    "has_completed_onboarding_for": None,
    "heatmaps_opt_in": None,
    "modifiers": None,
    "cookieless_server_hash_mode": 0,
    "human_friendly_comparison_periods": False,
    "flags_persistence_default": False,
    "feature_flag_confirmation_enabled": False,
    "feature_flag_confirmation_message": None,
    "default_evaluation_environments_enabled": False,
    "capture_dead_clicks": False,
    "default_data_theme": None,
    "revenue_analytics_config": {"base_currency": "USD", "events": [], "goals": [], "filter_test_accounts": False},
    "marketing_analytics_config": {
        "sources_map": {},
        "conversion_goals": [],
        "attribution_window_days": 90,
        "attribution_mode": "last_touch",
        "campaign_name_mappings": {},
    },
    "onboarding_tasks": None,
    "base_currency": "USD",
    "web_analytics_pre_aggregated_tables_enabled": False,
    "experiment_recalculation_time": None,
    "secret_api_token": None,
    "secret_api_token_backup": None,
}
_COLUMNS = (
    "id", "uuid", "organization", "api_token", "name", "created_at", "updated_at", "timezone", "week_start_day",
    "anonymize_ips", "ingested_event", "is_demo", "person_processing_opt_out", "person_display_name_properties",
    "product_description",
)  # fmt: skip


def team_object(row: Row, *, level: int | None) -> dict[str, Any]:
    """Return the full Team object as one member sees it."""
    settings = row["settings"] or {}
    group_types = row["group_types"] or []
    return {
        **{name: row[name] for name in _COLUMNS},
        **{name: settings.get(name, default) for name, default in DEFAULTS.items()},
        "session_recording_sample_rate": _two_decimals(settings.get("session_recording_sample_rate")),
        "project_id": row["id"],
        "effective_membership_level": level,
        "has_group_types": bool(group_types),
        "person_on_events_querying_enabled": True,
        "groups_on_events_querying_enabled": True,
        "default_modifiers": {"personsOnEventsMode": "person_id_override_properties_on_events"},
        "group_types": [
            {
                **group_type,
                "name_singular": None,
                "name_plural": None,
                "default_columns": None,
                "detail_dashboard": None,
            }
            for group_type in group_types
        ],
        "live_events_token": None,
        "product_intents": [],
        "managed_viewsets": {},
        "user_access_level": "admin" if (level or 0) >= Level.ADMIN else "member",
    }


def _two_decimals(share: object) -> str | None:
    return None if share is None else f"{Decimal(str(share)):.2f}"
