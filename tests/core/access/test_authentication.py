import datetime as dt

import pytest
from django.utils import timezone

from core.access.models import PersonalAPIKey
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key
from tests.support.contract import CheckedClient

AUTH = "authentication_error"
ME = "/api/users/@me/"


def test_no_credential_is_401() -> None:
    response = Caller().get(ME)
    assert problem(response) == (
        401, AUTH, "not_authenticated", "Authentication credentials were not provided.", None,
    )  # fmt: skip
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["bearer {}", "Token {}", "Basic {}", "Bearer", "Bearer x"])
def test_other_header_forms_are_no_credential(cast: Cast, header: str) -> None:
    response = Caller().get(ME, headers={"Authorization": header.format(cast.owner_key)})
    assert problem(response)[2] == "not_authenticated"


def test_blanks_around_the_key_do_not_matter(cast: Cast) -> None:
    assert Caller().get(ME, headers={"Authorization": f"Bearer   {cast.owner_key}  "}).status_code == 200


@pytest.mark.django_db
def test_unknown_key_in_header_is_401() -> None:
    expected = "Personal API key found in request Authorization header is invalid."
    assert problem(Caller("phx_nonsense").get(ME)) == (401, AUTH, "authentication_failed", expected, None)


def test_project_token_is_no_key(cast: Cast) -> None:
    assert problem(Caller(cast.team.api_token).get(ME))[2] == "authentication_failed"


def test_key_in_query_string_works(cast: Cast) -> None:
    assert Caller().get(f"{ME}?personal_api_key={cast.owner_key}").status_code == 200
    expected = "Personal API key found in request query string is invalid."
    assert problem(Caller().get(f"{ME}?personal_api_key=phx_no"))[3] == expected


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_key_in_body_works(cast: Cast, content_type: str) -> None:
    def body(key: str) -> str:
        return f'{{"personal_api_key":"{key}"}}' if "json" in content_type else f"personal_api_key={key}"

    assert Caller()("PATCH", ME, body(cast.owner_key), content_type=content_type).status_code == 200
    refused = Caller()("PATCH", ME, body("phx_no"), content_type=content_type)
    assert problem(refused)[3] == "Personal API key found in request body is invalid."


def test_only_the_first_place_is_tried(cast: Cast) -> None:
    response = Caller("phx_wrong").get(f"{ME}?personal_api_key={cast.owner_key}")
    assert problem(response)[2] == "authentication_failed"


def test_inactive_users_keys_are_dead(cast: Cast) -> None:
    cast.owner.is_active = False
    cast.owner.save()
    assert problem(cast.as_owner().get(ME))[2] == "authentication_failed"


def test_bad_key_fails_even_with_a_session(cast: Cast) -> None:
    client = CheckedClient()
    client.force_login(cast.owner)
    assert client.get(ME).status_code == 200
    assert client.get(ME, headers={"Authorization": "Bearer phx_wrong"}).status_code == 401


def test_unsafe_session_call_needs_the_csrf_token(cast: Cast) -> None:
    client = CheckedClient(enforce_csrf_checks=True)
    client.force_login(cast.owner)
    response = client.patch(ME, "{}", content_type="application/json")
    assert problem(response) == (403, AUTH, "permission_denied", "CSRF Failed: CSRF cookie not set.", None)
    client.get("/login/")
    token = client.cookies["posthog_csrftoken"].value
    response = client.patch(ME, "{}", content_type="application/json")
    assert problem(response)[3] == "CSRF Failed: CSRF token missing."
    response = client.patch(ME, "{}", content_type="application/json", headers={"X-CSRFToken": token})
    assert response.status_code == 200


def test_key_needs_no_csrf_token_beside_a_session(cast: Cast) -> None:
    client = CheckedClient(enforce_csrf_checks=True)
    client.force_login(cast.owner)
    headers = {"Authorization": f"Bearer {cast.owner_key}"}
    assert client.patch(ME, "{}", content_type="application/json", headers=headers).status_code == 200


def test_last_use_is_noted_once_an_hour(cast: Cast) -> None:
    cast.as_owner().get(ME)
    key = PersonalAPIKey.objects.get(user=cast.owner)
    assert key.last_used_at is not None
    first = key.last_used_at
    cast.as_owner().get(ME)
    key.refresh_from_db()
    assert key.last_used_at == first
    PersonalAPIKey.objects.update(last_used_at=timezone.now() - dt.timedelta(minutes=61))
    cast.as_owner().get(ME)
    key.refresh_from_db()
    assert key.last_used_at > first


def test_one_statement_settles_a_key_on_a_project_route(cast: Cast, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    path = f"/api/projects/{cast.team.pk}/persons/?distinct_id=nobody"
    cast.as_owner().get(path)
    with django_assert_num_queries(2):  # one for the caller, one for the persons
        assert cast.as_owner().get(path).status_code == 200


def test_key_with_null_scopes_may_do_everything(cast: Cast) -> None:
    key = make_key(cast.owner, scopes=None)
    assert Caller(key).get(f"/api/projects/{cast.team.pk}/persons/").status_code == 200
    assert parsed(Caller(key).get("/api/personal_api_keys/@current"))["scopes"] == ["*"]


def test_key_with_no_scopes_may_do_nothing(cast: Cast) -> None:
    key = make_key(cast.owner, scopes=[])
    assert problem(Caller(key).get(ME))[3] == "API key missing required scope 'user:read'"
