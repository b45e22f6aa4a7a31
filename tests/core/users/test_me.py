from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key

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
