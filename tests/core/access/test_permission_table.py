"""Section a4 and a5 of the access specification, row by row."""

import pytest

from core.tenancy.models import Organization, OrganizationMembership, Project, Team
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_user
from tests.support.contract import CheckedClient

AUTH = "authentication_error"
UNSUPPORTED = "This action does not support Personal API Key access"
PROJECTS_ONLY = "API keys with scoped projects are only supported on project-based endpoints."


def forbidden(detail: str) -> tuple[int, str, str, str, None]:
    return (403, AUTH, "permission_denied", detail, None)


def missing(detail: str) -> tuple[int, str, str, str, None]:
    return (404, "invalid_request", "not_found", detail, None)


def persons(team: int | str) -> str:
    return f"/api/projects/{team}/persons/"


@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_members_get_in_under_both_prefixes(cast: Cast, tree: str) -> None:
    for slash in ("", "/"):
        assert cast.as_member().get(f"/api/{tree}/{cast.team.pk}/persons{slash}").status_code == 200
        assert cast.as_member().get(f"/api/{tree}/@current/persons{slash}").status_code == 200


def test_key_without_the_scope_is_told_which(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scopes=["person:read"]))
    assert caller.get(persons(cast.team.pk)).status_code == 200
    response = caller("DELETE", f"{persons(cast.team.pk)}1/")
    assert problem(response) == forbidden("API key missing required scope 'person:write'")


def test_write_implies_read_of_the_same_object_only(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scopes=["person:write"]))
    assert caller.get(persons(cast.team.pk)).status_code == 200
    assert problem(caller.get("/api/projects/")) == forbidden("API key missing required scope 'project:read'")


def test_method_that_is_not_mapped_refuses_keys_but_is_405_for_sessions(cast: Cast) -> None:
    path = f"{persons(cast.team.pk)}1/"
    assert problem(cast.as_owner()("POST", path)) == forbidden(UNSUPPORTED)
    client = CheckedClient()
    client.force_login(cast.owner)
    response = client.post(path)
    assert problem(response) == (405, "invalid_request", "method_not_allowed", 'Method "POST" not allowed.', None)
    assert "GET" in response["Allow"]
    assert "POST" not in response["Allow"]


def test_post_on_persons_says_how_persons_are_made(cast: Cast) -> None:
    response = cast.as_owner()("POST", persons(cast.team.pk), {})
    status, kind, code, detail, _ = problem(response)
    assert (status, kind, code) == (405, "invalid_request", "method_not_allowed")
    assert "$identify" in detail
    assert "POST" not in response["Allow"]


def test_options_needs_read(cast: Cast) -> None:
    path = persons(cast.team.pk)
    assert Caller(make_key(cast.owner, scopes=["person:read"]))("OPTIONS", path).status_code == 200
    refused = Caller(make_key(cast.owner, scopes=["project:read"]))("OPTIONS", path)
    assert problem(refused) == forbidden("API key missing required scope 'person:read'")


def test_key_restricted_to_other_projects(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scoped_teams=[cast.team.pk]))
    assert caller.get(persons(cast.team.pk)).status_code == 200
    expected = forbidden(f"API key does not have access to the requested project: ID {cast.other_team.pk}.")
    assert problem(caller.get(persons(cast.other_team.pk))) == expected
    assert problem(caller.get(f"/api/projects/{cast.other_team.pk}/")) == expected


@pytest.mark.parametrize(
    "path", ["/api/organizations/", "/api/organizations/@current/", "/api/organizations/@current/members/"]
)
def test_key_restricted_to_projects_needs_a_project_in_the_path(cast: Cast, path: str) -> None:
    caller = Caller(make_key(cast.owner, scoped_teams=[cast.team.pk]))
    assert problem(caller.get(path)) == forbidden(PROJECTS_ONLY)


