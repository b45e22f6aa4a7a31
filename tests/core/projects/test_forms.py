"""Form and multipart bodies: JSON as text, lists by repeating the key."""

from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.projects.serializers import ProjectSerializer
from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.core.projects.helpers import log_of, path_of

FORM = "application/x-www-form-urlencoded"
FIELDS = [
    ("name", "Form"),
    ("anonymize_ips", "true"),
    ("week_start_day", "1"),
    ("app_urls", "https://a.example"),
    ("app_urls", "https://b.example"),
    ("data_attributes", '["data-a", "data-b"]'),
    ("extra_settings", '{"a": [1, true]}'),
    ("path_cleaning_filters", '[{"alias": "<id>", "regex": "[0-9]+"}]'),
    ("session_recording_sample_rate", "0.5"),
    ("session_recording_minimum_duration_milliseconds", ""),
    ("revenue_analytics_config", '{"base_currency": "EUR"}'),
]
SHOWN = {
    "name": "Form",
    "anonymize_ips": True,
    "week_start_day": 1,
    "app_urls": ["https://a.example", "https://b.example"],
    "data_attributes": ["data-a", "data-b"],
    "extra_settings": {"a": [1, True]},
    "path_cleaning_filters": [{"alias": "<id>", "regex": "[0-9]+"}],
    "session_recording_sample_rate": "0.50",
    "session_recording_minimum_duration_milliseconds": None,
    "revenue_analytics_config": {"base_currency": "EUR", "events": [], "goals": [], "filter_test_accounts": False},
}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("brackets", ["", "[]"])
def test_form_bodies_have_every_kind_of_field(cast: Cast, method: str, brackets: str) -> None:
    fields = [(name + brackets if name == "app_urls" else name, value) for name, value in FIELDS]
    answer = parsed(cast.as_owner()(method, path_of(cast.team), urlencode(fields), content_type=FORM))
    assert "detail" not in answer, answer
    assert {name: answer[name] for name in SHOWN} == SHOWN


def test_multipart_bodies_have_every_kind_of_field(cast: Cast) -> None:
    fields: dict[str, list[str]] = {}
    for name, value in FIELDS:
        fields.setdefault("app_urls[]" if name == "app_urls" else name, []).append(value)
    body = encode_multipart(BOUNDARY, fields)
    answer = parsed(cast.as_owner()("POST", "/api/projects/", body, content_type=MULTIPART_CONTENT))
    assert {name: answer[name] for name in SHOWN} == SHOWN


def test_flags_that_a_form_leaves_out_stay_on(cast: Cast) -> None:
    cast.as_owner()("PATCH", path_of(cast.team), {"anonymize_ips": True, "app_urls": ["https://a.example"]})
    answer = parsed(cast.as_owner()("PUT", path_of(cast.team), "name=Other", content_type=FORM))
    assert (answer["name"], answer["anonymize_ips"]) == ("Other", True)
    assert answer["app_urls"] == ["https://a.example"]


def test_empty_texts_of_a_form_are_null_or_nothing(cast: Cast) -> None:
    writable = [name for name, field in ProjectSerializer().fields.items() if not field.read_only]
    body = urlencode([(name, "") for name in writable])
    answer = parsed(cast.as_owner()("PATCH", path_of(cast.team), body, content_type=FORM))
    assert answer["name"] == cast.team.name
    assert (answer["app_urls"], answer["data_attributes"], answer["live_events_columns"]) == ([], [], None)
    assert answer["capture_performance_opt_in"] is None


@pytest.mark.parametrize("name", ["extra_settings", "test_account_filters", "session_replay_config"])
@pytest.mark.parametrize("text", ["{", "nope", '{"a": 123456789012345678901234567890}x', '{"a": "\\ud800"}'])
def test_broken_json_in_a_form_is_refused(cast: Cast, name: str, text: str) -> None:
    response = cast.as_owner()("PATCH", path_of(cast.team), urlencode({name: text}), content_type=FORM)
    assert problem(response) == (400, "validation_error", "invalid_input", "Value must be valid JSON.", name)


def test_files_are_no_values(cast: Cast) -> None:
    writable = [name for name, field in ProjectSerializer().fields.items() if not field.read_only]
    for name in writable:
        body = encode_multipart(BOUNDARY, {name: SimpleUploadedFile("a.txt", b"x")})
        response = cast.as_owner()("PATCH", path_of(cast.team), body, content_type=MULTIPART_CONTENT)
        assert response.status_code == 400, name
    assert log_of(cast) == []
