"""The words of refusals that clients know, and the rules that need more than one request."""

from typing import Any

import pytest

from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.core.projects.helpers import changes_of, path_of

REPLAY = "session_replay_config"
FLAG = "session_recording_linked_flag"
IGNORE = "autocapture_exceptions_errors_to_ignore"
AI_KEYS = "included_event_properties, opt_in, preferred_events, excluded_events, important_user_properties"
TOO_MANY = (
    f"Field {IGNORE} must be less than 300 characters. Complex config should be provided in posthog-js initialization."
)
KNOWN_FLAG = "Must provide a dictionary with only 'id' and 'key' keys. _or_ only 'id', 'key', and 'variant' keys."
WORDS: list[tuple[str, Any, str]] = [
    ("timezone", "q", '"q" is not a valid choice.'),
    ("week_start_day", 2, '"2" is not a valid choice.'),
    ("name", "", "This field may not be blank."),
    ("name", "x" * 201, "Ensure this field has no more than 200 characters."),
    ("primary_dashboard", 5, "Dashboard does not belong to this team."),
    ("session_recording_sample_rate", -1, "Ensure this value is greater than or equal to 0."),
    ("session_recording_sample_rate", 2, "Ensure this value is less than or equal to 1."),
    ("session_recording_sample_rate", 0.123, "Ensure that there are no more than 2 decimal places."),
    ("session_recording_sample_rate", "x", "A valid number is required."),
    ("session_recording_minimum_duration_milliseconds", "x", "A valid integer is required."),
    (FLAG, "x", "Must provide a dictionary or None."),
    (FLAG, {"id": 1}, KNOWN_FLAG),
    (
        "session_recording_network_payload_capture_config",
        {"x": 1},
        "Must provide a dictionary with only 'recordHeaders' and/or 'recordBody' keys.",
    ),
    (
        "session_recording_masking_config",
        {"x": 1},
        "Must provide a dictionary with only known keys: maskAllInputs, maskTextSelector, blockSelector.",
    ),
    ("session_recording_masking_config", {"maskAllInputs": 1}, "maskAllInputs must be a boolean."),
    ("session_recording_masking_config", {"maskTextSelector": 1}, "maskTextSelector must be a string."),
    ("session_recording_masking_config", {"blockSelector": 1}, "blockSelector must be a string."),
    (
        "session_recording_trigger_match_type_config",
        "q",
        "Must provide a valid trigger match type. Only 'all' or 'any' or None are allowed.",
    ),
    (
        "session_recording_retention_period",
        "q",
        "Must provide a valid retention period. Options are: 30d, 90d, 1y, 5y.",
    ),
    (
        REPLAY,
        {"x": 1},
        "Must provide a dictionary with only known keys. One or more of record_canvas, ai_config.",
    ),
    (
        REPLAY,
        {"ai_config": {"x": 1}},
        f"Must provide a dictionary with only allowed keys: {AI_KEYS}.",
    ),
    ("test_account_filters", [{"key": "a", "type": "hogql"}], "Unable to resolve field: a"),
    ("app_urls", "x", 'Expected a list of items but got type "str".'),
    ("extra_settings", [], 'Expected a dictionary of items but got type "list".'),
    ("anonymize_ips", "q", "Must be a valid boolean."),
]


@pytest.mark.parametrize("name", sorted({name for name, _, _ in WORDS}))
def test_refusals_have_the_words_that_clients_know(cast: Cast, name: str) -> None:
    for field, value, words in WORDS:
        if field == name:
            status, kind, _, detail, attr = problem(cast.as_owner()("PATCH", path_of(cast.team), {name: value}))
            # Of a list, the member that is wrong may be named.
            assert (status, kind, detail) == (400, "validation_error", words)
            assert attr in {name, f"{name}__0__key"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", f"Must provide a list for field: {IGNORE}."),
        ({}, f"Must provide a list for field: {IGNORE}."),
        ([1], f"Must provide a list of strings to field: {IGNORE}."),
        (["x" * 297], TOO_MANY),
    ],
)
def test_errors_to_ignore_are_refused_without_an_attr(cast: Cast, value: Any, words: str) -> None:
    response = cast.as_owner()("PATCH", path_of(cast.team), {IGNORE: value})
    assert problem(response) == (400, "validation_error", "invalid_input", words, None)
    assert cast.as_owner()("PATCH", path_of(cast.team), {IGNORE: ["x" * 296]}).status_code == 200


def test_access_control_takes_its_present_value_only(cast: Cast) -> None:
    caller = cast.as_owner()
    assert caller("PATCH", path_of(cast.team), {"access_control": False}).status_code == 200
    status, _, code, detail, attr = problem(caller("PATCH", path_of(cast.team), {"access_control": True}))
    assert (status, code, attr) == (400, "invalid_input", "access_control")
    assert "deprecated" in detail
    assert "https://posthog.com/docs/settings/access-control" in detail


def test_replay_settings_are_merged_one_level_down(cast: Cast) -> None:
    caller = cast.as_owner()
    for given, stored in [
        ({"record_canvas": True}, {"record_canvas": True}),
        ({"ai_config": {"opt_in": True}}, {"record_canvas": True, "ai_config": {"opt_in": True}}),
        (
            {"ai_config": {"preferred_events": ["a"]}},
            {"record_canvas": True, "ai_config": {"opt_in": True, "preferred_events": ["a"]}},
        ),
        (
            {"ai_config": {"preferred_events": ["b"]}, "record_canvas": False},
            {"record_canvas": False, "ai_config": {"opt_in": True, "preferred_events": ["b"]}},
        ),
        (None, None),
    ]:
        assert parsed(caller("PATCH", path_of(cast.team), {REPLAY: given}))[REPLAY] == stored


