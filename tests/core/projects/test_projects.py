import pytest

from tests.core.conftest import Cast
from tests.core.http import parsed
from tests.factories import make_team

SHORT = set(
    """id uuid organization project_id api_token name completed_snippet_onboarding has_completed_onboarding_for
    ingested_event is_demo timezone access_control created_at effective_membership_level""".split()  # noqa: SIM905
)
# The 44 fields of the published Team object.
PUBLISHED = set(
    """id uuid organization api_token name created_at updated_at ingested_event access_control
    effective_membership_level has_group_types person_on_events_querying_enabled groups_on_events_querying_enabled
    app_urls slack_incoming_webhook anonymize_ips completed_snippet_onboarding test_account_filters
    test_account_filters_default_checked path_cleaning_filters is_demo timezone data_attributes
    person_display_name_properties correlation_config autocapture_opt_out autocapture_exceptions_opt_in
    autocapture_exceptions_errors_to_ignore capture_console_log_opt_in capture_performance_opt_in
    session_recording_opt_in session_recording_sample_rate session_recording_minimum_duration_milliseconds
    session_recording_linked_flag session_recording_network_payload_capture_config session_replay_config
    week_start_day primary_dashboard live_events_columns recording_domains inject_web_apps extra_settings
    has_completed_onboarding_for surveys_opt_in""".split()  # noqa: SIM905
)
NEWER = {"project_id", "heatmaps_opt_in", "modifiers", "default_modifiers", "group_types", "product_intents"}


@pytest.mark.parametrize("path", ["/api/projects", "/api/environments/", "/api/organizations/@current/projects/"])
def test_list_shows_the_projects_of_the_current_organization(cast: Cast, path: str) -> None:
    body = parsed(cast.as_member().get(path))
    assert set(body) == {"count", "next", "previous", "results"}
    assert [item["id"] for item in body["results"]] == [cast.team.pk, cast.other_team.pk]
    assert set(body["results"][0]) == SHORT
    assert body["results"][0]["effective_membership_level"] == 1


@pytest.mark.parametrize("path", ["projects", "environments", "organizations/@current/projects"])
@pytest.mark.parametrize("name", ["{}", "@current"])
def test_retrieve_shows_every_published_field(cast: Cast, path: str, name: str) -> None:
    body = parsed(cast.as_owner().get(f"/api/{path}/{name.format(cast.team.pk)}/"))
    assert PUBLISHED - set(body) == set()
    assert NEWER - set(body) == set()
    assert body["id"] == body["project_id"] == cast.team.pk
    assert body["api_token"] == cast.team.api_token
    assert body["effective_membership_level"] == 15
    assert body["groups_on_events_querying_enabled"] is True
    assert body["has_group_types"] is False


def test_stored_settings_replace_the_defaults(cast: Cast) -> None:
    cast.team.settings = {"app_urls": ["https://example.org"], "surveys_opt_in": True}
    cast.team.person_display_name_properties = ["email"]
    cast.team.save()
    body = parsed(cast.as_owner().get(f"/api/projects/{cast.team.pk}/"))
    assert body["app_urls"] == ["https://example.org"]
    assert body["surveys_opt_in"] is True
    assert body["capture_console_log_opt_in"] is True
    assert body["person_display_name_properties"] == ["email"]


def test_environments_of_a_project_are_the_project(cast: Cast) -> None:
    body = parsed(cast.as_owner().get(f"/api/projects/{cast.team.pk}/environments/"))
    assert [item["id"] for item in body["results"]] == [cast.team.pk]


def test_pages_link_to_each_other(cast: Cast) -> None:
    for number in range(3):
        make_team(cast.organization, name=f"Project {number}")
    caller = cast.as_owner()
    first = parsed(caller.get("/api/projects/?limit=2&offset=0&z=1&a=b"))
    assert first["count"] == 5
    assert first["previous"] is None
    assert first["next"] == "http://testserver/api/projects/?a=b&limit=2&offset=2&z=1"
    second = parsed(caller.get(first["next"].removeprefix("http://testserver")))
    assert second["previous"] == "http://testserver/api/projects/?a=b&limit=2&z=1"
    last = parsed(caller.get("/api/projects/?limit=2&offset=4"))
    assert last["next"] is None
    assert len(last["results"]) == 1
    beyond = parsed(caller.get("/api/projects/?offset=50"))
    assert (beyond["results"], beyond["next"]) == ([], None)
    assert beyond["previous"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "offset=-5", "offset=x", "limit=&offset=", "limit=²"]
)
def test_useless_numbers_count_as_absent(cast: Cast, query: str) -> None:
    assert len(parsed(cast.as_owner().get(f"/api/projects/?{query}"))["results"]) == 2


def test_huge_numbers_are_harmless(cast: Cast) -> None:
    response = cast.as_owner().get(f"/api/projects/?limit={'9' * 30}&offset={'9' * 18}")
    assert response.status_code == 200
    assert parsed(response)["results"] == []
