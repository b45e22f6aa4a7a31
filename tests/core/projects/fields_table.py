"""For every writable field: values that are taken, and values that are not, with code and attr of the refusal."""

from typing import Any

LONG = "x" * 20_000
BIG: dict[str, Any] = {"text": "x" * 70_000}
INPUT, NULL, BLANK = "invalid_input", "null", "blank"
BOOLEANS = """access_control anonymize_ips completed_snippet_onboarding is_demo person_processing_opt_out
    session_recording_opt_in""".split()  # noqa: SIM905
OPTIONAL_BOOLEANS = """autocapture_exceptions_opt_in autocapture_opt_out autocapture_web_vitals_opt_in
    capture_console_log_opt_in capture_dead_clicks capture_performance_opt_in default_evaluation_environments_enabled
    feature_flag_confirmation_enabled flags_persistence_default heatmaps_opt_in human_friendly_comparison_periods
    inject_web_apps surveys_opt_in test_account_filters_default_checked
    web_analytics_pre_aggregated_tables_enabled""".split()  # noqa: SIM905
OBJECTS = "correlation_config extra_settings has_completed_onboarding_for modifiers onboarding_tasks".split()  # noqa: SIM905
TEXT_LISTS = {"person_display_name_properties": 400, "live_events_columns": 400, "data_attributes": 200,
              "autocapture_web_vitals_allowed_metrics": 40, "session_recording_event_trigger_config": 400}  # fmt: skip
URL_LISTS = ["app_urls", "recording_domains"]
OBJECT_LISTS = ["session_recording_url_trigger_config", "session_recording_url_blocklist_config"]
FILTERS = [
    {"key": "email", "type": "person", "operator": "not_icontains", "value": "@example.org"},
    {"key": "$host", "type": "event", "operator": "is_not", "value": ["localhost:8000"]},
    {"key": "plan", "type": "group", "group_type_index": 0, "operator": "exact", "value": ["free"]},
]

TAKEN: dict[str, list[Any]] = {
    **{name: [True, False] for name in BOOLEANS if name != "access_control"},
    "access_control": [False],
    **{name: [True, False, None] for name in OPTIONAL_BOOLEANS},
    **{name: [{"a": {"b": [1, None, "é"]}}, {}, None] for name in OBJECTS},
    **{name: [["one", "two"], [], None] for name in TEXT_LISTS if name != "data_attributes"},
    "data_attributes": [["data-id"], []],
    "app_urls": [["https://*.example.org"], []],
    "recording_domains": [["https://example.org"], [], None],
    **{name: [[{"url": "/a", "matching": "regex"}], [], None] for name in OBJECT_LISTS},
    "name": ["Käse & Co", "x" * 200],
    "product_description": ["A shop.", "", None],
    "timezone": ["Europe/Berlin", "US/Pacific", "UTC"],
    "week_start_day": [0, 1, None],
    "slack_incoming_webhook": ["https://hooks.example.org/x", None],
    "base_currency": ["EUR", "USD"],
    "test_account_filters": [FILTERS, {"type": "OR", "values": FILTERS}, []],
    "path_cleaning_filters": [[{"alias": "<id>", "regex": r"\d+"}], [], None],
    "primary_dashboard": [None],
    "default_data_theme": [1, None],
    "experiment_recalculation_time": ["13:45:00", None],
    "revenue_analytics_config": [
        {"base_currency": "EUR", "events": [{"eventName": "paid"}], "goals": [], "filter_test_accounts": True}
    ],
    "marketing_analytics_config": [
        {
            "sources_map": {"a": {}},
            "conversion_goals": [{"name": "paid"}],
            "attribution_window_days": 30,
            "attribution_mode": "first_touch",
            "campaign_name_mappings": {},
        }
    ],
    "autocapture_exceptions_errors_to_ignore": [["ResizeObserver loop"], [], None],
    "cookieless_server_hash_mode": [0, 1, 2, None],
    "session_recording_sample_rate": ["0.25", "1.00", "0.00", None],
    "session_recording_minimum_duration_milliseconds": [0, 30_000, None],
    "session_recording_linked_flag": [{"id": 1, "key": "a"}, {"id": 1, "key": "a", "variant": "b"}, None],
    "session_recording_network_payload_capture_config": [{"recordHeaders": True, "recordBody": False}, {}, None],
    "session_recording_masking_config": [
        {"maskAllInputs": True, "maskTextSelector": "*", "blockSelector": ".secret"},
        {},
        None,
    ],
    "session_recording_trigger_match_type_config": ["all", "any", None],
    "session_recording_retention_period": ["90d", "1y", "5y", "30d"],
    "session_replay_config": [
        {
            "record_canvas": True,
            "ai_config": {
                "included_event_properties": ["a"],
                "opt_in": True,
                "preferred_events": [],
                "excluded_events": [],
                "important_user_properties": [],
            },
        },
        None,
    ],
    "survey_config": [{"appearance": {"theme": "dark"}}, None],
    "feature_flag_confirmation_message": ["Sure?", "", None],
}

