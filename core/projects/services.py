"""Making and changing projects; each change is one transaction with its entries in the activity log."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.api.json import dumps
from core.filters.storing import stores_filters
from core.projects.fields import DEFAULT_NAME, DEFAULTS, MAX_JSON_BYTES, MAX_SETTINGS_BYTES
from core.projects.filters import PATH_CLEANING, TEST_ACCOUNTS, account_filters_check, path_rules_check
from core.projects.nudges import demo_nudge
from core.tenancy.models import Project, Team, User, new_project_token
from core.tenancy.statements import execute

ACCESS_CONTROL_GONE: Final = (
    "The field access_control has been deprecated: see https://posthog.com/docs/settings/access-control."
)
SCOPES: Final = ("Team", "Project")
"""The scopes under which changes of a project are logged."""
MASK: Final = "********"

_COLUMNS: Final = (
    "timezone", "week_start_day", "anonymize_ips", "is_demo", "person_processing_opt_out",
    "person_display_name_properties",
)  # fmt: skip
_OF_PROJECT: Final = ("name", "product_description")
# Who knows the address may write into the channel.
_HIDDEN: Final = "slack_incoming_webhook"
# A deletion of the organization waits until the project is there, and then finds it; after one there is none.
_HOLD_ORGANIZATION: Final = "SELECT id FROM core_organization WHERE id = %s AND deleted_at IS NULL FOR SHARE"


@stores_filters
def project_create(
    *,
    organization_id: UUID,
    user_id: int | None,
    name: str = DEFAULT_NAME,
    settings: Mapping[str, Any] | None = None,
) -> Team:
    """Make a project with its one environment; it becomes the current one of the user who makes it, if any.

    `settings` are other writable fields of the Team object, read already. With `is_demo` the worker is asked to fill
    it. Raises NotFound for an organization that is not there, and Invalid with the attr that is wrong.
    """
    with transaction.atomic():
        if not execute(_HOLD_ORGANIZATION, [organization_id]):
            raise NotFound("Organization not found.")
        wanted = dict(settings or {})
        project = Project.objects.create(
            organization_id=organization_id, name=name, product_description=wanted.pop("product_description", None)
        )
        team = Team(id=project.pk, project=project, organization_id=organization_id, name=name)
        before = _state(team)
        after = _changed(before, wanted)
        _check(before, after, team_id=team.id)
        _take(team, after)
        team.is_generating_demo_data = team.is_demo
        team.save(force_insert=True)
        if user_id is not None:
            User.objects.filter(pk=user_id).update(current_team=team, current_organization=organization_id)
        _log(team, user_id, "Team", "created", None)
        if team.is_generating_demo_data:
            transaction.on_commit(demo_nudge)
    return team


@stores_filters
def project_update(*, team_id: int, user_id: int | None, changes: Mapping[str, Any]) -> None:
    """Change the given fields, read already, of a project; the others stay, also those that others change now.

    Raises NotFound, and Invalid with the attr that is wrong.
    """
    with transaction.atomic():
        # Not FOR UPDATE: writers of persons and events hold the team by a lock of its key, and need not wait.
        team = Team.objects.select_for_update(no_key=True, of=("self",)).select_related("project").filter(pk=team_id)
        found = team.first()
        if found is None:
            raise NotFound
        before = _state(found)
        after = _changed(before, changes)
        _check(before, after, team_id=team_id)
        logged = {scope: changes_between(scope, *_parts(scope, before, after)) for scope in SCOPES}
        if not any(logged.values()):
            return
        _take(found, after)
        found.save(update_fields=["name", *_COLUMNS, "settings", "updated_at"])
        if logged["Project"]:
            found.project.save(update_fields=list(_OF_PROJECT))
        for scope, differences in logged.items():
            _log(found, user_id, scope, "updated", _masked(differences))


def token_reset(*, team_id: int, user_id: int | None) -> None:
    """Give a project a new token; the old one is refused from the commit on. Raises NotFound."""
    with transaction.atomic():
        team = Team.objects.select_for_update().filter(pk=team_id).first()
        if team is None:
            raise NotFound
        before, team.api_token = team.api_token, new_project_token()
        team.save(update_fields=["api_token", "updated_at"])
        change = {"type": "Team", "action": "changed", "field": "api_token", "before": before, "after": team.api_token}
        _log(team, user_id, "Team", "updated", [change])


def _state(team: Team) -> dict[str, Any]:
    """Return every field that can be written, as it is stored."""
    return {
        "name": team.project.name,
        "product_description": team.project.product_description,
        **{name: getattr(team, name) for name in _COLUMNS},
        **{name: team.settings.get(name, default) for name, default in DEFAULTS.items()},
    }


def _changed(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in changes.items() if name in before}
    for name, depth in (("session_replay_config", 1), ("survey_config", 0)):
        stored, given = before[name], merged.get(name)
        if stored is not None and given is not None:
            merged[name] = _merged(stored, given, depth)
            if len(dumps(merged[name])) > MAX_JSON_BYTES:
                message = f"Ensure this field has no more than {MAX_JSON_BYTES} bytes of JSON."
                raise Invalid(message, code="max_length", attr=name)
    return {**before, **merged}


def _merged(stored: Mapping[str, Any], given: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Put given keys over stored ones; objects below are merged as well, `depth` levels down."""
    result = dict(stored)
    for key, value in given.items():
        inner = result.get(key)
        if depth > 0 and isinstance(inner, dict) and isinstance(value, dict):
            result[key] = _merged(inner, value, depth - 1)
        else:
            result[key] = value
    return result


def _check(before: Mapping[str, Any], after: Mapping[str, Any], *, team_id: int) -> None:
    """Refuse what only the stored state can tell; what is stored already may always be sent back."""
    if after["access_control"] != before["access_control"]:
        raise Invalid(ACCESS_CONTROL_GONE, attr="access_control")
    if after[TEST_ACCOUNTS] != before[TEST_ACCOUNTS]:
        account_filters_check(after[TEST_ACCOUNTS], team_id=team_id)
    if after[PATH_CLEANING] != before[PATH_CLEANING]:
        path_rules_check(after[PATH_CLEANING])


def _take(team: Team, after: Mapping[str, Any]) -> None:
    """Set columns and settings; settings that were never changed stay away, so that defaults can become others.

    Raises Invalid when all of them are too much.
    """
    team.name = team.project.name = after["name"]
    team.project.product_description = after["product_description"]
    for name in _COLUMNS:
        setattr(team, name, after[name])
    changed = {name: after[name] for name, default in DEFAULTS.items() if after[name] != default}
    kept = {name: after.get(name, value) for name, value in team.settings.items()}
    team.settings = {**kept, **changed}
    if len(dumps(team.settings)) > MAX_SETTINGS_BYTES:
        message = f"The settings of a project may have {MAX_SETTINGS_BYTES} bytes of JSON in all."
        raise Invalid(message, code="max_length")


def _parts(scope: str, *states: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in state.items() if (name in _OF_PROJECT) == (scope == "Project")}
        for state in states
    ]


def _masked(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**change, **{key: change[key] and MASK for key in ("before", "after")}}
        if change["field"] == _HIDDEN
        else change
        for change in changes
    ]


def _log(team: Team, user_id: int | None, scope: str, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=team.id,
        organization_id=team.organization_id,
        user_id=user_id,
        scope=scope,
        activity=activity,
        item_id=str(team.id),
        detail={"name": team.name, "changes": changes},
    )
