"""Changes to actions, each of them logged."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from core.actions.models import Action
from core.actions.steps import steps_read
from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.api.json import format_time
from core.filters.storing import stores_filters
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute

MAX_ACTIONS: Final = 2_000
_LOGGED: Final = ("name", "description", "tags", "steps", "deleted", "pinned_at")


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes actions, of which team."""

    team_id: int
    organization_id: UUID
    user_id: int


@stores_filters
def action_create(*, author: Author, fields: Mapping[str, Any]) -> int:
    """Make an action of fields that `bodies.read_action` gave and return its id; raises Invalid with the attr."""
    with transaction.atomic():
        team_hold(author.team_id)
        _names_lock(author.team_id)
        action = Action(team_id=author.team_id, created_by_id=author.user_id)
        _set(action, fields)
        if not action.deleted:
            _refuse_too_many(author.team_id)
        action.save(force_insert=True)
        _log(author, action, "created", None)
    return int(action.id)


@stores_filters
def action_update(*, author: Author, action_id: int, fields: Mapping[str, Any]) -> None:
    """Change the given fields; raises NotFound, and Invalid with the attr that is wrong."""
    with transaction.atomic():
        team_hold(author.team_id)
        _names_lock(author.team_id)
        _update(author, _action_lock(author.team_id, action_id), fields)


def action_delete(*, author: Author, action_id: int) -> None:
    """Mark an action as deleted; raises NotFound when it is that already."""
    with transaction.atomic():
        team_hold(author.team_id)
        action = _action_lock(author.team_id, action_id)
        if action.deleted:
            raise NotFound
        _update(author, action, {"deleted": True})


def _update(author: Author, action: Action, fields: Mapping[str, Any]) -> None:
    before = _logged(action)
    _set(action, fields)
    if before["deleted"] and not action.deleted:
        _refuse_too_many(author.team_id)
    action.save(update_fields=_LOGGED)
    after = _logged(action)
    changes = [
        {"type": "Action", "action": "changed", "field": name, "before": before[name], "after": after[name]}
        for name in _LOGGED
        if before[name] != after[name]
    ]
    _log(author, action, "deleted" if after["deleted"] and not before["deleted"] else "updated", changes)


def _set(action: Action, fields: Mapping[str, Any]) -> None:
    for name in ("name", "description", "tags", "deleted"):
        setattr(action, name, fields.get(name, getattr(action, name)))
    if "steps" in fields:
        action.steps = steps_read(fields["steps"], team_id=action.team_id)
    if "pinned_at" in fields and (action.pinned_at is None or fields["pinned_at"] is None):
        action.pinned_at = fields["pinned_at"]
    if action.name and not action.deleted:
        _refuse_same_name(action)


def _names_lock(team_id: int) -> None:
    """Let nobody else name or restore the team's actions until the transaction ends."""
    execute("SELECT pg_advisory_xact_lock(hashtextextended('action_names', %s))", [team_id])


def _action_lock(team_id: int, action_id: int) -> Action:
    action = Action.objects.for_team(team_id).filter(id=action_id).select_for_update(no_key=True).first()
    if action is None:
        raise NotFound
    return action


def _refuse_same_name(action: Action) -> None:
    others = Action.objects.for_team(action.team_id).filter(name=action.name, deleted=False).exclude(id=action.id)
    other = others.values_list("id", flat=True).first()
    if other is not None:
        message = f"This project already has an action with this name, ID {other}"
        raise Invalid(message, code="unique", attr="name")


def _refuse_too_many(team_id: int) -> None:
    if Action.objects.for_team(team_id).filter(deleted=False).count() >= MAX_ACTIONS:
        message = f"A project may have {MAX_ACTIONS} actions at most."
        raise Invalid(message, code="limit_reached")


def _logged(action: Action) -> dict[str, Any]:
    values = {name: getattr(action, name) for name in _LOGGED}
    return {name: format_time(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _log(author: Author, action: Action, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=author.team_id,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope="Action",
        activity=activity,
        item_id=str(action.id),
        detail={"name": action.name or None, "changes": changes},
    )
