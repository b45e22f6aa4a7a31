"""Personal API keys and what the user works with."""

from collections.abc import Sequence
from typing import Any, NoReturn
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.access.models import MAX_KEYS_PER_USER, PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
from core.activity.services import activity_log
from core.api.errors import Invalid
from core.tenancy.models import OrganizationMembership, Team, User

TOO_MANY_KEYS = (
    f"You can only have {MAX_KEYS_PER_USER} personal API keys. Remove an existing key before creating a new one."
)
LOGGED_FIELDS = ("label", "scopes", "scoped_teams", "scoped_organizations")


def key_create(
    *,
    user: User,
    label: str,
    scopes: Sequence[str],
    scoped_teams: Sequence[int] = (),
    scoped_organizations: Sequence[str] = (),
) -> tuple[PersonalAPIKey, str]:
    """Make a key and return it with its value, which is never shown again."""
    teams = _check_teams(user, scoped_teams)
    organizations = _check_organizations(user, scoped_organizations)
    value = new_key_value()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if PersonalAPIKey.objects.filter(user=user).count() >= MAX_KEYS_PER_USER:
            raise Invalid(TOO_MANY_KEYS)
        key = PersonalAPIKey.objects.create(
            user=user,
            label=label,
            scopes=list(scopes),
            scoped_teams=teams,
            scoped_organizations=organizations,
            secure_value=hash_key_value(value),
            mask_value=mask_key_value(value),
        )
        _log(key, "created", [_change("created", name, None, getattr(key, name)) for name in LOGGED_FIELDS])
    return key, value


def key_update(*, key: PersonalAPIKey, changes: dict[str, Any]) -> PersonalAPIKey:
    """Change label, scopes or restrictions; what is absent stays."""
    if "scoped_teams" in changes:
        changes = {**changes, "scoped_teams": _check_teams(key.user, changes["scoped_teams"] or ())}
    if "scoped_organizations" in changes:
        wanted = _check_organizations(key.user, changes["scoped_organizations"] or ())
        changes = {**changes, "scoped_organizations": wanted}
    logged = []
    for name in LOGGED_FIELDS:
        before = getattr(key, name)
        if name in changes and changes[name] != before:
            setattr(key, name, changes[name])
            logged.append(_change("changed", name, before, changes[name]))
    if logged:
        with transaction.atomic():
            key.save(update_fields=[str(change["field"]) for change in logged])
            _log(key, "updated", logged)
    return key


def key_roll(*, key: PersonalAPIKey) -> tuple[PersonalAPIKey, str]:
    """Give a key a new value; the old one is dead at once."""
    value = new_key_value()
    with transaction.atomic():
        before = key.mask_value
        key.secure_value = hash_key_value(value)
        key.mask_value = mask_key_value(value)
        key.last_rolled_at = timezone.now()
        key.save(update_fields=["secure_value", "mask_value", "last_rolled_at"])
        _log(key, "updated", [_change("changed", "mask_value", before, key.mask_value)])
    return key, value


def key_delete(*, key: PersonalAPIKey) -> None:
    """Remove a key."""
    with transaction.atomic():
        _log(key, "deleted", None)
        key.delete()


def user_set_current(*, user: User, organization_id: UUID | None, team_id: int | None) -> None:
    """Choose what `@current` means for this user; a project brings its organization with it."""
    if team_id is not None:
        team = Team.objects.filter(pk=team_id, organization__memberships__user=user).first()
        if team is None:
            _no_such("set_current_team", team_id)
        user.current_team = team
        user.current_organization_id = team.organization_id
    elif organization_id is not None:
        if not OrganizationMembership.objects.filter(user=user, organization_id=organization_id).exists():
            _no_such("set_current_organization", organization_id)
        user.current_organization_id = organization_id
        user.current_team = Team.objects.filter(organization_id=organization_id).order_by("pk").first()
    user.save(update_fields=["current_team", "current_organization"])


def _no_such(attr: str, value: object) -> NoReturn:
    message = f"Object with id={value} does not exist."
    raise Invalid(message, code="does_not_exist", attr=attr)


def _check_teams(user: User, wanted: Sequence[int]) -> list[int]:
    unique = sorted(set(wanted))
    if unique and any(abs(team_id) >= 2**63 for team_id in unique):
        found = 0
    else:
        found = Team.objects.filter(pk__in=unique, organization__memberships__user=user).count() if unique else 0
    if found != len(unique):
        message = "You must be a member of all teams that you are scoping the key to."
        raise Invalid(message, attr="scoped_teams")
    return unique


def _check_organizations(user: User, wanted: Sequence[str]) -> list[str]:
    try:
        unique = sorted({str(UUID(text)) for text in wanted})
    except ValueError as error:
        message = "Invalid organization UUID"
        raise Invalid(message, attr="scoped_organizations") from error
    found = OrganizationMembership.objects.filter(user=user, organization_id__in=unique).count() if unique else 0
    if found != len(unique):
        message = "You must be a member of all organizations that you are scoping the key to."
        raise Invalid(message, attr="scoped_organizations")
    return unique


def _change(action: str, field: str, before: object, after: object) -> dict[str, object]:
    return {"type": "PersonalAPIKey", "action": action, "field": field, "before": before, "after": after}


def _log(key: PersonalAPIKey, activity: str, changes: list[dict[str, object]] | None) -> None:
    """Write one entry per organization that the key reaches."""
    for organization_id in _reached_organizations(key):
        activity_log(
            team_id=None,
            organization_id=organization_id,
            user_id=key.user_id,
            scope="PersonalAPIKey",
            activity=activity,
            item_id=key.pk,
            detail={"name": key.label, "short_id": None, "type": None, "trigger": None, "changes": changes},
        )


def _reached_organizations(key: PersonalAPIKey) -> list[UUID]:
    if key.scoped_organizations:
        return [UUID(text) for text in key.scoped_organizations]
    if key.scoped_teams:
        teams = Team.objects.filter(pk__in=key.scoped_teams)
        return sorted(set(teams.values_list("organization_id", flat=True)))
    memberships = OrganizationMembership.objects.filter(user_id=key.user_id)
    return sorted(memberships.values_list("organization_id", flat=True))
