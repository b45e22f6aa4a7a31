"""Changing projects: under every prefix, by whom, with which entries; tokens; deletion."""

import pytest
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.tenancy.models import Team
from tests.core.capture.helpers import post
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.projects.helpers import PREFIXES, changes_of, log_of, path_of, whole
from tests.factories import make_key, make_user

PROJECT_LEVEL = "You don't have sufficient permissions in the project."
MISSING = (404, "invalid_request", "not_found", "Not found.", None)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_members_change_projects_under_every_prefix(cast: Cast, prefix: str, method: str) -> None:
    answer = parsed(cast.as_member()(method, path_of(cast.team, prefix), {"name": "Renamed", "week_start_day": 1}))
    assert (answer["name"], answer["week_start_day"]) == ("Renamed", 1)
    assert answer["effective_membership_level"] == 1
    assert parsed(cast.as_member().get("/api/projects/"))["results"][0]["name"] == "Renamed"
    assert parsed(cast.as_member()(method, f"{prefix}/@current/", {"name": "Again"}))["id"] == cast.team.pk


@pytest.mark.parametrize("number", ["1e20", "-1e19", "18446744073709551616", "1e308", "-9223372036854775809"])
def test_numbers_beyond_64_bits_do_no_harm(cast: Cast, number: str) -> None:
    path = path_of(cast.team)
    for field, value in (("extra_settings", '{"a": %s}'), ("session_recording_url_trigger_config", '[{"n": %s}]')):
        body = f'{{"{field}": {value % number}, "session_recording_opt_in": true}}'
        assert cast.as_owner()("PATCH", path, body.encode()).status_code == 200
    stored = whole(cast)
    assert stored["extra_settings"]["a"] == pytest.approx(float(number))
    assert cast.as_owner()("PUT", path, {**stored, "name": "Renamed"}).status_code == 200
    assert whole(cast)["extra_settings"] == stored["extra_settings"]
    assert cast.as_owner().get(f"{path}activity/").status_code == 200
    assert Caller().get(f"/array/{cast.team.api_token}/config").status_code == 200


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_change_needs_project_write(cast: Cast, prefix: str) -> None:
    reader = Caller(make_key(cast.owner, scopes=["project:read"]))
    for method, suffix in (("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "reset_token/")):
        response = reader(method, path_of(cast.team, prefix) + suffix, {"anonymize_ips": True})
        assert problem(response)[0::3] == (403, "API key missing required scope 'project:write'")
    assert reader.get(f"{path_of(cast.team, prefix)}is_generating_demo_data/").status_code == 200
    response = reader.get(f"{path_of(cast.team, prefix)}activity/")
    assert problem(response)[3] == "API key missing required scope 'activity_log:read'"
    logger = Caller(make_key(cast.owner, scopes=["activity_log:read"]))
    assert logger.get(f"{path_of(cast.team, prefix)}activity/").status_code == 200
    assert whole(cast)["anonymize_ips"] is False


@pytest.mark.parametrize("prefix", ["/api/projects", "/api/environments"])
def test_strangers_find_nothing_whatever_they_do(cast: Cast, prefix: str) -> None:
    path = path_of(cast.team, prefix)
    for method, suffix in [("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("GET", "activity/"),
                           ("GET", "is_generating_demo_data/"), ("PATCH", "reset_token/")]:  # fmt: skip
        body = None if method == "GET" else {"name": "Taken"}
        assert problem(cast.as_stranger()(method, path + suffix, body)) == MISSING
    assert Team.objects.get(pk=cast.team.pk).api_token == cast.team.api_token
    assert whole(cast)["name"] == "Shop"


def test_name_and_description_are_logged_apart_from_the_rest(cast: Cast) -> None:
    body = {"name": "New", "product_description": "Text", "anonymize_ips": True, "app_urls": ["https://a.example"]}
    cast.as_owner()("PATCH", path_of(cast.team), body)
    logged = dict(changes_of(cast))
    assert {change["field"]: (change["action"], change["before"], change["after"]) for change in logged["Project"]} == {
        "name": ("changed", "Shop", "New"),
        "product_description": ("created", None, "Text"),
    }
    assert {change["field"]: (change["action"], change["before"], change["after"]) for change in logged["Team"]} == {
        "anonymize_ips": ("changed", False, True),
        "app_urls": ("changed", [], ["https://a.example"]),
    }
    assert {entry["detail"]["name"] for entry in log_of(cast)} == {"New"}
    assert {entry["item_id"] for entry in log_of(cast)} == {str(cast.team.pk)}


def test_address_of_a_webhook_is_never_logged(cast: Cast) -> None:
    for value in ("https://hooks.example.org/secret-one", "https://hooks.example.org/secret-two", None):
        cast.as_owner()("PATCH", path_of(cast.team), {"slack_incoming_webhook": value})
    entries = list(ActivityLog.objects.values_list("detail", flat=True))
    assert len(entries) == 3
    assert "secret" not in str(entries)
    assert [changes[0]["action"] for _, changes in changes_of(cast)] == ["deleted", "changed", "created"]


def test_activity_is_newest_first_in_pages_and_of_this_project_alone(cast: Cast) -> None:
    for number in range(6):
        cast.as_owner()("PATCH", path_of(cast.team), {"name": f"N{number}", "anonymize_ips": number % 2 == 0})
    cast.as_owner()("PATCH", path_of(cast.other_team), {"name": "Other"})
    log = log_of(cast)
    assert len(log) == 12
    assert [entry["created_at"] for entry in log] == sorted((entry["created_at"] for entry in log), reverse=True)
    page = parsed(cast.as_owner().get(f"{path_of(cast.team)}activity/?limit=5&page=2"))
    assert [entry["id"] for entry in page["results"]] == [entry["id"] for entry in log[5:10]]
    assert page["total_count"] == 12
    assert page["next"]
    assert page["previous"]
    assert cast.as_owner().get(f"{path_of(cast.team)}activity/?limit=5&page=4").status_code == 404
    assert problem(cast.as_owner().get(f"{path_of(cast.team)}activity/?page=x"))[4] == "page"


def test_reads_and_changes_take_a_fixed_number_of_statements(cast: Cast) -> None:
    from django.db import connection

    caller, counts = cast.as_owner(), []
    for number in range(3):
        with CaptureQueriesContext(connection) as queries:
            caller("PATCH", path_of(cast.team), {"name": f"N{number}", "anonymize_ips": number % 2 == 0})
            caller.get(f"{path_of(cast.team)}activity/")
        counts.append(len(queries))
    assert counts[1] == counts[2] <= 16


@pytest.mark.parametrize("prefix", PREFIXES)
def test_old_token_is_refused_by_capture_at_once(cast: Cast, prefix: str) -> None:
    old = cast.team.api_token
    event = {"event": "a", "distinct_id": "p"}
    assert post("/i/v0/e/", {"api_key": old, **event}).status_code == 200
    answer = parsed(cast.as_owner()("PATCH", f"{path_of(cast.team, prefix)}reset_token/", {"api_token": "phc_mine"}))
    new = answer["api_token"]
    assert new not in {old, "phc_mine"}
    assert new.startswith("phc_")
    assert answer == whole(cast)
    assert post("/i/v0/e/", {"api_key": old, **event}).status_code == 401
    assert post("/i/v0/e/", {"api_key": new, **event}).status_code == 200
    (entry,) = log_of(cast)
    assert (entry["scope"], entry["activity"]) == ("Team", "updated")
    change = {"type": "Team", "action": "changed", "field": "api_token", "before": old, "after": new}
    assert entry["detail"]["changes"] == [change]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_members_neither_reset_tokens_nor_delete(cast: Cast, prefix: str) -> None:
    for method, suffix in (("PATCH", "reset_token/"), ("DELETE", "")):
        response = cast.as_member()(method, path_of(cast.team, prefix) + suffix, {})
        assert problem(response)[0::3] == (403, PROJECT_LEVEL)
    assert whole(cast)["api_token"] == cast.team.api_token
    assert log_of(cast) == []


@pytest.mark.parametrize("prefix", PREFIXES)
def test_deleted_project_is_gone_under_every_prefix(cast: Cast, prefix: str) -> None:
    admin = Caller(make_key(make_user(cast.organization, level=8, team=cast.team)))
    response = admin("DELETE", path_of(cast.team, prefix))
    assert (response.status_code, response.content) == (204, b"")
    for found in PREFIXES:
        for suffix in ("", "activity/", "is_generating_demo_data/"):
            assert problem(cast.as_owner().get(path_of(cast.team, found) + suffix)) == MISSING
        for method, suffix in (("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "reset_token/")):
            assert problem(cast.as_owner()(method, path_of(cast.team, found) + suffix, {})) == MISSING
    assert post("/i/v0/e/", {"api_key": cast.team.api_token, "event": "a", "distinct_id": "p"}).status_code == 401
    assert parsed(cast.as_owner().get("/api/projects/@current/"))["id"] == cast.other_team.pk
    logged = ActivityLog.objects.filter(team_id=cast.team.pk, activity="deleted").values_list("scope", flat=True)
    assert sorted(logged) == ["Project", "Team"]


def test_last_project_may_go(cast: Cast) -> None:
    for team in (cast.team, cast.other_team):
        assert cast.as_owner()("DELETE", path_of(team)).status_code == 204
    assert parsed(cast.as_owner().get("/api/projects/"))["results"] == []
    assert problem(cast.as_owner().get("/api/projects/@current/")) == MISSING
    assert cast.as_owner().get("/api/users/@me/").status_code == 200
    assert cast.as_owner()("POST", "/api/projects/", {}).status_code == 201
