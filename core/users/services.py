"""Personal API keys: made, changed, rolled and deleted by their users; each change is logged."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.access.models import MAX_KEYS_PER_USER, PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.api.errors import Invalid, NotFound
from core.tenancy.models import OrganizationMembership, Team, User

TOO_MANY_KEYS = (
    f"You can only have {MAX_KEYS_PER_USER} personal API keys. Remove an existing key before creating a new one."
)
LOGGED_FIELDS = ("label", "scopes", "scoped_teams", "scoped_organizations")
_SCOPE = "PersonalAPIKey"


def key_create(
    *,
    user: User,
    label: str,
    scopes: Sequence[str],
    scoped_teams: Sequence[int] = (),
    scoped_organizations: Sequence[str] = (),
) -> tuple[PersonalAPIKey, str]:
    """Make a key and return it with its value, which is never shown again.

    Raises Invalid with the attr that is wrong, and without one when the user has too many keys.
    """
    value = new_key_value()
    with transaction.atomic():
        # Of several requests at once each counts the keys of those before it.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if PersonalAPIKey.objects.filter(user=user).count() >= MAX_KEYS_PER_USER:
            raise Invalid(TOO_MANY_KEYS)
        key = PersonalAPIKey.objects.create(
            user=user,
            label=label,
            scopes=list(dict.fromkeys(scopes)),
            scoped_teams=_check_teams(user, scoped_teams),
            scoped_organizations=_check_organizations(user, scoped_organizations),
            secure_value=hash_key_value(value),
            mask_value=mask_key_value(value),
        )
        _log(key, "created", changes_between(_SCOPE, {}, _logged(key)), _reached(key))
    return key, value


def key_update(*, key: PersonalAPIKey, changes: dict[str, Any]) -> PersonalAPIKey:
    """Change label, scopes or restrictions; what is absent stays. Raises NotFound, and Invalid with the attr."""
    with transaction.atomic():
        key = _lock(key)
        before, reached_before = _logged(key), _reached(key)
        wanted = dict(changes)
        if "scopes" in wanted:
            wanted["scopes"] = list(dict.fromkeys(wanted["scopes"]))
        if "scoped_teams" in wanted:
            wanted["scoped_teams"] = _check_teams(key.user, wanted["scoped_teams"] or (), has=key.scoped_teams or ())
        if "scoped_organizations" in wanted:
            organizations = wanted["scoped_organizations"] or ()
            wanted["scoped_organizations"] = _check_organizations(
                key.user, organizations, has=key.scoped_organizations or ()
            )
        for name in LOGGED_FIELDS:
            setattr(key, name, wanted.get(name, before[name]))
        if logged := changes_between(_SCOPE, before, _logged(key)):
            key.save(update_fields=[change["field"] for change in logged])
            _log(key, "updated", logged, {*reached_before, *_reached(key)})
    return key


def key_roll(*, key: PersonalAPIKey) -> tuple[PersonalAPIKey, str]:
    """Give a key a new value; the old one is dead at once. Raises NotFound."""
    value = new_key_value()
    with transaction.atomic():
        key = _lock(key)
        before = {"mask_value": key.mask_value}
        key.secure_value = hash_key_value(value)
        key.mask_value = mask_key_value(value)
        key.last_rolled_at = timezone.now()
        key.save(update_fields=["secure_value", "mask_value", "last_rolled_at"])
        _log(key, "updated", changes_between(_SCOPE, before, {"mask_value": key.mask_value}), _reached(key))
    return key, value


def key_delete(*, key: PersonalAPIKey, by: int | None = None) -> None:
    """Remove a key; `by` is the operator's id when it is not its owner who does. Raises NotFound."""
    with transaction.atomic():
        key = _lock(key)
        _log(key, "deleted", None, _reached(key), by=by)
        key.delete()


def _lock(key: PersonalAPIKey) -> PersonalAPIKey:
    """Read a key again, so that of two changes at once each knows what it changes."""
    found = PersonalAPIKey.objects.select_for_update(of=("self",)).select_related("user").filter(pk=key.pk).first()
    if found is None:
        raise NotFound
    return found


def _check_teams(user: User, wanted: Sequence[int], has: Sequence[int] = ()) -> list[int]:
    """Return the ids without repetition; those that the key has may be gone by now, for they narrow it all the same."""
    unique = sorted(set(wanted))
    new = set(unique) - set(has)
    if any(abs(team_id) >= 2**63 for team_id in new):
        found = 0
    else:
        found = Team.objects.filter(pk__in=new, organization__memberships__user=user).count() if new else 0
    if found != len(new):
        message = "You must be a member of all teams that you are scoping the key to."
        raise Invalid(message, attr="scoped_teams")
    return unique


def _check_organizations(user: User, wanted: Sequence[str], has: Sequence[str] = ()) -> list[str]:
    """Return the ids without repetition, as _check_teams does."""
    try:
        unique = sorted({str(UUID(text)) for text in wanted})
    except ValueError as error:
        message = "Invalid organization UUID"
        raise Invalid(message, attr="scoped_organizations") from error
    new = set(unique) - set(has)
    found = OrganizationMembership.objects.filter(user=user, organization_id__in=new).count() if new else 0
    if found != len(new):
        message = "You must be a member of all organizations that you are scoping the key to."
        raise Invalid(message, attr="scoped_organizations")
    return unique


def _logged(key: PersonalAPIKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in LOGGED_FIELDS}


def _log(
    key: PersonalAPIKey,
    activity: str,
    changes: list[dict[str, Any]] | None,
    organizations: Iterable[UUID],
    *,
    by: int | None = None,
) -> None:
    """Write one entry for each organization."""
    for organization_id in sorted(organizations):
        activity_log(
            team_id=None,
            organization_id=organization_id,
            user_id=key.user_id if by is None else by,
            scope=_SCOPE,
            activity=activity,
            item_id=key.pk,
            detail={"name": key.label, "changes": changes},
        )


def _reached(key: PersonalAPIKey) -> set[UUID]:
    """Return the organizations in which the key works: never one that its user has left."""
    own = set(OrganizationMembership.objects.filter(user_id=key.user_id).values_list("organization_id", flat=True))
    if key.scoped_organizations:
        return own & {UUID(text) for text in key.scoped_organizations}
    if key.scoped_teams:
        return own & set(Team.objects.filter(pk__in=key.scoped_teams).values_list("organization_id", flat=True))
    return own