def test_key_restricted_to_projects_lists_only_these(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scoped_teams=[cast.other_team.pk, cast.outside_team.pk]))
    for path in ("/api/projects/", "/api/environments"):
        assert [item["id"] for item in parsed(caller.get(path))["results"]] == [cast.other_team.pk]


def test_key_restricted_to_other_organizations(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scoped_organizations=[str(cast.outside.pk)]))
    expected = forbidden(f"API key does not have access to the requested organization: ID {cast.organization.pk}.")
    assert problem(caller.get(persons(cast.team.pk))) == expected
    assert problem(caller.get(f"/api/organizations/{cast.organization.pk}/members/")) == expected
    assert problem(caller.get(f"/api/organizations/{cast.organization.pk}/")) == missing("Not found.")
    assert parsed(caller.get("/api/organizations/"))["results"] == []
    assert parsed(caller.get("/api/projects/"))["results"] == []


def test_restrictions_never_widen(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scoped_teams=[cast.outside_team.pk]))
    assert problem(caller.get(persons(cast.outside_team.pk))) == forbidden("You don't have access to the project.")


def test_organization_may_forbid_keys_of_plain_members(cast: Cast) -> None:
    Organization.objects.filter(pk=cast.organization.pk).update(members_can_use_personal_api_keys=False)
    expected = forbidden(
        "Organization 'Acme' does not allow using personal API keys. "
        "Contact an admin to enable personal API keys for this organization."
    )
    for path in (
        persons(cast.team.pk),
        "/api/projects/",
        "/api/organizations/@current/",
        f"/api/projects/{cast.team.pk}",
    ):
        assert problem(cast.as_member().get(path)) == expected
        assert cast.as_owner().get(path).status_code == 200
    client = CheckedClient()
    client.force_login(cast.member)
    assert client.get(persons(cast.team.pk)).status_code == 200
    assert cast.as_member().get("/api/users/@me/").status_code == 200


def test_foreign_and_missing_projects(cast: Cast) -> None:
    caller = cast.as_stranger()
    assert problem(caller.get(persons(cast.team.pk))) == forbidden("You don't have access to the project.")
    assert problem(caller.get(f"/api/projects/{cast.team.pk}/")) == missing("Not found.")
    for name in ("999999999", "abc", "-1", "9" * 30, "1_0"):
        assert problem(caller.get(persons(name))) == missing("Project not found.")
    assert problem(caller.get("/api/projects/999999999/")) == missing("Not found.")
    assert problem(caller.get(f"/api/projects/{'9' * 30}/")) == missing("Not found.")
    expected = (400, "validation_error", "invalid_input", "Field 'id' expected a number but got 'abc'.", None)
    assert problem(caller.get("/api/environments/abc/")) == expected


def test_foreign_and_missing_organizations(cast: Cast) -> None:
    caller = cast.as_stranger()
    path = f"/api/organizations/{cast.organization.pk}/"
    no_permission = forbidden("You do not have permission to perform this action.")
    assert problem(caller.get(f"{path}members/")) == no_permission
    assert problem(caller.get(f"{path}projects/{cast.team.pk}/")) == no_permission
    assert problem(caller.get(path)) == missing("Not found.")
    for name in ("00000000-0000-4000-8000-000000000000", "abc"):
        assert problem(caller.get(f"/api/organizations/{name}/members/")) == missing("Organization not found.")
        assert problem(caller.get(f"/api/organizations/{name}/")) == missing("Not found.")


def test_project_of_another_organization_is_missing_inside_ones_own(cast: Cast) -> None:
    path = f"/api/organizations/{cast.organization.pk}/projects/"
    assert cast.as_owner().get(f"{path}{cast.team.pk}/").status_code == 200
    assert problem(cast.as_owner().get(f"{path}{cast.outside_team.pk}/")) == missing("Not found.")
    restricted = Caller(make_key(cast.owner, scoped_teams=[cast.team.pk]))
    assert restricted.get(f"{path}{cast.team.pk}/").status_code == 200
    assert problem(restricted.get(f"{path}{cast.other_team.pk}/")) == missing("Not found.")
    assert problem(restricted.get(path)) == forbidden(PROJECTS_ONLY)


