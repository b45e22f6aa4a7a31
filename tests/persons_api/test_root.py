"""The list of all resources, the login page, and what pages may load."""

import html
import re
from typing import Any

import pytest
from django.test import Client

from core.api.browsing import CONTENT_SECURITY_POLICY
from core.insights.views import PersonInsightsViewSet
from core.query.views import QueryViewSet
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
    questions = {PersonInsightsViewSet, QueryViewSet}
    counted = sum(len(resource.trees) for resource in RESOURCES if resource.viewset not in questions)
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


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
ANY = ["*/*", "application/json", "application/json, text/html", "application/json, text/plain, */*", "q;=,;", ""]


@pytest.mark.parametrize("path", ["/nope", "/api/nope/", "/api/<script>alert(1)</script>"])
def test_people_at_an_unknown_path_get_a_page_with_links(path: str, client: Client) -> None:
    response = client.get(path, headers=BROWSER)
    page = response.content.decode()
    assert (response.status_code, response.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["Vary"] == "Accept"
    assert f"<code>{html.escape(path)}</code>" in page
    for link in ("/api/", "/api/schema/swagger-ui/", "/"):
        assert f'<a href="{link}">' in page
    assert "<script" not in page


@pytest.mark.parametrize("accept", ANY)
def test_programs_at_an_unknown_path_get_the_envelope(accept: str, client: Client) -> None:
    for headers in ({"Accept": accept}, {}):
        response = client.get("/api/nope/", headers=headers)
        assert response.status_code == 404
        assert response.json() == {
            "type": "invalid_request", "code": "not_found", "detail": "Endpoint not found.", "attr": None,
        }  # fmt: skip


def test_users_see_who_they_are_on_the_page_of_an_unknown_path(cast: Cast, browser: Client) -> None:
    sign_in(browser, cast)
    page = browser.get("/api/nope/", headers=BROWSER).content.decode()
    assert cast.owner.email in page
    assert 'href="/login/' not in page


def test_who_opens_the_logout_page_is_asked_first(cast: Cast, browser: Client) -> None:
    assert b"You are not logged in." in browser.get("/logout/", headers=BROWSER).content
    sign_in(browser, cast)
    response = browser.get("/logout/", headers=BROWSER)
    page = response.content.decode()
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert '<a href="/api/" class="button quiet">' in page
    assert browser.get("/api/users/@me/").status_code == 200
    form = re.search(r"<main.*?<form method=\"post\">.*?name=\"csrfmiddlewaretoken\" value=\"(\w+)\"", page, re.DOTALL)
    assert form is not None
    assert browser.post("/logout/", {"csrfmiddlewaretoken": form[1]}).status_code == 302
    assert browser.get("/api/users/@me/").status_code == 401


def test_every_page_has_an_icon(cast: Cast, client: Client) -> None:
    icon = client.get("/favicon.ico")
    assert icon.status_code == 200
    assert icon.headers["Content-Type"] in {"image/x-icon", "image/vnd.microsoft.icon"}
    assert b"".join(icon.streaming_content)[:6] == b"\x00\x00\x01\x00\x03\x00"  # type: ignore[arg-type]  # not async
    icon.close()
    link = '<link rel="icon" href="/static/browsable/icon.svg"'
    for path in ("/", "/login/", "/api/", "/api/schema/redoc/", "/nope", "/logout/"):
        assert link in client.get(path, headers=BROWSER).content.decode(), path
    assert 'href="/static/browsable/icon.svg"' in client.get("/admin/login/").content.decode()
    drawing = client.get("/static/browsable/icon.svg")
    assert b"".join(drawing.streaming_content).startswith(b"<svg")  # type: ignore[arg-type]  # not async
    drawing.close()


@pytest.mark.parametrize("path", ["/api/schema/swagger-ui/", "/api/schema/redoc/"])
def test_the_documents_say_when_to_come_back(path: str, client: Client, settings: Any, valkey: object) -> None:
    settings.RATE_LIMIT_ENABLED = True
    settings.RATE_LIMITS = {**dict.fromkeys(settings.RATE_LIMITS, "none"), "burst": "1/minute"}
    assert client.get(path, headers=BROWSER).status_code == 200
    response = client.get(path, headers=BROWSER)
    assert (response.status_code, response.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    seconds = response.headers["Retry-After"]
    assert 0 < int(seconds) <= 60
    assert {"RateLimit", "RateLimit-Policy"} <= set(response.headers)
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    page = response.content.decode()
    assert "<h1>Too Many Requests</h1>" in page
    assert f"Try again in {seconds} second" in page


@pytest.mark.parametrize("accept", [BROWSER["Accept"], "text/html"])
def test_people_read_the_openapi_document_as_text(accept: str, client: Client) -> None:
    response = client.get("/api/schema/", headers={"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert response.headers["Content-Disposition"].startswith("inline")
    assert response.content.startswith(b"openapi: 3.0.3")
    document = client.get("/api/schema/?format=json", headers=BROWSER)
    assert document.headers["Content-Type"] == "application/vnd.oai.openapi+json"
    for other in ("*/*", "application/vnd.oai.openapi", "application/yaml"):
        program = client.get("/api/schema/", headers={"Accept": other})
        assert "text/plain" not in program.headers["Content-Type"]
        assert program.content == response.content