_NO_BOOLEAN = [("maybe", INPUT, ""), (7, INPUT, ""), ([], INPUT, ""), ({}, INPUT, "")]
_NO_OBJECT = [
    ("text", "not_a_dict", ""), (["x"], "not_a_dict", ""), (5, "not_a_dict", ""), (True, "not_a_dict", ""),
    (BIG, "max_length", ""), ({"a": "\x00"}, "null_characters_not_allowed", ""),
    ({"\x00": 1}, "null_characters_not_allowed", ""),
]  # fmt: skip
_NO_LIST = [("text", "not_a_list", ""), ({"a": 1}, "not_a_list", ""), (5, "not_a_list", ""), (True, "not_a_list", "")]
_NO_TEXT = [([], INPUT, ""), ({}, INPUT, ""), (True, INPUT, ""), ("a\x00b", "null_characters_not_allowed", "")]
_NO_CHOICE = [("q", "invalid_choice", ""), (99, "invalid_choice", ""), ([], "invalid_choice", "")]
_NO_INTEGER = [
    ("x", INPUT, ""), ([1], INPUT, ""), ({}, INPUT, ""), (True, INPUT, ""), (1.5, INPUT, ""), (-1, "min_value", ""),
    (10**18, "max_value", ""), ("9" * 1001, "max_string_length", ""),
]  # fmt: skip
_WORDS = [("x", INPUT, ""), (5, INPUT, ""), (["x"], INPUT, ""), ({"unknown": 1}, INPUT, "")]


def _texts(longest: int) -> list[tuple[Any, str, str]]:
    return [
        *_NO_LIST,
        (["ok", "x" * (longest + 1)], "max_length", "__1"),
        ([["x"]], INPUT, "__0"),
        (["\x00"], "null_characters_not_allowed", "__0"),
        (["x"] * 301, "max_length", ""),
    ]


