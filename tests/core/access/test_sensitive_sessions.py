"""Sensitive writes want a session that signed in lately; everything else, and every key, does not."""

import time
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from core.access.sessions import SIGNED_IN_AT
from core.roles.models import Role
from core.routes import routes
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_user
from tests.support.contract import CheckedClient

AGAIN = (
    403, "authentication_error", "sensitive_action_required_reauth",
    "This action requires you to be recently authenticated.", None,
)  # fmt: skip
HOURS = 3600
PASSWORD = "correct horse battery staple"
SENSITIVE = {"organizations", "members", "roles", "role_memberships", "personal_api_keys"}


def signed_in(user: Any, age: float | None = 0) -> CheckedClient:
    """Return a client whose session signed in `age` seconds ago, or before that was noted."""
    client = CheckedClient(raise_request_exception=False)
    client.force_login(user)
    session = client.session
    if age is None:
        del session[SIGNED_IN_AT]
    else:
        session[SIGNED_IN_AT] -= int(age)
    session.save()
    return client


def send(client: CheckedClient, method: str, path: str, body: str = "{}") -> Any:
    return client.generic(method, path, body, content_type="application/json")


@pytest.fixture
def writes(cast: Cast) -> list[tuple[str, str, str]]:
    role = Role.objects.create(organization=cast.organization, name="Support").pk
    one, key = "/api/organizations/@current", "/api/personal_api_keys/none"
    return [
        ("PATCH", f"{one}/", "{}"), ("PUT", f"{one}/", '{"name": "x"}'), ("DELETE", f"{one}/", "{}"),
        ("PATCH", f"{one}/members/{cast.member.uuid}/", '{"level": 8}'),
        ("PUT", f"{one}/members/{cast.member.uuid}/", '{"level": 8}'),
        ("DELETE", f"{one}/members/{cast.member.uuid}/", "{}"),
        ("POST", f"{one}/roles/", '{"name": "x"}'), ("PATCH", f"{one}/roles/{role}/", '{"name": "y"}'),
        ("PUT", f"{one}/roles/{role}/", '{"name": "y"}'), ("DELETE", f"{one}/roles/{role}/", "{}"),
        ("POST", f"{one}/roles/{role}/role_memberships/", "{}"),
        ("DELETE", f"{one}/roles/{role}/role_memberships/{role}/", "{}"),
        ("POST", "/api/personal_api_keys/", "{}"), ("PATCH", f"{key}/", "{}"), ("PUT", f"{key}/", "{}"),
        ("DELETE", f"{key}/", "{}"), ("POST", f"{key}/roll/", "{}"),
    ]  # fmt: skip


@pytest.mark.parametrize("age", [2 * HOURS + 2, 400 * 24 * HOURS, None])
def test_an_old_session_is_asked_to_sign_in_again(
    cast: Cast, writes: list[tuple[str, str, str]], age: float | None
) -> None:
    client = signed_in(cast.owner, age)
    for method, path, body in writes:
        assert problem(send(client, method, path, body)) == AGAIN, (method, path)


def test_a_young_session_is_not(cast: Cast, writes: list[tuple[str, str, str]]) -> None:
    client = signed_in(cast.owner, 2 * HOURS - 60)
    for method, path, body in sorted(writes, key=lambda write: write[:2] == ("DELETE", "/api/organizations/@current/")):
        assert send(client, method, path, body).status_code in {200, 201, 204, 400, 404}, (method, path)


def test_keys_are_never_asked(cast: Cast) -> None:
    assert cast.as_owner()("PATCH", "/api/organizations/@current/", {"name": "x"}).status_code == 200


def test_everything_else_works_with_an_old_session(cast: Cast) -> None:
    client = signed_in(cast.owner, None)
    for path in ("organizations/", "organizations/@current/members/", "personal_api_keys/", "users/@me/"):
        assert client.get(f"/api/{path}").status_code == 200
    assert send(client, "PATCH", "/api/users/@me/", '{"first_name": "Mia"}').status_code == 200
    assert send(client, "PATCH", f"/api/projects/{cast.team.pk}/", '{"name": "Renamed"}').status_code == 200
    assert send(client, "POST", "/api/organizations/", '{"name": "Mine"}').status_code == 201


def test_who_may_not_do_it_anyway_is_not_asked(cast: Cast) -> None:
    refused = problem(send(signed_in(cast.member, None), "PATCH", "/api/organizations/@current/"))
    assert refused[2:4] == ("permission_denied", "Your organization access level is insufficient.")


@pytest.mark.parametrize("note", ["yesterday", None, [], 1e400])
def test_a_note_that_is_none_counts_as_old(cast: Cast, note: Any) -> None:
    client = signed_in(cast.owner)
    session = client.session
    session[SIGNED_IN_AT] = note if note != float("inf") else "inf"
    session.save()
    assert problem(send(client, "PATCH", "/api/organizations/@current/")) == AGAIN


def test_the_age_is_a_setting(cast: Cast, settings: Any) -> None:
    client = signed_in(cast.owner, 100)
    settings.SESSION_SENSITIVE_ACTIONS_AGE = 50
    assert problem(send(client, "PATCH", "/api/organizations/@current/")) == AGAIN
    settings.SESSION_SENSITIVE_ACTIONS_AGE = 1000
    assert send(client, "PATCH", "/api/organizations/@current/").status_code == 200


def test_signing_in_again_on_the_same_page_is_enough(cast: Cast) -> None:
    user = make_user(cast.organization, level=15, team=cast.team, password=PASSWORD)
    client = signed_in(user, 3 * HOURS)
    path = "/api/organizations/@current/"
    assert problem(send(client, "PATCH", path)) == AGAIN
    form = client.get("/login/?next=/api/organizations/")
    assert form.status_code == 200
    assert b"<form" in form.content
    answer = client.post("/login/", {"username": user.email, "password": PASSWORD, "next": "/api/organizations/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/api/organizations/")
    assert abs(client.session[SIGNED_IN_AT] - time.time()) < 60
    assert send(client, "PATCH", path).status_code == 200


def test_which_routes_are_sensitive() -> None:
    marked = {(route.template, method) for route, _, methods in routes() for method in methods if route.sensitive}
    assert {template.rstrip("/").replace("/{id}", "").split("/")[-1] for template, _ in marked} == {*SENSITIVE, "roll"}
    assert ("/api/organizations/", "post") not in marked
    assert ("/api/organizations/{id}/", "delete") in marked


def test_inactive_users_are_out_at_once_with_key_and_session(cast: Cast) -> None:
    client = signed_in(cast.owner)
    assert client.get("/api/users/@me/").status_code == 200
    type(cast.owner).objects.filter(pk=cast.owner.pk).update(is_active=False)
    for path in ("/api/users/@me/", "/api/organizations/", f"/api/projects/{cast.team.pk}/"):
        refused = problem(client.get(path))
        assert refused[:3] == (401, "authentication_error", "not_authenticated")
        assert problem(Caller(cast.owner_key).get(path))[:3] == (401, "authentication_error", "authentication_failed")
    assert problem(send(client, "PATCH", "/api/organizations/@current/"))[0] == 401
    assert Session.objects.exists()
    assert parsed(cast.as_member().get("/api/organizations/@current/members/"))["count"] == 1
