"""What is set over HTTP is what capture, remote config and the persons resource go by from the next request on."""

from typing import Any

import orjson
import pytest
from django.test import Client

from core.outbox.services import outbox_drain
from tests.core.capture.helpers import post, rows
from tests.core.conftest import Cast
from tests.core.http import parsed
from tests.core.projects.helpers import path_of


def change(cast: Cast, **body: Any) -> None:
    assert cast.as_owner()("PATCH", path_of(cast.team), body).status_code == 200


def remote_config(cast: Cast) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(Client().get(f"/array/{cast.team.api_token}/config").content)
    return found


def capture(cast: Cast, **event: Any) -> None:
    body = {"api_key": cast.team.api_token, "event": "a", "distinct_id": "p", **event}
    assert post("/i/v0/e/", body).status_code == 200


def persons(cast: Cast, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed(
        cast.as_owner().get(f"/api/projects/{cast.team.pk}/persons/", query_params=query)
    )["results"]
    return found


def test_recording_is_on_when_the_project_says_so(cast: Cast) -> None:
    assert remote_config(cast)["sessionRecording"] is False
    change(
        cast,
        session_recording_opt_in=True,
        session_recording_sample_rate=0.5,
        session_recording_minimum_duration_milliseconds=2000,
        session_recording_linked_flag={"id": 1, "key": "flag", "variant": "test"},
        session_recording_network_payload_capture_config={"recordBody": True},
        session_recording_masking_config={"maskAllInputs": True},
        session_recording_url_trigger_config=[{"url": "/a", "matching": "regex"}],
        session_recording_url_blocklist_config=[{"url": "/b", "matching": "regex"}],
        session_recording_event_trigger_config=["paid"],
        session_recording_trigger_match_type_config="any",
        capture_console_log_opt_in=False,
    )
    assert remote_config(cast)["sessionRecording"] == {
        "endpoint": "/s/",
        "consoleLogRecordingEnabled": False,
        "recorderVersion": "v2",
        "sampleRate": "0.5",
        "minimumDurationMilliseconds": 2000,
        "linkedFlag": {"flag": "flag", "variant": "test"},
        "networkPayloadCapture": {"recordBody": True},
        "masking": {"maskAllInputs": True},
        "urlTriggers": [{"url": "/a", "matching": "regex"}],
        "urlBlocklist": [{"url": "/b", "matching": "regex"}],
        "eventTriggers": ["paid"],
        "triggerMatchType": "any",
        "scriptConfig": None,
    }
    change(cast, session_recording_sample_rate="1.0", session_recording_linked_flag={"id": 1, "key": "flag"})
    found = remote_config(cast)["sessionRecording"]
    assert (found["sampleRate"], found["linkedFlag"]) == (None, "flag")
    change(cast, session_recording_opt_in=False)
    assert remote_config(cast)["sessionRecording"] is False


def test_remote_config_follows_the_other_settings(cast: Cast) -> None:
    names = ("autocapture_opt_out", "autocaptureExceptions", "captureDeadClicks", "capturePerformance")
    before = remote_config(cast)
    vitals_off = {"network_timing": True, "web_vitals": False, "web_vitals_allowed_metrics": None}
    assert [before[name] for name in names] == [False, False, False, vitals_off]
    change(
        cast,
        autocapture_opt_out=True,
        autocapture_exceptions_opt_in=True,
        capture_dead_clicks=True,
        autocapture_web_vitals_opt_in=True,
        autocapture_web_vitals_allowed_metrics=["LCP"],
        capture_performance_opt_in=None,
    )
    after = remote_config(cast)
    vitals_on = {"network_timing": False, "web_vitals": True, "web_vitals_allowed_metrics": ["LCP"]}
    assert [after[name] for name in names] == [True, True, True, vitals_on]
    change(cast, autocapture_web_vitals_opt_in=False)
    assert remote_config(cast)["capturePerformance"] is False
    body = {"token": cast.team.api_token, "distinct_id": "p"}
    assert orjson.loads(post("/flags/?v=2&config=true", body).content)["autocapture_opt_out"] is True
    assert orjson.loads(post("/decide/?v=3", body).content)["autocapture_opt_out"] is True


def test_addresses_are_dropped_when_the_project_says_so(cast: Cast) -> None:
    capture(cast)
    change(cast, anonymize_ips=True)
    capture(cast)
    first, second = (orjson.loads(row["properties"]) for row in rows("events"))
    assert first["$ip"] == "127.0.0.1"
    assert "$ip" not in second


def test_persons_are_no_longer_made_after_the_opt_out(cast: Cast) -> None:
    capture(cast, distinct_id="before", properties={"$set": {"a": 1}})
    change(cast, person_processing_opt_out=True)
    capture(cast, distinct_id="after", properties={"$set": {"a": 1}})
    assert [person["distinct_ids"] for person in persons(cast)] == [["before"]]


def test_names_of_persons_follow_the_display_properties(cast: Cast) -> None:
    capture(cast, properties={"$set": {"email": "a@example.org", "nick": "Ann"}})
    assert [person["name"] for person in persons(cast)] == ["a@example.org"]
    change(cast, person_display_name_properties=["nick", "email"])
    assert [person["name"] for person in persons(cast)] == ["Ann"]
    change(cast, person_display_name_properties=None)
    assert [person["name"] for person in persons(cast)] == ["a@example.org"]


def test_paths_are_cleaned_by_the_rules_of_the_project(cast: Cast) -> None:
    capture(cast, properties={"$set": {"page": "/orders/12"}})
    wanted = orjson.dumps([{"key": "page", "operator": "is_cleaned_path_exact", "value": "/orders/34"}]).decode()
    assert persons(cast, properties=wanted) == []
    change(cast, path_cleaning_filters=[{"alias": "<id>", "regex": "[0-9]+"}])
    assert len(persons(cast, properties=wanted)) == 1


@pytest.mark.usefixtures("clickhouse")
def test_filters_of_test_accounts_name_cohorts_of_the_project_only(cast: Cast) -> None:
    made = parsed(
        cast.as_owner()("POST", f"/api/projects/{cast.team.pk}/cohorts/", {"name": "Staff", "is_static": True})
    )
    body = {"test_account_filters": [{"key": "id", "type": "cohort", "operator": "not_in", "value": made["id"]}]}
    assert cast.as_owner()("PATCH", path_of(cast.team), body).status_code == 200
    assert cast.as_owner()("PATCH", path_of(cast.other_team), body).status_code == 400
    path = f"/api/projects/{cast.team.pk}/cohorts/{made['id']}/"
    assert cast.as_owner()("DELETE", path).status_code == 204
    whole = parsed(cast.as_owner().get(path_of(cast.team)))
    assert cast.as_owner()("PUT", path_of(cast.team), whole).status_code == 200
    outbox_drain()
