from typing import Any

import orjson
import pytest

from core.tenancy.models import OrganizationMembership, User
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_organization, make_team, make_user
from tests.support.contract import CheckedClient

ME = "/api/users/@me/"
FIELDS = set(
    """date_joined uuid distinct_id first_name last_name email pending_email is_email_verified notification_settings
    anonymize_data toolbar_mode has_password id is_staff is_impersonated team organization organizations
    events_column_config is_2fa_enabled has_social_auth has_seen_product_intro_for scene_personalisation theme_mode
    hedgehog_config role_at_organization""".split()  # noqa: SIM905 the specification's own list
)


def test_caller_sees_everything_about_themselves(cast: Cast) -> None:
    body = parsed(cast.as_owner().get("/api/users/%40me"))
    assert set(body) == FIELDS
    assert body["email"] == cast.owner.email
    assert body["team"]["id"] == cast.team.pk
    assert body["organization"]["id"] == str(cast.organization.pk)
    assert [team["id"] for team in body["organization"]["teams"]] == [cast.team.pk, cast.other_team.pk]
    assert body["organizations"][0]["membership_level"] == 15
    assert body["date_joined"].endswith("Z")
    assert len(body["date_joined"]) == 27


def test_restricted_keys_work_with_user_read(cast: Cast) -> None:
    for restriction in ({"scoped_teams": [cast.other_team.pk]}, {"scoped_organizations": [str(cast.outside.pk)]}):
        assert Caller(make_key(cast.owner, scopes=["user:read"], **restriction)).get(ME).status_code == 200
    assert problem(Caller(make_key(cast.owner, scopes=["person:read"])).get(ME))[0] == 403


def test_a_key_of_one_project_is_shown_and_chooses_nothing_else(cast: Cast) -> None:
    key = Caller(make_key(cast.owner, scoped_teams=[cast.other_team.pk]))
    answer = parsed(key.get(ME))
    assert answer["team"]["id"] == cast.other_team.pk
    assert [team["id"] for team in answer["organization"]["teams"]] == [cast.other_team.pk]
    assert cast.team.api_token not in str(answer)
    for body in (
        {"set_current_team": cast.team.pk},
        {"set_current_organization": str(cast.organization.pk)},
        {"set_current_team": cast.team.pk, "set_current_organization": str(cast.organization.pk)},
    ):
        assert problem(key("PATCH", ME, body))[:3] == (400, "validation_error", "does_not_exist")
    cast.owner.refresh_from_db()
    assert cast.owner.current_team_id == cast.team.pk
    assert parsed(key("PATCH", ME, {"set_current_team": cast.other_team.pk}))["team"]["id"] == cast.other_team.pk


def test_a_key_of_one_organization_is_shown_and_chooses_nothing_else(cast: Cast) -> None:
    OrganizationMembership.objects.create(organization=cast.outside, user=cast.owner, level=1)
    key = Caller(make_key(cast.owner, scoped_organizations=[str(cast.outside.pk)]))
    answer = parsed(key.get(ME))
    assert [row["id"] for row in answer["organizations"]] == [str(cast.outside.pk)]
    assert (answer["organization"]["id"], answer["team"]["id"]) == (str(cast.outside.pk), cast.outside_team.pk)
    for body in ({"set_current_team": cast.team.pk}, {"set_current_organization": str(cast.organization.pk)}):
        assert problem(key("PATCH", ME, body))[:3] == (400, "validation_error", "does_not_exist")
    assert key("PATCH", ME, {"set_current_organization": str(cast.outside.pk)}).status_code == 200


def test_other_users_are_not_shown(cast: Cast) -> None:
    assert parsed(cast.as_owner().get(f"/api/users/{cast.owner.uuid}/"))["id"] == cast.owner.pk
    assert problem(cast.as_owner().get(f"/api/users/{cast.member.uuid}/"))[0] == 404


def test_current_project_and_organization_can_be_set(cast: Cast) -> None:
    caller = cast.as_owner()
    assert parsed(caller("PATCH", ME, {"set_current_team": cast.other_team.pk}))["team"]["id"] == cast.other_team.pk
    assert parsed(caller.get("/api/projects/@current/"))["id"] == cast.other_team.pk
    body = parsed(
        caller("PATCH", ME, {"set_current_organization": str(cast.organization.pk), "email": "x@example.org"})
    )
    assert body["team"]["id"] == cast.team.pk
    assert body["email"] == cast.owner.email


