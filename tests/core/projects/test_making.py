"""Making projects: who may, what comes of it, and what the log says."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from core.tenancy.models import Organization, OrganizationMembership, Project, Team
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.projects.helpers import path_of
from tests.factories import make_key, make_organization, make_user
from tests.support.contract import document

LEVEL = (403, "authentication_error", "permission_denied", "Your organization access level is insufficient.", None)


def paths(organization: Any) -> list[str]:
    return ["/api/projects/", f"/api/organizations/{organization.pk}/projects/"]


def test_new_project_is_answered_whole_and_becomes_current(cast: Cast) -> None:
    for path in paths(cast.organization):
        response = cast.as_owner()("POST", path, {"name": "New", "timezone": "Europe/Madrid"})
        made = parsed(response)
        assert response.status_code == 201
        assert (made["name"], made["timezone"], made["organization"]) == (
            "New",
            "Europe/Madrid",
            str(cast.organization.pk),
        )
        assert made["project_id"] == made["id"]
        assert made["api_token"].startswith("phc_")
        assert made["effective_membership_level"] == 15
        assert made == parsed(cast.as_owner().get(f"/api/projects/{made['id']}/"))
        assert parsed(cast.as_owner().get("/api/projects/@current/"))["id"] == made["id"]
        assert parsed(cast.as_owner().get("/api/users/@me/"))["team"]["id"] == made["id"]
    assert parsed(cast.as_member().get("/api/projects/@current/"))["id"] == cast.team.pk


def test_creation_is_one_entry_of_the_log(cast: Cast) -> None:
    made = parsed(cast.as_owner()("POST", "/api/projects/", {"name": "New", "app_urls": ["https://a.example"]}))
    (entry,) = parsed(cast.as_owner().get(f"/api/projects/{made['id']}/activity/"))["results"]
    assert (entry["scope"], entry["activity"], entry["item_id"]) == ("Team", "created", str(made["id"]))
    assert entry["user"]["email"] == cast.owner.email
    assert entry["detail"] == {"changes": None, "name": "New", "short_id": None, "trigger": None, "type": None}


def test_everything_has_a_default(cast: Cast) -> None:
    for body in ({}, None):
        made = parsed(cast.as_owner()("POST", "/api/projects/", body))
        assert (made["name"], made["timezone"]) == ("Default project", "UTC")


def test_names_may_repeat(cast: Cast) -> None:
    made = [parsed(cast.as_owner()("POST", "/api/projects/", {"name": "Twin"})) for _ in range(2)]
    assert len({one["id"] for one in made}) == len({one["api_token"] for one in made}) == 2


def test_admins_may_and_members_may_not(cast: Cast) -> None:
    admin = Caller(make_key(make_user(cast.organization, level=8)))
    for path in paths(cast.organization):
        assert admin("POST", path, {}).status_code == 201
        assert problem(cast.as_member()("POST", path, {})) == LEVEL
    assert Team.objects.filter(organization=cast.organization).count() == 4


def test_scope_is_project_write(cast: Cast) -> None:
    for path in paths(cast.organization):
        response = Caller(make_key(cast.owner, scopes=["project:read"]))("POST", path, {})
        assert problem(response)[3] == "API key missing required scope 'project:write'"
        assert Caller(make_key(cast.owner, scopes=["project:write"]))("POST", path, {}).status_code == 201


def test_foreign_and_missing_organizations(cast: Cast) -> None:
    response = cast.as_owner()("POST", f"/api/organizations/{cast.outside.pk}/projects/", {})
    assert problem(response)[:3] == (403, "authentication_error", "permission_denied")
    for missing in ("018f0000-0000-7000-8000-000000000000", "nope"):
        response = cast.as_owner()("POST", f"/api/organizations/{missing}/projects/", {})
        assert problem(response)[0::3] == (404, "Organization not found.")
    assert not Project.objects.filter(organization=cast.outside).exclude(pk=cast.outside_team.pk).exists()


def test_keys_restricted_to_projects_make_none(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scoped_teams=[cast.team.pk]))
    for path in paths(cast.organization):
        assert problem(caller("POST", path, {}))[0] == 403


def test_project_lands_in_the_organization_of_the_path_not_the_current_one(cast: Cast) -> None:
    other = make_organization()
    OrganizationMembership.objects.create(organization=other, user=cast.owner, level=15)
    made = parsed(cast.as_owner()("POST", f"/api/organizations/{other.pk}/projects/", {}))
    assert made["organization"] == str(other.pk)
    assert parsed(cast.as_owner().get("/api/organizations/@current/"))["id"] == str(other.pk)


def test_a_dashboard_cannot_be_set_yet(cast: Cast) -> None:
    response = cast.as_owner()("POST", "/api/projects/", {"primary_dashboard": 3})
    words = "Primary dashboard cannot be set on project creation."
    assert problem(response) == (400, "validation_error", "invalid_input", words, "primary_dashboard")
    assert cast.as_owner()("POST", "/api/projects/", {"primary_dashboard": None}).status_code == 201


def test_environments_are_not_made_by_themselves(cast: Cast) -> None:
    assert cast.as_owner()("POST", "/api/environments/", {}).status_code == 403


def test_the_same_request_under_a_key_makes_one_project(cast: Cast) -> None:
    caller = cast.as_owner()
    answers = [caller("POST", "/api/projects/", {"name": "Once"}, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert parsed(answers[0]) == parsed(answers[1])
    assert Project.objects.filter(name="Once").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_two_projects(cast: Cast) -> None:
    def make(_: int) -> int:
        try:
            return cast.as_owner()("POST", "/api/projects/", {"name": "Twin"}).status_code
        finally:
            connection.close()

    document()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(make, range(2))) == [201, 201]
    assert Project.objects.filter(name="Twin").count() == 2


@pytest.mark.django_db(transaction=True)
def test_changes_of_different_fields_at_once_all_survive(cast: Cast) -> None:
    names = ["surveys_opt_in", "inject_web_apps", "heatmaps_opt_in", "session_recording_opt_in", "anonymize_ips"]

    def change(name: str) -> int:
        try:
            return cast.as_owner()("PATCH", path_of(cast.team), {name: True}).status_code
        finally:
            connection.close()

    document()
    for _ in range(3):
        Team.objects.filter(pk=cast.team.pk).update(settings={}, anonymize_ips=False)
        with ThreadPoolExecutor(len(names)) as pool:
            assert set(pool.map(change, names)) == {200}
        found = parsed(cast.as_owner().get(path_of(cast.team)))
        assert [found[name] for name in names] == [True] * len(names)


def test_organization_that_is_deleted_meanwhile_gets_no_project(cast: Cast) -> None:
    from core.api.errors import NotFound
    from core.projects.services import project_create

    Organization.objects.filter(pk=cast.organization.pk).update(deleted_at="2026-01-01T00:00:00Z")
    with pytest.raises(NotFound, match="Organization not found"):
        project_create(organization_id=cast.organization.pk, user_id=cast.owner.pk)
