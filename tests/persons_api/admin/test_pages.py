"""Every page: who gets it, that it shows no secrets, that nobody counts."""

import re
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.access.models import PersonalAPIKey, hash_key_value
from core.activity.models import ActivityLog
from core.activity.services import activity_log
from core.tenancy.models import Organization, User
from tests.core.conftest import Cast
from tests.factories import make_key, make_organization, make_user
from tests.persons_api.admin.helpers import (
    ADDABLE,
    DELETABLE,
    MODELS,
    all_pages,
    first_of,
    registered,
    seed,
    site_of,
)


def test_every_list_is_among_those_that_are_tested_here() -> None:
    assert set(registered()) == set(MODELS)


def test_persons_and_events_have_no_pages(cast: Cast, admin: Client) -> None:
    body = admin.get("/admin/").content.decode()
    for name in ("person/", "persondistinctid", "cohortperson", "idempotentanswer", "session"):
        assert f"/admin/core/{name}" not in body
    assert admin.get("/admin/core/person/").status_code == 404


def test_every_page_answers_the_operator(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    for page in all_pages():
        response = admin.get(page)
        assert response.status_code == 200, page
        assert response["Content-Type"].startswith("text/html"), page


def test_nobody_else_gets_any_page(cast: Cast) -> None:
    seed(cast, 0)
    staff_only = make_user(cast.organization, is_staff=True)
    superuser_only = make_user(cast.organization, is_superuser=True)
    gone = make_user(cast.organization, is_staff=True, is_superuser=True)
    for user in (None, cast.owner, staff_only, superuser_only, gone):
        client = Client()
        if user is not None:
            client.force_login(user)
        User.objects.filter(pk=gone.pk).update(is_active=False)
        for page in all_pages():
            response = client.get(page)
            assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/admin/login/"), page


def test_a_personal_api_key_opens_nothing_here(cast: Cast, operator: User) -> None:
    response = Client(headers={"Authorization": f"Bearer {make_key(operator)}"}).get("/admin/core/user/")
    assert response.status_code == 302


def test_what_must_not_be_added_changed_or_deleted_is_refused(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    for model in MODELS:
        if model not in ADDABLE:
            assert admin.post(reverse(f"admin:{model}_add"), {}).status_code == 403, model
        if model not in DELETABLE:
            page = reverse(f"admin:{model}_delete", args=[first_of(model).pk])
            assert admin.post(page, {"post": "yes"}).status_code == 403, model
        if model not in {"core_user", "core_team"}:
            page = reverse(f"admin:{model}_change", args=[first_of(model).pk])
            assert admin.post(page, {"name": "other"}).status_code == 403, model


def test_no_page_shows_a_hash_or_the_rows_of_the_outbox(cast: Cast, admin: Client, secret: str) -> None:
    seed(cast, 0)
    hashes = [hash_key_value(secret), hash_key_value(secret).removeprefix("sha256$"), secret]
    hashes += list(PersonalAPIKey.objects.values_list("secure_value", flat=True))
    shown = [*all_pages(), "/admin/core/personalapikey/?q=sha256", f"/admin/core/personalapikey/?q={hashes[1]}"]
    shown += [reverse("admin:core_personalapikey_change", args=[key.pk]) for key in PersonalAPIKey.objects.all()]
    shown += [reverse("admin:core_user_change", args=[user.pk]) for user in User.objects.all()]
    for page in shown:
        body = admin.get(page).content.decode().replace(f"?q={hashes[1]}", "").replace(f'value="{hashes[1]}"', "")
        assert not [found for found in hashes if found in body], page
        assert "secure_value" not in body, page
        assert "pbkdf2" not in body, page
        assert "secret payload" not in body, page
        assert "mia@example.org" not in body, page
        assert "hush" not in body, page


def test_no_page_reads_what_is_stored_encrypted(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    pages = all_pages()
    with CaptureQueriesContext(connection) as read:
        for page in pages:
            assert admin.get(page).status_code == 200, page
    columns = re.compile(r"encrypted_|web_token|archive|payload|SELECT \*|\bcore_plugindelivery\"?\.\"?distinct_id")
    assert not [one["sql"] for one in read if "core_plugin" in one["sql"] and columns.search(one["sql"])]
    assert [one for one in read if "core_pluginconfig" in one["sql"]]


def test_a_key_is_not_found_by_its_hash(cast: Cast, admin: Client, secret: str) -> None:
    for parameters in (
        f"q={hash_key_value(secret)}",
        f"secure_value={hash_key_value(secret)}",
        "secure_value__startswith=sha",
    ):
        response = admin.get(f"/admin/core/personalapikey/?{parameters}", follow=False)
        body = response.content.decode()
        assert response.status_code in {302, 400} or "test key" not in body, parameters


@pytest.mark.parametrize("model", MODELS)
def test_a_list_runs_the_same_statements_for_one_row_and_for_fifty(cast: Cast, admin: Client, model: str) -> None:
    page = reverse(f"admin:{model}_changelist")
    seed(cast, 0)
    admin.get(page)
    with CaptureQueriesContext(connection) as few:
        admin.get(page)
    for number in range(1, 50):
        seed(cast, number)
    with CaptureQueriesContext(connection) as many:
        response = admin.get(page)
    assert response.status_code == 200
    assert len(many) == len(few)
    counting = [one["sql"] for one in many if re.match(r"SELECT COUNT\(", one["sql"])]
    assert counting == []
    assert not re.search(r"\d+ results|1000000000", response.content.decode())


def test_lists_page_without_counting(cast: Cast, admin: Client) -> None:
    organization = make_organization()
    for number in range(101):
        activity_log(
            team_id=None, organization_id=organization.pk, user_id=None, scope="Role", activity="created",
            item_id=str(number), detail={"name": f"entry {number}"},
        )  # fmt: skip
    seen: list[str] = []
    page = f"/admin/core/activitylog/?q={organization.pk}"
    for wanted in (50, 50, 1):
        body = admin.get(page).content.decode()
        rows = re.findall(r"field-item_id[^>]*>\s*(?:<[^>]*>\s*)*(\d+)", body)
        assert len(rows) == wanted, page
        seen += rows
        following = re.search(r'rel="next" href="([^"]+)"', body)
        page = "/admin/core/activitylog/" + (following[1].replace("&amp;", "&") if following else "")
    assert following is None
    assert seen == [str(number) for number in reversed(range(101))]
    assert admin.get("/admin/core/activitylog/?p=201").status_code == 302


def test_odd_searches_are_no_errors(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    queries = ["q=%00", "q=" + "9" * 5000, "q=%ED%A0%80", "p=-1", "p=x", "verified=maybe", "nonsense=1", "o=99", "e=1"]
    for page in (reverse(f"admin:{model}_changelist") for model in MODELS):
        for query in queries:
            assert admin.get(f"{page}?{query}").status_code in {200, 302, 400}, (page, query)


def test_odd_addresses_are_no_errors(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    narrowed = [
        "core/organizationmembership/?user__id__exact=", "core/organizationmembership/?organization__id__exact=",
        "core/deletionrequest/?team__id__exact=", "core/activitylog/?organization_id__exact=",
        "core/activitylog/?team_id__exact=", "core/activitylog/?q=", "core/deletionrequest/?q=", "search/?s=a&page=",
        f"r/{ContentType.objects.get_for_model(Organization).pk}/", "autocomplete/?term=", "jsi18n/?", "nothing/",
    ]  # fmt: skip
    odd = ["x", "%00", "-1", "9" * 30, "%ED%A0%80", "'", "a" * 5000, str(uuid4())]
    addresses = [f"/admin/{begin}{end}" for begin in narrowed for end in odd]
    addresses += [
        f"/admin/{model.replace('_', '/', 1)}/{end}/{page}/"
        for model in MODELS
        for end in odd
        for page in ("change", "delete", "history", "password")
    ]
    for address in addresses:
        assert admin.get(address).status_code in {200, 302, 400, 403, 404}, address


def test_pages_load_nothing_from_elsewhere(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    static: set[str] = set()
    for page in [*all_pages(), "/admin/login/"]:
        body = (Client() if "login" in page else admin).get(page).content.decode()
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]*"', body), page
        static |= set(re.findall(r'(?:src|href)="(/static/[^"]+)"', body))
    assert static
    for path in sorted(static):
        response = Client().get(path)
        assert response.status_code == 200, path
        content = b"".join(response.streaming_content) if response.streaming else response.content
        if path.endswith(".css"):
            assert not re.findall(rb"url\(['\"]?(?:https?:)?//", content), path
            assert b"@import" not in content, path


def test_the_address_without_slash_leads_there(db: None) -> None:
    response = Client().get("/admin")
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_list_that_takes_too_long_is_given_up(cast: Cast, admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.models.expressions import RawSQL

    from persons_api.admin import base

    seed(cast, 0)
    kind = type(site_of("core_activitylog"))
    monkeypatch.setattr(base, "LIST_SECONDS", 0.2)
    slow = RawSQL("(SELECT 1 FROM pg_sleep(10))", ())
    monkeypatch.setattr(kind, "get_queryset", lambda *_: ActivityLog.objects.annotate(slow=slow))
    response = admin.get("/admin/core/activitylog/")
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert "took too long" in admin.get("/admin/").content.decode()


def test_the_admin_passes_djangos_own_checks(db: None) -> None:
    from persons_api.admin import urls  # noqa: F401 registers
    from persons_api.admin.site import site

    assert site.check(None) == []


def test_a_process_that_shows_no_admin_does_not_import_it() -> None:
    import subprocess
    import sys

    code = "import persons_api.wsgi, sys; print([name for name in sys.modules if name.startswith('persons_api.admin')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