def test_foreign_project_or_organization_cannot_be_current(cast: Cast) -> None:
    caller = cast.as_owner()
    refused = problem(caller("PATCH", ME, {"set_current_team": cast.outside_team.pk}))
    expected = f"Object with id={cast.outside_team.pk} does not exist."
    assert refused == (400, "validation_error", "does_not_exist", expected, "set_current_team")
    refused = problem(caller("PATCH", ME, {"set_current_organization": str(cast.outside.pk)}))
    assert refused[2:] == (
        "does_not_exist", f"Object with id={cast.outside.pk} does not exist.", "set_current_organization",
    )  # fmt: skip
    assert problem(caller("PATCH", ME, f'{{"set_current_team": {10**30}}}'))[0] == 400


def patch(client: CheckedClient, body: dict[str, Any]) -> Any:
    return client.generic("PATCH", ME, orjson.dumps(body), content_type="application/json")


def signed_in(user: User) -> CheckedClient:
    client = CheckedClient(raise_request_exception=False)
    client.force_login(user)
    return client


def test_names_can_be_changed(cast: Cast) -> None:
    caller = cast.as_owner()
    changed = parsed(caller("PATCH", ME, {"first_name": " Mia ", "last_name": "Müller"}))
    assert (changed["first_name"], changed["last_name"]) == ("Mia", "Müller")
    assert parsed(caller("PATCH", ME, {"last_name": ""}))["last_name"] == ""
    assert parsed(caller("PATCH", f"/api/users/{cast.owner.uuid}/"))["first_name"] == "Mia"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("first_name", None, "null"),
        ("first_name", "x" * 151, "max_length"),
        ("first_name", ["x"], "invalid_input"),
        ("first_name", "\x00", "null_characters_not_allowed"),
        ("last_name", "x" * 151, "max_length"),
        ("last_name", {}, "invalid_input"),
        ("set_current_team", "x", "invalid_input"),
        ("set_current_team", None, "null"),
        ("set_current_team", 10**18, "does_not_exist"),
        ("set_current_team", -1, "does_not_exist"),
        ("set_current_team", str(10**30), "does_not_exist"),
        ("set_current_organization", "x", "invalid_input"),
        ("set_current_organization", 12, "invalid_input"),
        ("set_current_organization", None, "null"),
        ("set_current_organization", "01890a5d-ac96-774b-bcce-b302099a8057", "does_not_exist"),
        ("password", None, "null"),
        ("password", ["x"], "invalid_input"),
        ("password", "x" * 1025, "max_length"),
    ],
)
def test_wrong_values_change_nothing(cast: Cast, field: str, value: Any, code: str) -> None:
    before = User.objects.filter(pk=cast.owner.pk).values().get()
    body = {"first_name": "New", "last_name": "Name", field: value}
    refused = problem(patch(signed_in(cast.owner), body))
    assert (*refused[:3], refused[4]) == (400, "validation_error", code, field)
    after = User.objects.filter(pk=cast.owner.pk).values().get()
    assert {name for name in before if before[name] != after[name]} <= {"last_login"}


def test_what_is_read_only_is_ignored(cast: Cast) -> None:
    caller = cast.as_owner()
    shown = parsed(caller.get(ME))
    echoed = {**shown, "email": "other@example.org", "is_staff": True, "theme_mode": "dark", "id": 1, "unknown": []}
    assert parsed(caller("PATCH", ME, echoed)) == shown
    assert parsed(caller("PATCH", ME)) == shown


def test_a_project_and_its_own_organization_may_be_set_together(cast: Cast) -> None:
    OrganizationMembership.objects.create(user=cast.owner, organization=cast.outside, level=1)
    second = make_team(cast.outside)
    caller = cast.as_owner()
    both = {"set_current_organization": str(cast.outside.pk), "set_current_team": second.pk}
    changed = parsed(caller("PATCH", ME, both))
    assert (changed["organization"]["id"], changed["team"]["id"]) == (str(cast.outside.pk), second.pk)
    refused = problem(caller("PATCH", ME, {**both, "set_current_team": cast.team.pk}))
    assert refused == (
        400, "validation_error", "invalid_input",
        "Team must belong to the same organization in set_current_organization.", "set_current_team",
    )  # fmt: skip
    assert parsed(caller.get(ME))["team"]["id"] == second.pk
    only = parsed(caller("PATCH", ME, {"set_current_team": str(cast.team.pk)}))
    assert (only["organization"]["id"], only["team"]["id"]) == (str(cast.organization.pk), cast.team.pk)