def test_survey_settings_are_merged_at_the_top_only(cast: Cast) -> None:
    caller = cast.as_owner()
    caller("PATCH", path_of(cast.team), {"survey_config": {"appearance": {"a": 1}, "x": 1}})
    answer = parsed(caller("PATCH", path_of(cast.team), {"survey_config": {"appearance": {"b": 2}}}))
    assert answer["survey_config"] == {"appearance": {"b": 2}, "x": 1}
    (scope, changes), _ = changes_of(cast)
    assert scope == "Team"
    assert changes == [
        {
            "type": "Team",
            "action": "changed",
            "field": "survey_config",
            "before": {"appearance": {"a": 1}, "x": 1},
            "after": {"appearance": {"b": 2}, "x": 1},
        }
    ]


def test_merging_never_grows_over_the_limit(cast: Cast) -> None:
    caller = cast.as_owner()
    assert caller("PATCH", path_of(cast.team), {"survey_config": {"a": "x" * 40_000}}).status_code == 200
    response = caller("PATCH", path_of(cast.team), {"survey_config": {"b": "x" * 40_000}})
    assert (problem(response)[2], problem(response)[4]) == ("max_length", "survey_config")


def test_urls_lose_their_empty_entries(cast: Cast) -> None:
    body = {name: [None, "https://a.example", "", "  "] for name in ("app_urls", "recording_domains")}
    answer = parsed(cast.as_owner()("PATCH", path_of(cast.team), body))
    assert answer["app_urls"] == answer["recording_domains"] == ["https://a.example"]
    assert parsed(cast.as_owner()("PATCH", path_of(cast.team), {"app_urls": None}))["app_urls"] == []


def test_put_without_a_currency_falls_back_and_patch_does_not(cast: Cast) -> None:
    caller = cast.as_owner()
    caller("PATCH", path_of(cast.team), {"base_currency": "EUR", "timezone": "Europe/Rome"})
    assert parsed(caller("PATCH", path_of(cast.team), {}))["base_currency"] == "EUR"
    answer = parsed(caller("PUT", path_of(cast.team), {"name": "Shop"}))
    assert (answer["base_currency"], answer["timezone"]) == ("USD", "Europe/Rome")


def test_decimals_are_text_everywhere(cast: Cast) -> None:
    for given, shown, logged in [
        (0.5, "0.50", "0.5"),
        ("0.250", "0.25", "0.25"),
        (1, "1.00", "1"),
        ("-0", "0.00", "0"),
    ]:
        body = {"session_recording_sample_rate": given}
        answer = parsed(cast.as_owner()("PATCH", path_of(cast.team), body))
        assert answer["session_recording_sample_rate"] == shown
        assert changes_of(cast)[0][1][0]["after"] == logged


def test_true_and_one_are_different_values(cast: Cast) -> None:
    caller = cast.as_owner()
    caller("PATCH", path_of(cast.team), {"extra_settings": {"a": [True]}})
    answer = parsed(caller("PATCH", path_of(cast.team), {"extra_settings": {"a": [1]}}))
    assert answer["extra_settings"]["a"][0] is not True
    assert len(changes_of(cast)) == 2


def test_unknown_and_read_only_fields_are_ignored(cast: Cast) -> None:
    body = {"id": "x", "api_token": "phc_mine", "uuid": 5, "nope": {}, "organization": None, "created_at": [],
            "group_types": 7, "secret_api_token": "phs_x", "is_generating_demo_data": True}  # fmt: skip
    answer = parsed(cast.as_owner()("PATCH", path_of(cast.team), body))
    assert answer["api_token"] == cast.team.api_token
    assert answer["secret_api_token"] is None
    assert changes_of(cast) == []


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5"])
def test_body_that_is_no_object_is_refused(cast: Cast, body: bytes) -> None:
    for method, path in (("PATCH", path_of(cast.team)), ("PUT", path_of(cast.team)), ("POST", "/api/projects/")):
        status, _, code, detail, attr = problem(cast.as_owner()(method, path, body))
        assert (status, code, attr) == (400, "invalid_input", None)
        assert detail.startswith("Invalid data. Expected a dictionary, but got ")


def test_empty_bodies_change_nothing(cast: Cast) -> None:
    for method in ("PATCH", "PUT"):
        assert cast.as_owner()(method, path_of(cast.team)).status_code == 200
    assert changes_of(cast) == []


def test_all_settings_together_have_a_limit(cast: Cast) -> None:
    names = ["correlation_config", "extra_settings", "has_completed_onboarding_for", "modifiers", "onboarding_tasks"]
    answers = [cast.as_owner()("PATCH", path_of(cast.team), {name: {"a": "x" * 60_000}}) for name in names]
    assert [answer.status_code for answer in answers] == [200] * 4 + [400]
    assert problem(answers[-1])[2:] == (
        "max_length",
        "The settings of a project may have 262144 bytes of JSON in all.",
        None,
    )
    assert parsed(cast.as_owner().get(path_of(cast.team)))["onboarding_tasks"] is None
    assert cast.as_owner()("PATCH", path_of(cast.team), {"modifiers": None, "onboarding_tasks": {}}).status_code == 200


def test_lists_show_the_settings_that_they_name(cast: Cast) -> None:
    body = {"completed_snippet_onboarding": True, "has_completed_onboarding_for": {"analytics": True}}
    cast.as_owner()("PATCH", path_of(cast.team), body)
    item = parsed(cast.as_owner().get("/api/projects/"))["results"][0]
    assert {name: item[name] for name in body} == body
