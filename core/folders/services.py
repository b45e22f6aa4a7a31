"""Changes to persisted folders. They are a user's own bookmarks: the activity log does not tell of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from core.api.errors import Invalid, NotFound
from core.folders.models import PersistedFolder
from core.folders.queries import COLUMNS, WEB, folder_object
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute

TYPE_TAKEN: Final = "You already have a folder of this type in this project."

# Whoever loses a race against the same insert updates the winner's row.
_UPSERT: Final = (
    "INSERT INTO core_persistedfolder"  # noqa: S608 constants of this module
    " (id, team_id, user_id, type, surface, protocol, path, created_at, updated_at)"
    " VALUES (uuidv7(), %(team_id)s, %(user_id)s, %(type)s, 'web', %(protocol)s, %(path)s,"
    " clock_timestamp(), clock_timestamp())"
    " ON CONFLICT (team_id, user_id, type, surface) DO UPDATE"
    " SET protocol = excluded.protocol, path = excluded.path, updated_at = excluded.updated_at"
    " RETURNING " + COLUMNS
)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose folders they are, and in which team."""

    team_id: int
    user_id: int


def folder_put(*, owner: Owner, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make the folder of a type, or set the protocol and path of the one that is there; return its object."""
    with transaction.atomic():
        team_hold(owner.team_id)
        values = {"team_id": owner.team_id, "user_id": owner.user_id, **fields}
        (row,) = execute(_UPSERT, values)
    return folder_object(row)


def folder_update(*, owner: Owner, folder_id: UUID, fields: Mapping[str, Any]) -> None:
    """Change the given fields; raises NotFound, and Invalid when another folder of the user has the type."""
    try:
        with transaction.atomic():
            team_hold(owner.team_id)
            folder = _mine(owner).filter(id=folder_id).select_for_update(no_key=True).first()
            if folder is None:
                raise NotFound
            for name, value in fields.items():
                setattr(folder, name, value)
            folder.save(update_fields=[*fields, "updated_at"])
    except IntegrityError as error:
        if "persisted_folder_unique" not in str(error):
            raise
        raise Invalid(TYPE_TAKEN, code="unique", attr="type") from None


def folder_delete(*, owner: Owner, folder_id: UUID) -> None:
    """Delete a folder for good; raises NotFound."""
    with transaction.atomic():
        team_hold(owner.team_id)
        count, _ = _mine(owner).filter(id=folder_id).delete()
        if not count:
            raise NotFound


def _mine(owner: Owner) -> QuerySet[PersistedFolder]:
    return PersistedFolder.objects.for_team(owner.team_id).filter(user_id=owner.user_id, surface=WEB)