REFUSED: dict[str, list[tuple[Any, str, str]]] = {
    **{name: [*_NO_BOOLEAN, (None, NULL, "")] for name in BOOLEANS},
    **dict.fromkeys(OPTIONAL_BOOLEANS, _NO_BOOLEAN),
    **dict.fromkeys(OBJECTS, _NO_OBJECT),
    **{name: [*_texts(longest), ([None], NULL, "__0"), ([""], BLANK, "__0")] for name, longest in TEXT_LISTS.items()},
    **{name: _texts(200) for name in URL_LISTS},
    **{
        name: [*_NO_LIST, (["x"], "not_a_dict", "__0"), ([BIG], "max_length", ""), ([{}] * 301, "max_length", "")]
        for name in OBJECT_LISTS
    },
    "name": [*_NO_TEXT, (None, NULL, ""), ("", BLANK, ""), ("   ", BLANK, ""), ("x" * 201, "max_length", "")],
    "product_description": [*_NO_TEXT, ("x" * 1001, "max_length", "")],
    "timezone": [("Mars/Base", "invalid_choice", ""), (5, "invalid_choice", ""), ([], "invalid_choice", ""),
                 ("", "invalid_choice", ""), (None, NULL, ""), (LONG, "invalid_choice", ""),
                 ("../UTC", "invalid_choice", "")],
    "week_start_day": [*_NO_CHOICE, (2, "invalid_choice", "")],
    "slack_incoming_webhook": [*_NO_TEXT, ("x" * 501, "max_length", "")],
    "base_currency": [*_NO_CHOICE, ("usd", "invalid_choice", ""), (None, NULL, "")],
    "test_account_filters": [("text", INPUT, ""), (5, INPUT, ""), (None, NULL, ""), (["x"], INPUT, ""),
                             ([{"key": "a", "operator": "nope", "value": 1}], INPUT, ""),
                             ([{"key": "a", "type": "hogql", "value": "1"}], INPUT, "__0__key"),
                             ([{"key": "a", "type": "session", "value": "1"}], INPUT, ""),
                             ([{"key": "a", "operator": "regex", "value": "("}], INPUT, ""),
                             ([{"key": "id", "type": "cohort", "value": 999999}], INPUT, ""),
                             ([BIG], "max_length", "")],
    "path_cleaning_filters": [*_NO_LIST, (["x"], "not_a_dict", "__0"),
                              ([{"regex": "a"}], "required", "__0__alias"),
                              ([{"alias": "a"}], "required", "__0__regex"),
                              ([{"alias": 1, "regex": "a"}], INPUT, "__0__alias"),
                              ([{"alias": "a", "regex": "("}], INPUT, "__0__regex"),
                              ([{"alias": "a", "regex": "(?=b)"}], INPUT, "__0__regex"),
                              ([{"alias": "a", "regex": "b"}] * 51, "max_length", "")],
    "primary_dashboard": [*_NO_INTEGER, (12, INPUT, "")],
    "default_data_theme": _NO_INTEGER,
    "experiment_recalculation_time": [("noon", INPUT, ""), (5, INPUT, ""), ([], INPUT, ""), ("25:00:00", INPUT, "")],
    "revenue_analytics_config": [*_NO_OBJECT, (None, NULL, ""),
                                 ({"base_currency": "q"}, "invalid_choice", "__base_currency"),
                                 ({"events": ["x"]}, "not_a_dict", "__events__0"),
                                 ({"filter_test_accounts": "maybe"}, INPUT, "__filter_test_accounts")],
    "marketing_analytics_config": [*_NO_OBJECT, (None, NULL, ""),
                                   ({"attribution_window_days": 0}, "min_value", "__attribution_window_days"),
                                   ({"attribution_window_days": 91}, "max_value", "__attribution_window_days"),
                                   ({"attribution_mode": "q"}, "invalid_choice", "__attribution_mode"),
                                   ({"sources_map": []}, "not_a_dict", "__sources_map")],
    "autocapture_exceptions_errors_to_ignore": [],
    "cookieless_server_hash_mode": _NO_CHOICE,
    "session_recording_sample_rate": [("x", INPUT, ""), ([], INPUT, ""), (True, INPUT, ""), ("NaN", INPUT, ""),
                                      (-0.1, "min_value", ""), (1.01, "max_value", ""), ("1E+400", "max_value", ""),
                                      (0.123, "max_decimal_places", ""), ("0.12345", "max_decimal_places", "")],
    "session_recording_minimum_duration_milliseconds": [*_NO_INTEGER, (30_001, "max_value", "")],
    "session_recording_linked_flag": [*_WORDS, ({"id": 1}, INPUT, ""), ({"id": 1, "key": []}, INPUT, ""),
                                      ({"id": "x", "key": "a"}, INPUT, ""),
                                      ({"id": 1, "key": "a", "variant": 1}, INPUT, ""),
                                      ({"id": 1, "key": "a", "x": 1}, INPUT, ""),
                                      ({"id": 1, "key": "x" * 70_000}, "max_length", "")],
    "session_recording_network_payload_capture_config": [*_WORDS, ({"recordBody": "yes"}, INPUT, "")],
    "session_recording_masking_config": [*_WORDS, ({"maskAllInputs": 1}, INPUT, ""), ({"blockSelector": 1}, INPUT, "")],
    "session_recording_trigger_match_type_config": [("q", INPUT, ""), (1, INPUT, ""), ([], INPUT, ""), ("", INPUT, "")],
    "session_recording_retention_period": [("2d", INPUT, ""), (30, INPUT, ""), ({}, INPUT, ""), (None, NULL, "")],
    "session_replay_config": [*_WORDS, ({"record_canvas": 1}, INPUT, ""), ({"ai_config": 1}, INPUT, ""),
                              ({"ai_config": {"x": 1}}, INPUT, ""), ({"ai_config": {"opt_in": 1}}, INPUT, ""),
                              ({"ai_config": {"excluded_events": [1]}}, INPUT, "")],
    "survey_config": _NO_OBJECT,
    "feature_flag_confirmation_message": [*_NO_TEXT, (LONG, "max_length", "")],
}  # fmt: skip
