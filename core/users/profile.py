"""What a user changes about themself: the name, what `@current` means, the password."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NoReturn
from uuid import UUID

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from core.access.context import Access
from core.access.windows import Window, windows_at
from core.api.errors import ApiError, Invalid, NotFound
from core.tenancy.models import Organization, OrganizationMembership, Team, User

PASSWORD_NEEDED: Final = "This field is required when updating your password."  # noqa: S105 a text
PASSWORD_WRONG: Final = "Your current password is incorrect."  # noqa: S105 a text
CONTRADICTION: Final = "Team must belong to the same organization in set_current_organization."
MAX_ID: Final = 2**63 - 1
ATTEMPTS: Final = 10
ATTEMPT_SECONDS: Final = 60
_NAMES: Final = ("first_name", "last_name")


class TooManyAttempts(ApiError):  # noqa: N818 as the other errors of the API
    """The current password was tried too often: whoever holds a session must not be able to guess it."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    type = "throttled_error"
    code = "throttled"

    def __init__(self, seconds: int) -> None:
        """Say when to try again."""
        super().__init__(f"Request was throttled. Expected available in {seconds} seconds.")
        self.retry_after = seconds


def user_update(*, access: Access, fields: Mapping[str, Any]) -> User:
    """Change what `fields` names of the caller and return the user; all of it or nothing.

    `set_current_team` and `set_current_organization` must be the user's own, a project brings its organization
    along, and an organization its first project. For a restricted key what it may not reach does not exist, and
    one of projects can choose no organization but with one of them. An empty `password` is none; a new one needs
    `current_password`, unless there is none to give. Raises Invalid with the attr that is wrong, and TooManyAttempts.
    """
    with transaction.atomic():
        # Not FOR UPDATE: rows that name the user, such as entries of the activity log, are written meanwhile.
        user = User.objects.select_for_update(no_key=True).filter(pk=access.caller.user_id, is_active=True).first()
        if user is None:
            raise NotFound
        changed = [name for name in _NAMES if name in fields]
        for name in changed:
            setattr(user, name, fields[name])
        if "set_current_team" in fields or "set_current_organization" in fields:
            _set_current(user, access, fields.get("set_current_organization"), fields.get("set_current_team"))
            changed += ["current_organization", "current_team"]
        if fields.get("password"):
            _check_password(user, fields.get("current_password"), fields["password"])
            user.set_password(fields["password"])
            changed.append("password")
        if changed:
            user.save(update_fields=changed)
    return user


def _set_current(user: User, access: Access, organization_id: UUID | None, team_id: int | None) -> None:
    if organization_id is not None:
        if not access.allows_organization(organization_id) or (access.scoped_teams and team_id is None):
            _refuse("set_current_organization", organization_id)
        membership = OrganizationMembership.objects.filter(user=user, organization_id=organization_id)
        if not membership.exists() or not Organization.objects.filter(pk=organization_id).exists():
            _refuse("set_current_organization", organization_id)
        user.current_organization_id = organization_id
        user.current_team = Team.objects.filter(organization_id=organization_id).order_by("pk").first()
    if team_id is not None:
        own = Team.objects.filter(organization__memberships__user=user)
        team = own.filter(pk=team_id).first() if abs(team_id) <= MAX_ID else None
        if team is None or not (access.allows_team(team.id) and access.allows_organization(team.organization_id)):
            _refuse("set_current_team", team_id)
        if organization_id not in {None, team.organization_id}:
            raise Invalid(CONTRADICTION, attr="set_current_team")
        user.current_team = team
        user.current_organization_id = team.organization_id


def _check_password(user: User, current: str | None, new: str) -> None:
    if user.has_usable_password():
        if not current:
            raise Invalid(PASSWORD_NEEDED, code="required", attr="current_password")
        _count_attempt(user)
        if not user.check_password(current):
            raise Invalid(PASSWORD_WRONG, code="incorrect_password", attr="current_password")
    try:
        validate_password(new, user)
    except ValidationError as error:
        raise Invalid(error.messages[0], attr="password") from error


def _count_attempt(user: User) -> None:
    window = Window(f"persons-api:password:{user.pk}", ATTEMPTS, ATTEMPT_SECONDS)
    hit = windows_at(settings.REDIS_URL).hit([window])
    if hit is not None and not hit.passes:
        raise TooManyAttempts(max(1, math.ceil(hit.wait)))


def _refuse(attr: str, value: object) -> NoReturn:
    message = f"Object with id={value} does not exist."
    raise Invalid(message, code="does_not_exist", attr=attr)
