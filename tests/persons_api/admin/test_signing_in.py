"""Both login pages, sessions, and who becomes an operator."""

import re
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from core.tenancy.models import User
from tests.core.conftest import Cast
from tests.factories import make_user
from tests.persons_api.admin.helpers import (
    PASSWORD,
)


def test_an_operator_signs_in_with_another_session_and_leaves_by_post(operator: User) -> None:
    client = Client()
    page = client.get("/admin/login/")
    assert page.status_code == 200
    client.session.save()
    response = client.post(
        "/admin/login/", {"username": "Operator@example.org", "password": PASSWORD, "next": "/admin/"}
    )
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/logout/").status_code == 405
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/").status_code == 302


def test_a_session_of_before_is_not_taken_over(operator: User) -> None:
    from importlib import import_module

    from django.conf import settings

    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store["planted"] = 1
    store.save()
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = store.session_key
    client.post("/admin/login/", {"username": operator.email, "password": PASSWORD})
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != store.session_key
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = store.session_key
    assert thief.get("/admin/").status_code == 302


def test_every_refused_sign_in_reads_the_same(cast: Cast, operator: User) -> None:
    make_user(cast.organization, email="member@example.org", password=PASSWORD)
    texts = set()
    for email, password in (
        ("operator@example.org", "wrong"),
        ("nobody@example.org", "wrong"),
        ("member@example.org", PASSWORD),
    ):
        response = Client().post("/admin/login/", {"username": email, "password": password})
        assert response.status_code == 200
        texts.add(" ".join(re.findall(r"Please enter[^<]+", response.content.decode())))
    assert len(texts) == 1
    assert texts != {""}


def test_forms_want_the_csrf_token(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/admin/login/", {"username": operator.email, "password": PASSWORD}).status_code == 403
    client.force_login(operator)
    assert client.post("/admin/core/user/add/", {"email": "new@example.org"}).status_code == 403
    assert client.post("/admin/logout/").status_code == 403
    token = re.search(
        r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/admin/core/user/add/").content.decode()
    )
    assert token is not None
    fields = {"email": "new@example.org", "usable_password": "false", "csrfmiddlewaretoken": token[1]}
    assert client.post("/admin/core/user/add/", fields).status_code == 302
    assert User.objects.filter(email="new@example.org").exists()


@pytest.mark.parametrize("path", ["/admin/login/", "/login/"])
def test_passwords_are_not_tried_without_end(operator: User, valkey: object, path: str) -> None:
    def attempt(password: str, email: str = "operator@example.org", address: str = "127.0.0.9") -> Any:
        return Client(REMOTE_ADDR=address).post(path, {"username": email, "password": password})

    assert [attempt("wrong").status_code for _ in range(10)] == [200] * 10
    refused = attempt(PASSWORD, email="OPERATOR@example.org")
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "Too many attempts" in refused.content.decode()
    assert attempt(PASSWORD, address="127.0.0.10").status_code == 302
    assert attempt("wrong", email="other@example.org").status_code == 200


def test_one_address_does_not_try_one_password_on_everybody(db: None, valkey: object) -> None:
    from persons_api.signing_in import attempt_wait

    waits = [attempt_wait(address="127.0.0.9", email=f"user{number}@example.org") for number in range(101)]
    assert waits[:100] == [0] * 100
    assert waits[100] > 0


def test_many_addresses_do_not_try_one_user(db: None, valkey: object) -> None:
    from persons_api.signing_in import attempt_wait

    waits = [attempt_wait(address=f"127.0.1.{number}", email="mia@example.org") for number in range(61)]
    assert waits[:60] == [0] * 60
    assert waits[60] > 0


def test_without_redis_the_operator_still_gets_in(operator: User, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = Client().post("/admin/login/", {"username": operator.email, "password": PASSWORD})
    assert response.status_code == 302


def test_createsuperuser_makes_an_operator(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, email="Root@example.org", verbosity=0)
    user = User.objects.get(email__iexact="root@example.org")
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, True, True)
    response = Client().post("/admin/login/", {"username": "root@example.org", "password": PASSWORD})
    assert response.status_code == 302


@pytest.mark.django_db
def test_every_answer_below_admin_forbids_what_other_hosts_serve() -> None:
    for path in ("/admin/", "/admin/login/", "/admin/core/user/", "/admin/nope"):
        policy = Client().get(path).headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
