import io
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from core.access.models import PersonalAPIKey
from core.activity.models import ActivityLog
from core.tenancy.models import Organization, OrganizationMembership, Team, User
from tests.core.http import Caller, parsed

pytestmark = pytest.mark.django_db


def provision(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("provision", json=True, stdout=out, **options)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    return orjson.loads(lines[0])


def test_everything_has_a_default() -> None:
    made = provision()
    assert list(made) == ["organization_id", "project_id", "api_token", "user_id", "email", "personal_api_key"]
    body = parsed(Caller(made["personal_api_key"]).get("/api/users/@me/"))
    assert body["organization"]["membership_level"] == 15
    assert body["team"]["id"] == made["project_id"]
    assert body["team"]["api_token"] == made["api_token"]


def test_what_is_there_is_found_and_the_key_is_new() -> None:
    first = provision(organization="Acme", project="Shop", email="mia@example.org")
    second = provision(organization="Acme", project="Shop", email="Mia@Example.org")
    assert {key for key in first if first[key] != second[key]} == {"personal_api_key"}
    assert (Organization.objects.count(), Team.objects.count(), User.objects.count()) == (1, 1, 1)
    assert PersonalAPIKey.objects.count() == 2


def test_existing_user_becomes_a_member_of_a_new_organization() -> None:
    first = provision(organization="Acme", email="mia@example.org")
    second = provision(organization="Other", email="mia@example.org", level="member")
    assert first["user_id"] == second["user_id"]
    levels = dict(OrganizationMembership.objects.values_list("organization__name", "level"))
    assert levels == {"Acme": 15, "Other": 1}


def test_level_of_a_member_changes_only_on_request() -> None:
    provision(level="member")
    provision()
    assert OrganizationMembership.objects.get().level == 1
    made = provision(level="8")
    member = OrganizationMembership.objects.get()
    assert member.level == 8
    entry = ActivityLog.objects.get(scope="OrganizationMembership")
    assert (entry.activity, entry.item_id, entry.user_id, entry.is_system) == ("updated", str(member.pk), None, True)
    assert str(entry.organization_id) == made["organization_id"]
    assert (entry.detail["name"], entry.detail["changes"]) == (
        made["email"],
        [{"type": "OrganizationMembership", "action": "changed", "field": "level", "before": 1, "after": 8}],
    )
    provision(level="8")
    assert ActivityLog.objects.filter(scope="OrganizationMembership").count() == 1


def test_same_project_name_in_another_organization_is_another_project() -> None:
    assert provision(organization="A")["project_id"] != provision(organization="B")["project_id"]


def test_key_can_be_narrowed() -> None:
    made = provision()
    narrow = provision(
        scopes="person:read, query:read",
        scoped_teams=str(made["project_id"]),
        scoped_organizations=made["organization_id"],
        label="reader",
    )
    shown = parsed(Caller(narrow["personal_api_key"]).get("/api/personal_api_keys/@current"))
    assert shown["label"] == "reader"
    assert shown["scopes"] == ["person:read", "query:read"]
    assert shown["scoped_teams"] == [made["project_id"]]
    assert shown["scoped_organizations"] == [made["organization_id"]]


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": "person:fly"},
        {"scopes": ""},
        {"scoped_teams": "x"},
        {"scoped_teams": "999999999"},
        {"scoped_organizations": "nonsense"},
        {"email": "nobody"},
        {"label": ""},
        {"organization": "x" * 65},
    ],
)
def test_wrong_options_change_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        call_command("provision", **options)
    assert User.objects.count() == Organization.objects.count() == 0


def test_eleventh_key_is_refused_with_the_reason() -> None:
    for _ in range(10):
        provision()
    with pytest.raises(CommandError, match="10 personal API keys"):
        provision()


def test_password_can_log_in() -> None:
    provision(email="mia@example.org", password="correct horse battery")
    assert User.objects.get().check_password("correct horse battery")


def test_output_for_people_shows_the_key() -> None:
    out = io.StringIO()
    call_command("provision", stdout=out)
    assert "phx_" in out.getvalue()
    assert "not shown again" in out.getvalue()


