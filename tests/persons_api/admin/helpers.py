"""Rows and addresses of every list of the admin."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.urls import reverse

from core.activity.services import activity_log
from core.deletions.models import DeletionRequest, DeletionRun
from core.outbox.models import OutboxRows
from core.persons.models import ImportProgress
from core.roles.models import Role, RoleMembership
from core.tenancy.models import OrganizationMembership
from tests.core.conftest import Cast
from tests.factories import make_key, make_organization, make_team, make_user

PASSWORD = "correct horse battery staple"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MODELS = (
    "core_organization", "core_organizationmembership", "core_team", "core_role", "core_rolemembership", "core_user",
    "core_personalapikey", "core_deletionrequest", "core_deletionrun", "core_outboxrows", "core_importprogress",
    "core_activitylog", "admin_logentry",
)  # fmt: skip
ADDABLE = {"core_user"}
DELETABLE = {"core_team", "core_personalapikey"}


class QuickHasher(PBKDF2PasswordHasher):
    """Hashes that look like the real ones, without the seconds they take."""

    iterations = 1


def seed(cast: Cast, number: int) -> None:
    """One more row in every list."""
    organization = make_organization()
    team = make_team(organization)
    user = make_user(organization, team=team, password=PASSWORD)
    make_key(user)
    role = Role.objects.create(organization=organization, name=f"Role {number}", created_by=user)
    member = OrganizationMembership.objects.get(user=user)
    RoleMembership.objects.create(role=role, user=user, organization_member=member)
    run = DeletionRun.objects.create(started_at=NOW + timedelta(minutes=number), step="counted", found={"events": 3})
    DeletionRequest.unscoped.create(
        team=team, kind="events", person_uuid=uuid4(), requested_at=NOW, requested_by=user, run=run,
        distinct_ids=[{"distinct_id": "mia@example.org", "generation": 0, "until": None, "deleted": True}],
        receipt={"tables": {"events": {"found": 3, "removed": 3, "remaining": 0}}}, verified_at=NOW,
    )  # fmt: skip
    OutboxRows.objects.create(table="events", row_count=number + 1, payload=b"\x00\x01secret payload")
    ImportProgress.unscoped.create(team=team, content_hash=f"{number:064d}", rows_done=5)
    activity_log(
        team_id=team.pk, organization_id=organization.pk, user_id=user.pk, scope="Team", activity="created",
        item_id=str(team.pk), detail={"name": team.name},
    )  # fmt: skip
    LogEntry.objects.log_actions(user.pk, [organization], 2, change_message="changed")


def registered() -> dict[str, Any]:
    from persons_api.admin import urls  # noqa: F401 registers
    from persons_api.admin.site import site

    return {f"{model._meta.app_label}_{model._meta.model_name}": model for model in site._registry}  # noqa: SLF001


def site_of(name: str) -> Any:
    from persons_api.admin.site import site

    return site._registry[registered()[name]]  # noqa: SLF001


def first_of(name: str) -> Any:
    return registered()[name]._base_manager.order_by("pk").first()  # noqa: SLF001


def pages(model: str) -> Iterator[str]:
    yield reverse(f"admin:{model}_changelist")
    yield reverse(f"admin:{model}_change", args=[first_of(model).pk])
    if model in ADDABLE:
        yield reverse(f"admin:{model}_add")
    if model in DELETABLE:
        yield reverse(f"admin:{model}_delete", args=[first_of(model).pk])
    yield reverse(f"admin:{model}_history", args=[first_of(model).pk])


def all_pages() -> list[str]:
    own = [
        "/admin/",
        "/admin/password_change/",
        reverse("admin:auth_user_password_change", args=[first_of("core_user").pk]),
    ]
    return own + [page for model in MODELS for page in pages(model)]
