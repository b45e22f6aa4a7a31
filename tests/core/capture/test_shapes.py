from typing import Any

import pytest

from core.capture.refusals import Refusal
from core.capture.shapes import checked_token, read_event, read_submission

EVENT: dict[str, Any] = {"event": "x", "distinct_id": "u"}
UUID_TEXT = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


@pytest.mark.parametrize(
    "document",
    [
        {"api_key": "phc_x", "batch": [EVENT]},
        {"token": "phc_x", "batch": [EVENT]},
        {"api_key": "phc_x", "batch": [{**EVENT, "token": "phc_other"}]},
        {"batch": [{**EVENT, "token": "phc_x"}]},
        [{**EVENT, "token": "phc_x"}, {**EVENT, "api_key": " phc_x"[1:]}],
        [{**EVENT, "properties": {"token": "phc_x"}}],
        {**EVENT, "$token": "phc_x"},
        {**EVENT, "api_key": "  phc_x "},
    ],
)
def test_token_is_found_in_every_shape(document: Any) -> None:
    assert read_submission(document).token == "phc_x"


def test_token_beside_a_form_is_the_last_choice() -> None:
    assert read_submission([EVENT], form_token="phc_f").token == "phc_f"
    assert read_submission([{**EVENT, "token": "phc_x"}], form_token="phc_f").token == "phc_x"


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        ([], 400, "request holds no event"),
        ({"api_key": "phc_x", "batch": []}, 400, "request holds no event"),
        ({"api_key": "phc_x", "batch": {}}, 400, "failed to hydrate events from request: "),
        ({"api_key": "phc_x", "batch": [1]}, 400, "failed to hydrate events from request: "),
        (5, 400, "failed to hydrate events from request: "),
        (None, 400, "failed to hydrate events from request: "),
        (EVENT, 401, "event submitted without an api_key"),
        ([{**EVENT, "token": "a"}, {**EVENT, "token": "b"}], 401, "batch submitted with inconsistent api_key values"),
        (
            {"api_key": "x", "batch": [{"event": "$performance_event"}]},
            400,
            "payload empty after filtering invalid event types",
        ),
    ],
)
def test_wrong_shapes_are_refused(document: Any, status: int, text: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_submission(document)
    assert caught.value.status == status
    assert caught.value.detail.startswith(text)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x" * 65, "too_long"),
        ("phc_ü", "not_ascii"),
        ("phc\x00", "null_byte"),
        ("phc\ufffd", "null_byte"),
        ("phx_secret", "personal_api_key"),
        (5, "not_a_string"),
    ],
)
def test_impossible_tokens_are_refused(token: Any, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        checked_token(token)
    assert caught.value.status == 401
    assert caught.value.detail == f"API key is not valid: {reason}"


def test_performance_events_are_removed() -> None:
    document = {"api_key": "phc_x", "batch": [{"event": "$performance_event"}, EVENT]}
    assert read_submission(document).events == [EVENT]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"distinct_id": "a", "$distinct_id": "b"}, "a"),
        ({"$distinct_id": "b", "properties": {"distinct_id": "c"}}, "b"),
        ({"distinct_id": "", "properties": {"distinct_id": "c"}}, "c"),
        ({"distinct_id": None, "properties": {"distinct_id": "c"}}, "c"),
        ({"distinct_id": 23}, "23"),
        ({"distinct_id": 23.4}, "23.4"),
        ({"distinct_id": [1, "a"]}, '[1,"a"]'),
        ({"distinct_id": {"a": 1}}, '{"a":1}'),
        ({"distinct_id": "x" * 300}, "x" * 200),
    ],
)
def test_distinct_id_is_text(raw: dict[str, Any], expected: str) -> None:
    assert read_event({"event": "x", **raw}).distinct_id == expected


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"event": ""}, "event submitted with an empty event name"),
        ({"event": None}, "failed to hydrate events from request: "),
        ({"distinct_id": ""}, "event submitted without a distinct_id"),
        ({"distinct_id": "  \t"}, "event submitted without a distinct_id"),
        ({"uuid": "nope"}, "failed to hydrate events from request: "),
        ({"uuid": 5}, "failed to hydrate events from request: "),
        ({"properties": []}, "failed to hydrate events from request: "),
        ({"properties": {"$cookieless_mode": "yes"}}, "event submitted with invalid cookieless mode"),
    ],
)
def test_bad_events_are_refused(raw: dict[str, Any], text: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_event({**EVENT, **raw})
    assert caught.value.status == 400
    assert caught.value.detail.startswith(text)


def test_names_are_cut_and_made_text() -> None:
    assert read_event({**EVENT, "event": "n" * 300}).event == "n" * 200
    assert read_event({**EVENT, "event": {"a": 1}}).event == '{"a":1}'
    assert read_event({"distinct_id": "u"}, engage=True).event == "$identify"


def test_uuid_is_kept_or_made() -> None:
    assert str(read_event({**EVENT, "uuid": UUID_TEXT}).uuid) == UUID_TEXT
    for missing in ({}, {"uuid": ""}, {"uuid": None}):
        assert read_event({**EVENT, **missing}).uuid.version == 7


def test_null_properties_are_empty() -> None:
    assert read_event({**EVENT, "properties": None}).properties == {}