@pytest.mark.django_db
def test_user_without_an_organization() -> None:
    caller = Caller(make_key(make_user()))
    expected = missing("You need to belong to an organization.")
    assert problem(caller.get("/api/organizations/@current/")) == expected
    assert problem(caller.get("/api/organizations/@current/members/")) == expected
    assert problem(caller.get("/api/projects/")) == expected
    assert problem(caller.get(persons("@current"))) == missing("Project not found.")
    assert problem(caller.get("/api/projects/@current/")) == missing("Not found.")
    body = parsed(caller.get("/api/users/@me/"))
    assert (body["team"], body["organization"], body["organizations"]) == (None, None, [])


def test_current_falls_back_to_a_visible_project(cast: Cast) -> None:
    Project.objects.get(pk=cast.team.pk).delete()
    assert parsed(cast.as_owner().get("/api/projects/@current/"))["id"] == cast.other_team.pk
    OrganizationMembership.objects.filter(user=cast.owner).delete()
    assert problem(cast.as_owner().get(persons("@current"))) == missing("Project not found.")


def test_project_token_in_the_query_must_agree_with_the_path(cast: Cast) -> None:
    caller = cast.as_owner()
    path = persons(cast.team.pk)
    assert caller.get(f"{path}?token={cast.team.api_token}").status_code == 200
    assert problem(caller.get(f"{path}?token={cast.other_team.api_token}"))[0] == 403
    expected = (401, AUTH, "authentication_failed", "Incorrect authentication credentials.", None)
    assert problem(caller.get(f"{path}?token=phc_unknown")) == expected
    assert problem(caller.get(f"{persons('@current')}?token=phc_unknown")) == expected


def test_project_token_in_the_query_chooses_the_current_project(cast: Cast) -> None:
    response = cast.as_owner().get(f"/api/projects/@current/environments/?token={cast.other_team.api_token}")
    assert parsed(response)["results"][0]["id"] == cast.other_team.pk
    refused = cast.as_owner().get(f"{persons('@current')}?token={cast.outside_team.api_token}")
    assert problem(refused) == forbidden("You don't have access to the project.")


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "activity/"), ("PATCH", ""), ("DELETE", "")])
@pytest.mark.parametrize("prefix", ["/api/projects", "/api/environments", "/api/organizations/@current/projects"])
def test_a_project_itself_must_agree_with_the_token_too(cast: Cast, prefix: str, method: str, suffix: str) -> None:
    caller, path = cast.as_owner(), f"{prefix}/{cast.team.pk}/{suffix}"
    assert problem(caller(method, f"{path}?token={cast.other_team.api_token}", {}))[0] == 403
    assert problem(caller(method, f"{path}?token=phc_unknown", {}))[0] == 401
    assert Team.objects.filter(pk=cast.team.pk).exists()
    assert caller(method, f"{path}?token={cast.team.api_token}", {}).status_code in {200, 204}


def test_the_token_chooses_the_current_project_for_writes_as_well(cast: Cast) -> None:
    path = f"/api/projects/@current/?token={cast.other_team.api_token}"
    assert parsed(cast.as_owner()("PATCH", path, {"name": "Chosen"}))["id"] == cast.other_team.pk
    assert Team.objects.get(pk=cast.team.pk).name != "Chosen"
    foreign = f"/api/projects/@current/?token={cast.outside_team.api_token}"
    assert problem(cast.as_owner()("DELETE", foreign)) == missing("Not found.")
    assert Team.objects.filter(pk=cast.outside_team.pk).exists()


def test_unknown_paths_under_api_are_json_404(cast: Cast) -> None:
    for path in ("/api/nonsense/", f"/api/projects/{cast.team.pk}/nonsense", "/api/projects/1/persons.xml"):
        assert problem(cast.as_owner().get(path)) == missing("Endpoint not found.")
