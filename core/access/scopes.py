"""The grammar of scopes: `*` or `<object>:<read|write>`."""

from collections.abc import Iterable, Sequence

OBJECTS = frozenset(
    [
        "activity_log",
        "cohort",
        "feature_flag",
        "organization",
        "organization_member",
        "person",
        "persisted_folder",
        "plugin",
        "project",
        "query",
        "user",
        "action",
        "access_control",
        "account",
        "alert",
        "annotation",
        "approvals",
        "batch_export",
        "batch_import",
        "billing",
        "business_knowledge",
        "canvas",
        "comment",
        "conversation",
        "customer_analytics",
        "customer_journey",
        "customer_profile_config",
        "customer_task",
        "dashboard",
        "dashboard_template",
        "data_catalog",
        "data_catalog_approval",
        "dataset",
        "early_access_feature",
        "element",
        "endpoint",
        "engineering_analytics",
        "error_tracking",
        "evaluation",
        "event_definition",
        "event_filter",
        "experiment",
        "experiment_holdout",
        "experiment_saved_metric",
        "export",
        "external_data_schema",
        "external_data_source",
        "field_note",
        "file_system",
        "file_system_shortcut",
        "group",
        "health_issue",
        "heatmap",
        "hog_flow",
        "hog_function",
        "ingestion_warning",
        "insight",
        "insight_variable",
        "integration",
        "legal_document",
        "link",
        "live_debugger",
        "llm_analytics",
        "llm_gateway",
        "llm_playground",
        "llm_prompt",
        "llm_provider_key",
        "llm_skill",
        "logs",
        "loop",
        "marketing_analytics",
        "mcp_analytics",
        "metrics",
        "notebook",
        "organization_integration",
        "product_enablement",
        "product_tour",
        "property_definition",
        "query_performance",
        "replay_scanner",
        "revenue_analytics",
        "session_recording",
        "session_recording_playlist",
        "sharing_configuration",
        "signal_scout",
        "streamlit_app",
        "subscription",
        "survey",
        "tagger",
        "task",
        "ticket",
        "toolbar",
        "tracing",
        "uploaded_media",
        "usage_metric",
        "user_interview",
        "visual_review",
        "warehouse_objects",
        "warehouse_table",
        "warehouse_view",
        "web_analytics",
        "webhook",
        "wizard_session",
    ]
)
ACTIONS = frozenset({"read", "write"})
EVERYTHING = "*"


def is_scope(text: str) -> bool:
    """Whether a key may be given this scope."""
    name, colon, action = text.partition(":")
    return text == EVERYTHING or (bool(colon) and name in OBJECTS and action in ACTIONS)


def missing_scope(held: Sequence[str] | None, required: Iterable[str]) -> str | None:
    """Return the first required scope that is not granted; None as `held` is a legacy key with full access."""
    if held is None or EVERYTHING in held:
        return None
    for scope in required:
        if scope in held:
            continue
        name, _, action = scope.partition(":")
        if not (action == "read" and f"{name}:write" in held):
            return scope
    return None
