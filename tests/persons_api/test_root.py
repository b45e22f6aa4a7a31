"""The list of all resources, the login page, and what pages may load."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from core.api.browsing import CONTENT_SECURITY_POLICY
from core.routes import RESOURCES
from tests.core.conftest import Cast
from tests.factories import make_user

HTML = {"Accept": "text/html"}
LINK = re.compile(r"<td><a href=\"([^\"]+)\">([^<]+)</a></td><td>(.*?)</td>", re.DOTALL)
PASSWORD = "correct horse battery"


def path_of(url: str) -> str:
    return url.removeprefix("http://testserver")


def token_of(browser: Client, path: str = "/login/") -> str:
    found = re.search(r"name=\"csrfmiddlewaretoken\" value=\"(\w+)\"", browser.get(path, headers=HTML).content.decode())
    assert found is not None
    return found[1]


@pytest.fixture
def browser(cast: Cast) -> Client:
    cast.owner.set_password(PASSWORD)
    cast.owner.save()
    return Client(enforce_csrf_checks=True)


def sign_in(browser: Client, cast: Cast, **more: Any) -> Any:
    form = {"username": cast.owner.email, "password": PASSWORD, "csrfmiddlewaretoken": token_of(browser)}
    return browser.post("/login/", {**form, **more})


def test_every_resource_is_linked_and_answers_its_owner(cast: Cast, browser: Client, clickhouse: object) -> None:
    sign_in(browser, cast)
    page = browser.get("/api/", headers=HTML).content.decode()
    links = [(html.unescape(url), name, text.strip()) for url, name, text in LINK.findall(page)]
    answer = browser.get("/api/").json()
    assert sorted(url for url, _, _ in links) == sorted(answer.values())
    assert [(name, text) for _, name, text in links if not text] == []
    counted = sum(len(resource.trees) for resource in RESOURCES)
    assert len(answer) == counted + 3
    for url in answer.values():
        assert "@current" not in url
        assert browser.get(path_of(url)).status_code == 200, url
        if "/schema/" not in url:
            assert browser.get(path_of(url), headers=HTML).status_code == 200, url
    assert answer["projects/@current/persons"] == f"http://testserver/api/projects/{cast.team.pk}/persons/"
    assert (
        answer["organizations/@current/roles"] == f"http://testserver/api/organizations/{cast.organization.pk}/roles/"
    )
    assert f"Project: {cast.team.name}" in page
    assert f"Organization: {cast.organization.name}" in page


def test_the_root_names_the_same_resources_to_everyone(cast: Cast) -> None:
    known = cast.as_owner().get("/api/").json()  # type: ignore[attr-defined]  # the test client's responses have it
    unknown = Client().get("/api/").json()
    assert list(known) == list(unknown)
    assert unknown["projects/@current/persons"] == "http://testserver/api/projects/@current/persons/"
    page = Client().get("/api/", headers=HTML).content.decode()
    assert 'href="/login/?next=/api/"' in page
    assert "Bearer phx_..." in page


def test_the_root_works_for_users_without_a_project(db: None) -> None:
    client = Client()
    client.force_login(make_user())
    assert "projects/@current/persons/" in client.get("/api/").json()["projects/@current/persons"]
    assert client.get("/api/", headers=HTML).status_code == 200


def test_a_bad_key_at_the_root_is_a_401_on_a_page(db: None) -> None:
    response = Client().get("/api/", headers={**HTML, "Authorization": "Bearer phx_bad"})
    assert response.status_code == 401
    assert b"authentication_failed" in response.content


@pytest.mark.parametrize("path", ["/", "/login/", "/api/", "/api/schema/swagger-ui/", "/api/schema/redoc/"])
def test_pages_load_nothing_from_elsewhere(path: str, client: Client) -> None:
    response = client.get(path, headers=HTML)
    page = response.content.decode()
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert re.search(r"<script(?![^>]*\bsrc=)", page) is None
    assert re.search(r"(?:src|href)=\"(?:https?:)?//(?!testserver)", page) is None


def test_wrong_passwords_are_told_at_the_form(cast: Cast, browser: Client, valkey: object) -> None:
    response = sign_in(browser, cast, password="wrong")
    assert response.status_code == 200
    assert "Please enter a correct" in response.content.decode()
    assert f'value="{cast.owner.email}"' in response.content.decode()
    assert "wrong" not in response.content.decode()
    cast.owner.is_active = False
    cast.owner.save()
    assert sign_in(browser, cast).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("/api/users/@me/", "/api/users/@me/"),
        ("", "/api/"),
        ("https://elsewhere.example/", "/api/"),
        ("//elsewhere.example/", "/api/"),
        ("javascript:alert(1)", "/api/"),
    ],
)
def test_signing_in_leads_on_but_never_away(cast: Cast, browser: Client, wanted: str, place: str) -> None:
    response = sign_in(browser, cast, next=wanted)
    assert (response.status_code, response.headers["Location"]) == (302, place)


def test_signing_in_and_out_need_the_csrf_token(cast: Cast, browser: Client) -> None:
    assert sign_in(browser, cast, csrfmiddlewaretoken="x").status_code == 403
    assert sign_in(browser, cast).status_code == 302
    assert browser.post("/logout/").status_code == 403
    page_token = token_of(browser, "/api/projects/")
    assert browser.post("/logout/", {"csrfmiddlewaretoken": page_token}).status_code == 302
    assert browser.get("/api/users/@me/").status_code == 401
