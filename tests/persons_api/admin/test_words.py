"""What pages call things."""

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from core.deletions.models import DeletionRequest
from core.outbox.models import OutboxRows
from core.projects.deleting import projects_delete
from core.roles.models import Role
from core.tenancy.models import Organization
from tests.core.conftest import Cast
from tests.factories import make_organization, make_team, make_user
from tests.persons_api.admin.helpers import NOW, seed


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


@pytest.fixture
def erased(cast: Cast) -> DeletionRequest:
    projects_delete(organization_id=cast.organization.pk, team_ids=[cast.team.pk], user_id=cast.owner.pk)
    return DeletionRequest.unscoped.get(team_id=cast.team.pk, kind="project")


def test_the_request_for_a_project_names_it_and_no_person(cast: Cast, admin: Client, erased: DeletionRequest) -> None:
    page = reverse("admin:core_deletionrequest_change", args=[erased.pk])
    shown = text_of(admin.get(page).content.decode())
    assert f"Project name {cast.team.name}" in shown
    assert f"Organization {cast.organization.name} ({cast.organization.pk})" in shown
    assert "Person uuid" not in shown
    assert "Person deleted" not in shown
    assert str(erased.person_uuid) not in shown
    rows = text_of(admin.get("/admin/core/deletionrequest/").content.decode())
    assert f"project {cast.team.name}" in rows
    assert str(erased.person_uuid) not in rows


def test_the_organization_of_a_project_may_be_gone(cast: Cast, admin: Client, erased: DeletionRequest) -> None:
    page = reverse("admin:core_deletionrequest_change", args=[erased.pk])
    Organization.objects.filter(pk=cast.organization.pk).update(deleted_at=NOW)
    assert f"{cast.organization.name} ({cast.organization.pk})" in text_of(admin.get(page).content.decode())
    gone = uuid4()
    DeletionRequest.unscoped.filter(pk=erased.pk).update(organization_id=gone)
    assert f"not here any more ({gone})" in text_of(admin.get(page).content.decode())


def test_the_request_for_a_person_names_the_person(cast: Cast, admin: Client) -> None:
    seed(cast, 0)
    request = DeletionRequest.unscoped.get(kind="events")
    shown = text_of(admin.get(reverse("admin:core_deletionrequest_change", args=[request.pk])).content.decode())
    assert f"Person uuid {request.person_uuid}" in shown
    assert "Person deleted" in shown
    assert "Project name" not in shown
    assert f"person {request.person_uuid}" in text_of(admin.get("/admin/core/deletionrequest/").content.decode())


def test_one_is_told_from_many(admin: Client) -> None:
    organization = make_organization()
    role = Role.objects.create(organization=organization, name="Support")
    make_user(organization, team=make_team(organization))

    def shown(model: str, pk: object) -> str:
        return text_of(admin.get(reverse(f"admin:core_{model}_change", args=[pk])).content.decode())

    assert "1 member " in shown("organization", organization.pk)
    assert "1 project " in shown("organization", organization.pk)
    assert "0 members" in shown("role", role.pk)
    make_user(organization, team=make_team(organization))
    assert "2 members" in shown("organization", organization.pk)
    assert "2 projects" in shown("organization", organization.pk)


def test_one_entry_waits_again(admin: Client) -> None:
    refused = OutboxRows.objects.create(table="events", row_count=3, payload=b"x", refused_at=NOW)
    fields = {"action": "readmit", "_selected_action": [refused.pk]}
    assert "1 entry waits again." in admin.post("/admin/core/outboxrows/", fields, follow=True).content.decode()


def test_breadcrumbs_keep_addresses_as_they_are_written(cast: Cast, admin: Client) -> None:
    user = make_user(cast.organization, email="rd@example.org")
    body = admin.get(reverse("admin:core_user_change", args=[user.pk])).content.decode()
    assert "Rd@example.org" not in body
    title = text_of(body[body.index("<h1") : body.index("</h1>")])
    assert title.split() == ["Core", "chevron_right", "Users", "chevron_right", "rd@example.org"]


def test_empty_lists_say_so(admin: Client) -> None:
    body = admin.get("/admin/core/deletionrun/").content.decode()
    assert "Nothing here yet" in body
    assert "yielded" not in body
    body = admin.get("/admin/core/user/?q=nobody").content.decode()
    assert "Nothing matches" in body


def test_the_first_page_links_every_list(admin: Client) -> None:
    body = admin.get("/admin/").content.decode()
    sections = body[body.index('id="sections"') :]
    for model in ("organization", "team", "user", "personalapikey", "deletionrequest", "activitylog"):
        assert f'href="/admin/core/{model}/"' in sections