def test_an_organization_without_projects_can_be_current(cast: Cast) -> None:
    empty = make_organization()
    OrganizationMembership.objects.create(user=cast.owner, organization=empty, level=1)
    changed = parsed(cast.as_owner()("PATCH", ME, {"set_current_organization": str(empty.pk)}))
    assert (changed["organization"]["id"], changed["team"]) == (str(empty.pk), None)


def test_writing_needs_its_scope(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scopes=["user:read"]))
    assert problem(caller("PATCH", ME, {"first_name": "x"}))[3] == "API key missing required scope 'user:write'"
    writer = Caller(make_key(cast.owner, scopes=["user:write"], scoped_teams=[cast.other_team.pk]))
    assert writer("PATCH", ME, {"first_name": "x"}).status_code == 200
    assert problem(cast.as_owner()("PATCH", f"/api/users/{cast.member.uuid}/", {"first_name": "x"}))[0] == 404
    assert User.objects.get(pk=cast.member.pk).first_name != "x"


OLD, NEW = "correct horse battery", "staple of the second horse"


@pytest.fixture
def keeper(cast: Cast, settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # hashed often here
    return make_user(cast.organization, team=cast.team, password=OLD)


def test_a_new_password_keeps_this_session_and_ends_the_others(keeper: User) -> None:
    here, there = signed_in(keeper), signed_in(keeper)
    assert parsed(patch(here, {"password": NEW, "current_password": OLD}))["has_password"] is True
    assert here.get(ME).status_code == 200
    assert there.get(ME).status_code == 401
    user = User.objects.get(pk=keeper.pk)
    assert user.check_password(NEW)
    assert not user.check_password(OLD)
    assert patch(here, {"password": OLD, "current_password": NEW}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        (
            {"password": NEW},
            "required",
            "This field is required when updating your password.",
            "current_password",
        ),
        (
            {"password": NEW, "current_password": ""},
            "required",
            "This field is required when updating your password.",
            "current_password",
        ),
        (
            {"password": NEW, "current_password": NEW},
            "incorrect_password",
            "Your current password is incorrect.",
            "current_password",
        ),
        (
            {"password": NEW, "current_password": f" {OLD}"},
            "incorrect_password",
            "Your current password is incorrect.",
            "current_password",
        ),
        (
            {"password": "short", "current_password": OLD},
            "invalid_input",
            "This password is too short. It must contain at least 8 characters.",
            "password",
        ),
        (
            {"password": "password1", "current_password": OLD},
            "invalid_input",
            "This password is too common.",
            "password",
        ),
    ],
)
def test_passwords_that_are_refused(keeper: User, body: dict[str, str], code: str, detail: str, attr: str) -> None:
    refused = problem(patch(signed_in(keeper), {**body, "first_name": "New"}))
    assert refused == (400, "validation_error", code, detail, attr)
    user = User.objects.get(pk=keeper.pk)
    assert user.check_password(OLD)
    assert user.first_name != "New"


def test_the_current_password_cannot_be_guessed(keeper: User, valkey: object) -> None:
    client = signed_in(keeper)
    for _ in range(10):
        assert problem(patch(client, {"password": NEW, "current_password": "guess"}))[2] == "incorrect_password"
    refused = patch(client, {"password": NEW, "current_password": OLD})
    assert problem(refused)[:3] == (429, "throttled_error", "throttled")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert User.objects.get(pk=keeper.pk).check_password(OLD)
    assert patch(client, {"first_name": "Mia"}).status_code == 200


def test_an_empty_password_is_none(keeper: User) -> None:
    client = signed_in(keeper)
    assert patch(client, {"password": "", "current_password": ""}).status_code == 200
    assert patch(client, {"current_password": "whatever"}).status_code == 200
    assert User.objects.get(pk=keeper.pk).check_password(OLD)


def test_keys_cannot_change_passwords(keeper: User) -> None:
    caller = Caller(make_key(keeper))
    refused = problem(caller("PATCH", ME, {"password": NEW, "current_password": OLD, "first_name": "New"}))
    expected = "This action does not support Personal API Key access"
    assert refused == (403, "authentication_error", "permission_denied", expected, None)
    user = User.objects.get(pk=keeper.pk)
    assert (user.check_password(OLD), user.first_name) == (True, "")


def test_forms_work(cast: Cast) -> None:
    client = signed_in(cast.owner)
    body = f"first_name=Mia&set_current_team={cast.other_team.pk}&password=&current_password="
    changed = parsed(client.generic("PATCH", ME, body, content_type="application/x-www-form-urlencoded"))
    assert (changed["first_name"], changed["team"]["id"]) == ("Mia", cast.other_team.pk)
