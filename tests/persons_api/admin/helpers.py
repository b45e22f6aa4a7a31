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
from core.encryption.services import encrypt, encrypt_json
from core.outbox.models import OutboxRows
from core.persons.models import ImportProgress
from core.plugins.models import (
    Plugin,
    PluginAttachment,
    PluginConfig,
    PluginDelivery,
    PluginDestination,
    PluginJob,
)
from core.roles.models import Role, RoleMembership
from core.tenancy.models import OrganizationMembership, Team, User
from tests.core.conftest import Cast
from tests.factories import make_key, make_organization, make_team, make_user

PASSWORD = "correct horse battery staple"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MODELS = (
    "core_organization", "core_organizationmembership", "core_team", "core_role", "core_rolemembership", "core_user",
    "core_personalapikey", "core_deletionrequest", "core_deletionrun", "core_outboxrows", "core_importprogress",
    "core_activitylog", "admin_logentry", "core_plugin", "core_pluginconfig", "core_pluginjob",
    "core_plugindestination", "core_plugindelivery",
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
    seed_plugins(team, user, number)


def seed_plugins(team: Team, user: User, number: int) -> None:
    """Configure a plugin with a secret and let an event wait, one be given up, and a job fail."""
    plugin = Plugin.objects.create(
        organization_id=team.organization_id, plugin_type="repository", name=f"Relay {number}", tag="1.2.0",
        url=f"https://github.com/example/relay{number}?private_token=hush-hush", archive=b"secret payload",
        encrypted_query=encrypt(b"private_token=hush-hush"), config_schema=[{"key": "token", "secret": True}],
    )  # fmt: skip
    config = PluginConfig.unscoped.create(
        team=team, plugin=plugin, enabled=True, order=number, web_token=f"hush-hush-{number}",
        encrypted_config=encrypt_json({"token": "hush-hush"}),
    )  # fmt: skip
    PluginAttachment.unscoped.create(
        team=team, plugin_config=config, key="mapping", content_type="text/csv", file_name="mia@example.org.csv",
        file_size=9, encrypted_contents=encrypt(b"hush-hush"),
    )  # fmt: skip
    PluginJob.unscoped.create(
        team=team, plugin_config=config, type="export", encrypted_payload=encrypt_json({"token": "hush-hush"}),
        state="failed", last_error="The receiver is away.", created_by=user,
    )  # fmt: skip
    PluginDestination.unscoped.create(plugin_config=config, team=team, attempts=2, last_error="status 500")
    for dead_at in (NOW, None):
        PluginDelivery.unscoped.create(
            team=team, plugin_config_id=config.pk, distinct_id="mia@example.org", generation=0, event_uuid=uuid4(),
            event="paid", payload='{"secret payload": "mia@example.org"}', captured_at=NOW, dead_at=dead_at,
            error="Refused: status 400" if dead_at else "",
        )  # fmt: skip


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
