"""What an operator changes goes the way of the API and leaves its traces."""

from typing import Any

import orjson
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.access.models import PersonalAPIKey
from core.activity.models import ActivityLog
from core.deletions.models import DeletionRequest
from core.outbox.models import OutboxRows
from core.tenancy.models import Team, User
from tests.core.conftest import Cast
from tests.persons_api.admin.helpers import NOW, PASSWORD


def test_limits_of_a_project_are_checked_stored_and_logged(cast: Cast, admin: Client, operator: User) -> None:
    page = reverse("admin:core_team_change", args=[cast.team.pk])
    for wrong in ('{"burst": "many"}', '{"nonsense": "1/minute"}', "[1]", '"x"', "{", '{"burst": 5}'):
        response = admin.post(page, {"rate_limits": wrong})
        assert response.status_code == 200, wrong
        assert Team.objects.get(pk=cast.team.pk).rate_limits is None
    assert (
        admin.post(page, {"rate_limits": '{"burst": "1000/minute"}', "is_demo": "on", "name": "x"}).status_code == 302
    )
    team = Team.objects.get(pk=cast.team.pk)
    assert (team.rate_limits, team.is_demo, team.name) == ({"burst": "1000/minute"}, False, "Shop")
    entry = ActivityLog.objects.get(scope="Team", item_id=str(team.pk))
    assert (entry.activity, entry.user_id, entry.organization_id) == ("updated", operator.pk, cast.organization.pk)
    assert entry.detail["changes"] == [
        {"type": "Team", "action": "created", "field": "rate_limits", "before": None, "after": {"burst": "1000/minute"}}
    ]
    assert admin.post(page, {"rate_limits": ""}).status_code == 302
    assert Team.objects.get(pk=cast.team.pk).rate_limits is None


def test_deleting_a_project_marks_it_and_asks_the_job(cast: Cast, admin: Client, operator: User) -> None:
    page = reverse("admin:core_team_delete", args=[cast.team.pk])
    with CaptureQueriesContext(connection) as asked:
        assert "Delete the project" in admin.get(page).content.decode()
    assert not [one for one in asked if "core_person" in one["sql"]]
    assert admin.post(page, {"post": "yes"}).status_code == 302
    assert not Team.objects.filter(pk=cast.team.pk).exists()
    assert Team.with_deleted.get(pk=cast.team.pk).deleted_at is not None
    assert cast.as_owner().get(f"/api/projects/{cast.team.pk}/").status_code == 404
    request = DeletionRequest.unscoped.get(team_id=cast.team.pk, kind="project")
    assert request.requested_by_id == operator.pk
    assert ActivityLog.objects.filter(scope="Team", activity="deleted", user_id=operator.pk).exists()
    assert admin.get(reverse("admin:core_deletionrequest_change", args=[request.pk])).status_code == 200


def test_revoking_a_key_kills_it_and_is_told_in_the_operators_name(cast: Cast, admin: Client, operator: User) -> None:
    assert cast.as_owner().get("/api/users/@me/").status_code == 200
    key = PersonalAPIKey.objects.get(user=cast.owner)
    assert admin.post(reverse("admin:core_personalapikey_delete", args=[key.pk]), {"post": "yes"}).status_code == 302
    assert cast.as_owner().get("/api/users/@me/").status_code == 401
    entry = ActivityLog.objects.get(scope="PersonalAPIKey", activity="deleted")
    assert (entry.user_id, entry.item_id, entry.organization_id) == (operator.pk, key.pk, cast.organization.pk)
    assert LogEntry.objects.filter(user=operator, action_flag=3, object_id=key.pk).exists()


