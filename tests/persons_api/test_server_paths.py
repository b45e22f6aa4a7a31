"""Health, metrics, pages and system checks."""

import io
import re
import socket
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
from django.test import Client

from persons_api.checks import check_production, check_query_user
from persons_api.logging import hide_secrets
from persons_api.middleware import route_label
from tests.core.conftest import Cast
from tests.support.processes import RunningServer


def test_liveness_needs_no_store(client: Client) -> None:
    assert client.get("/_livez").status_code == 200
    assert client.get("/_livez/").status_code == 200


def test_readiness_of_the_web_asks_postgres_and_redis(client: Client) -> None:
    response = client.get("/_readyz")
    assert (response.status_code, orjson.loads(response.content)) == (
        200, {"http": True, "postgres": True, "redis": True},
    )  # fmt: skip


def test_readiness_of_the_worker_asks_clickhouse_too(client: Client) -> None:
    response = client.get("/_readyz?role=worker")
    assert orjson.loads(response.content)["clickhouse"] is True
    assert "clickhouse" not in orjson.loads(client.get("/_readyz?role=worker&exclude=clickhouse").content)
    assert client.get("/_readyz?role=nobody").status_code == 400


def test_readiness_says_which_store_is_away(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/_readyz")
    assert response.status_code == 503
    assert orjson.loads(response.content) == {"http": True, "postgres": True, "redis": False}
    assert client.get("/_readyz?exclude=redis").status_code == 200


def test_metrics_count_by_route(cast: Cast) -> None:
    cast.as_owner().get(f"/api/projects/{cast.team.pk}/persons/")
    text = Client().get("/metrics").content.decode()
    line = 'persons_api_requests_total{method="GET",route="/api/projects/{project_id}/persons",status="200"}'
    assert line in text
    assert "persons_api_request_seconds_bucket" in text
    assert "persons_api_outbox_rows 0.0" in text
    assert str(cast.owner_key) not in text


def test_labels_hold_no_values() -> None:
    assert route_label(r"^api/projects/(?P<project_id>[^/]+)/persons/(?P<id>[^/]+)/?$") == (
        "/api/projects/{project_id}/persons/{id}"
    )


@pytest.mark.django_db
def test_landing_page_leads_on(client: Client) -> None:
    text = client.get("/").content.decode()
    for link in re.findall(r'<a href="([^"]+)"', text):
        assert client.get(link).status_code == 200, link


def test_login_starts_a_session(cast: Cast) -> None:
    cast.owner.set_password("correct horse")
    cast.owner.save()
    browser = Client(enforce_csrf_checks=True)
    browser.get("/login/")
    form = {
        "username": cast.owner.email.upper(),
        "password": "correct horse",
        "csrfmiddlewaretoken": browser.cookies["posthog_csrftoken"].value,
    }
    response = browser.post("/login/?next=/api/users/@me/", {**form, "next": "/api/users/@me/"})
    assert (response.status_code, response["Location"]) == (302, "/api/users/@me/")
    assert browser.get("/api/users/@me/").status_code == 200
    assert browser.post("/logout/").status_code == 403
    token = browser.cookies["posthog_csrftoken"].value
    assert browser.post("/logout/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert browser.get("/api/users/@me/").status_code == 401


def test_wrong_password_stays_at_the_form(cast: Cast) -> None:
    response = Client().post("/login/", {"username": cast.owner.email, "password": "no"})
    assert response.status_code == 200
    assert b"Please enter a correct" in response.content


def test_production_refuses_unsafe_settings(settings: Any) -> None:
    assert check_production(None) == []
    settings.PRODUCTION = True
    settings.DEBUG = True
    settings.CLICKHOUSE_URL = "http://clickhouse:8123/x"
    found = {message.id for message in check_production(None)}
    assert {"persons_api.E001", "persons_api.E002", "persons_api.E003", "persons_api.W001"} <= found


@pytest.mark.parametrize(
    "text",
    [
        "GET /x?personal_api_key=SECRET&a=1",
        "Authorization: Bearer SECRET",
        '{"token": "SECRET"}',
        "data=SECRET",
        "key phx_SECRETSECRET!",
        "password='SECRET'",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    assert "SECRET" not in hide_secrets(text)


def test_ordinary_lines_stay_as_they_are() -> None:
    line = "request method=GET route=/api/projects/{project_id}/persons status=200 phc_public data store"
    assert hide_secrets(line) == line


def test_chunked_bodies_get_a_length() -> None:
    from persons_api.wsgi import receive_body

    environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"x" * 300_000)}
    receive_body(environ)
    assert environ["CONTENT_LENGTH"] == "300000"
    assert len(environ["wsgi.input"].read()) == 300_000


def test_a_body_that_is_too_long_is_left_unread() -> None:
    from persons_api.wsgi import MAX_BODY_BYTES, receive_body

    source = io.BytesIO(b"x")
    environ: dict[str, Any] = {"CONTENT_LENGTH": str(MAX_BODY_BYTES + 1), "wsgi.input": source}
    receive_body(environ)
    assert environ["wsgi.input"] is source


@pytest.mark.faults
@pytest.mark.xdist_group("servers")
def test_senders_who_stall_hold_nobody_up(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "data") as server:
        stalled = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]
        for connection in stalled:
            connection.sendall(b'POST /batch/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"api')
        for _ in range(5):
            assert urllib3.request("GET", f"{server.base_url}/_livez", timeout=30, retries=False).status == 200
        for connection in stalled:
            connection.close()


OWN = "http://persons_api:a@clickhouse:8123/x"


@pytest.mark.parametrize(
    ("production", "query", "found"),
    [
        (True, "http://persons_api_query:b@clickhouse:8123/x", []),
        (True, "", ["persons_api.E004"]),
        (False, "", ["persons_api.W002"]),
        (True, OWN, ["persons_api.E005"]),
        (True, "http://persons_api_query:b@clickhouse:8123/y", ["persons_api.E006"]),
        (False, OWN, []),
    ],
)
def test_a_clickhouse_of_ones_own_needs_the_query_user(
    settings: Any,
    production: bool,  # noqa: FBT001
    query: str,
    found: list[str],
) -> None:
    settings.PRODUCTION, settings.CLICKHOUSE_URL, settings.CLICKHOUSE_QUERY_URL = production, OWN, query
    assert [message.id for message in check_query_user(None)] == found