def test_recording_is_switched_by_the_operator() -> None:
    def says(token: str) -> Any:
        return parsed(Caller().get(f"/array/{token}/config"))["sessionRecording"]

    made = provision()
    assert says(made["api_token"]) is False
    provision(session_recording="on")
    assert says(made["api_token"])["endpoint"] == "/s/"
    provision()
    assert says(made["api_token"])["endpoint"] == "/s/"
    provision(session_recording="off")
    assert says(made["api_token"]) is False


def test_an_operator_is_made_and_stays_one() -> None:
    made = provision(email="ops@example.org", password="correct horse battery", operator=True)
    user = User.objects.get(pk=made["user_id"])
    assert (user.is_staff, user.is_superuser) == (True, True)
    entry = ActivityLog.objects.get(scope="User", item_id=str(user.pk))
    assert {change["field"] for change in entry.detail["changes"]} == {"is_staff", "is_superuser"}
    provision(email="ops@example.org", operator=True)
    provision(email="ops@example.org")
    assert User.objects.get(pk=user.pk).is_superuser
    assert ActivityLog.objects.filter(scope="User").count() == 1
    assert not User.objects.get(pk=provision(email="other@example.org")["user_id"]).is_staff


def test_limits_of_a_project_are_given_checked_and_replaced() -> None:
    made = provision(rate_limit=["burst=1000/minute", "sustained=none"])
    team = Team.objects.get(pk=made["project_id"])
    assert team.rate_limits == {"burst": "1000/minute", "sustained": "none"}
    provision()
    team.refresh_from_db()
    assert team.rate_limits == {"burst": "1000/minute", "sustained": "none"}
    provision(rate_limit=["burst=5/hour"])
    team.refresh_from_db()
    assert team.rate_limits == {"burst": "5/hour"}
    for wrong in ("burst", "burst=", "burst=many", "nonsense=1/minute", ""):
        with pytest.raises(CommandError, match="--rate-limit"):
            provision(rate_limit=[wrong])


@pytest.mark.parametrize(("word", "level"), [("NONE", 0), ("CONFIG", 3), ("INSTALL", 6), ("ROOT", 9), ("6", 6)])
def test_what_an_organization_may_do_with_plugins_is_set_by_the_operator(word: str, level: int) -> None:
    made = provision(plugins_access_level=word)
    assert Organization.objects.get().plugins_access_level == level
    shown = parsed(Caller(made["personal_api_key"]).get("/api/organizations/@current/"))
    assert shown["plugins_access_level"] == level
    provision()
    assert Organization.objects.get().plugins_access_level == level


def test_a_changed_plugins_access_level_is_logged_once_and_only_for_its_organization() -> None:
    other = provision(organization="Other")
    made = provision()
    assert Organization.objects.get(pk=made["organization_id"]).plugins_access_level == 9
    for _ in range(2):
        provision(plugins_access_level="CONFIG")
    entry = ActivityLog.objects.get(scope="Organization", activity="updated")
    assert (str(entry.organization_id), entry.item_id) == (made["organization_id"], made["organization_id"])
    assert (entry.user_id, entry.is_system, entry.detail["name"]) == (None, True, "Default organization")
    assert entry.detail["changes"] == [
        {"type": "Organization", "action": "changed", "field": "plugins_access_level", "before": 9, "after": 3}
    ]
    assert Organization.objects.get(pk=other["organization_id"]).plugins_access_level == 9


@pytest.mark.parametrize("wrong", ["root", "5", "ALL", ""])
def test_an_unknown_plugins_access_level_is_refused(wrong: str) -> None:
    with pytest.raises(CommandError, match="--plugins-access-level"):
        call_command("provision", f"--plugins-access-level={wrong}")
    assert not Organization.objects.exists()


def test_nobody_raises_the_plugins_access_level_over_http() -> None:
    made = provision(plugins_access_level="NONE")
    caller = Caller(made["personal_api_key"])
    for method in ("PATCH", "PUT"):
        body = {"name": "Default organization", "plugins_access_level": 9}
        answer = caller(method, "/api/organizations/@current/", body)
        assert (answer.status_code, parsed(answer)["plugins_access_level"]) == (200, 0)
    started = caller("POST", "/api/organizations/", {"name": "New", "plugins_access_level": 3})
    assert started.status_code != 201 or parsed(started)["plugins_access_level"] == 9
    assert Organization.objects.get(pk=made["organization_id"]).plugins_access_level == 0