def user_fields(user: User, **changes: Any) -> dict[str, Any]:
    fields = {name: getattr(user, name) for name in ("email", "first_name", "last_name")}
    fields |= {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    return {name: value for name, value in (fields | changes).items() if value is not None}


def test_deactivating_a_user_stops_keys_and_sessions_and_is_logged(cast: Cast, admin: Client, operator: User) -> None:
    browser = Client()
    browser.force_login(cast.owner)
    before = User.objects.values_list("password", flat=True).get(pk=cast.owner.pk)
    page = reverse("admin:core_user_change", args=[cast.owner.pk])
    assert admin.post(page, user_fields(cast.owner, is_active=None, first_name="Mia")).status_code == 302
    assert cast.as_owner().get("/api/users/@me/").status_code == 401
    assert browser.get("/api/users/@me/").status_code == 401
    entry = ActivityLog.objects.get(scope="User", item_id=str(cast.owner.pk))
    assert (entry.user_id, entry.organization_id) == (operator.pk, cast.organization.pk)
    assert {change["field"]: change["after"] for change in entry.detail["changes"]} == {
        "first_name": "Mia",
        "is_active": False,
    }
    assert User.objects.values_list("password", flat=True).get(pk=cast.owner.pk) == before


def test_operators_do_not_lock_themselves_out(operator: User, admin: Client) -> None:
    page = reverse("admin:core_user_change", args=[operator.pk])
    for name in ("is_active", "is_staff", "is_superuser"):
        response = admin.post(page, user_fields(operator, **{name: None}))
        assert response.status_code == 200
        assert "take your own access away" in response.content.decode()
    operator.refresh_from_db()
    assert operator.is_active
    assert operator.is_staff
    assert operator.is_superuser


def test_an_address_is_taken_once_whatever_its_case(cast: Cast, admin: Client) -> None:
    page = reverse("admin:core_user_change", args=[cast.member.pk])
    assert admin.post(page, user_fields(cast.member, email=cast.owner.email.upper())).status_code == 200
    assert (
        admin.post("/admin/core/user/add/", {"email": cast.owner.email.upper(), "usable_password": "false"}).status_code
        == 200
    )
    assert not ActivityLog.objects.filter(scope="User").exists()


def test_a_password_that_an_operator_sets_works_and_is_never_logged(cast: Cast, admin: Client, operator: User) -> None:
    page = reverse("admin:auth_user_password_change", args=[cast.owner.pk])
    assert admin.post(page, {"password1": "short", "password2": "short", "usable_password": "true"}).status_code == 200
    assert not ActivityLog.objects.filter(scope="User").exists()
    fields = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert admin.post(page, fields).status_code == 302
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(PASSWORD)
    entry = ActivityLog.objects.get(scope="User", item_id=str(cast.owner.pk))
    assert entry.user_id == operator.pk
    assert entry.detail["changes"] == [
        {"type": "User", "action": "changed", "field": "password", "before": None, "after": None}
    ]
    everything = orjson.dumps(
        [list(ActivityLog.objects.values("detail")), list(LogEntry.objects.values("change_message"))]
    )
    assert PASSWORD.encode() not in everything


def test_operators_change_their_own_password_with_the_old_one(operator: User, admin: Client) -> None:
    new = PASSWORD + "!"
    assert (
        admin.post(
            "/admin/password_change/", {"old_password": "wrong", "new_password1": new, "new_password2": new}
        ).status_code
        == 200
    )
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert admin.post("/admin/password_change/", fields).status_code == 302
    operator.refresh_from_db()
    assert operator.check_password(new)
    assert admin.get("/admin/").status_code == 200


def test_a_user_is_added_with_or_without_a_password(admin: Client) -> None:
    fields = {"email": "Key@Example.org", "usable_password": "false"}
    assert admin.post("/admin/core/user/add/", fields).status_code == 302
    assert not User.objects.get(email="Key@example.org").has_usable_password()
    fields = {"email": "both@example.org", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin.post("/admin/core/user/add/", fields).status_code == 302
    assert User.objects.get(email="both@example.org").check_password(PASSWORD)


def test_refused_entries_of_the_outbox_are_let_in_again(admin: Client) -> None:
    refused = OutboxRows.objects.create(table="events", row_count=3, payload=b"x", refused_at=NOW)
    other = OutboxRows.objects.create(table="events", row_count=3, payload=b"x", refused_at=NOW)
    response = admin.post("/admin/core/outboxrows/", {"action": "readmit", "_selected_action": [refused.pk]})
    assert response.status_code == 302
    assert OutboxRows.objects.get(pk=refused.pk).refused_at is None
    assert OutboxRows.objects.get(pk=other.pk).refused_at == NOW


def test_the_confirmation_names_the_project_and_what_is_erased(cast: Cast, admin: Client) -> None:
    body = admin.get(reverse("admin:core_team_delete", args=[cast.team.pk])).content.decode()
    assert f"“{cast.team.name}” (id {cast.team.pk})" in body
    assert f"“{cast.organization.name}”" in body
    assert "erases all of its persons, events and recordings for good" in body
    assert "Projects: 1" not in body
