"""Writes anew, under the first of ENCRYPTION_KEYS, what older keys encrypted.

Nothing is remembered between runs: what the first key reads is done. So a run that was killed goes on by starting
again, and a run beside a working server is complete as soon as every process of it has the new key.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db import models

from core.encryption.services import UnreadableError, is_current, reencrypt

PREFIX: Final = "encrypted_"
# A token may be of 14 MB: few are in memory at once.
_PAGE: Final = 8


@dataclass(slots=True)
class ColumnRotation:
    """How far one column is; `unreadable` are the ids of rows that no key reads."""

    table: str
    column: str
    total: int
    seen: int = 0
    written: int = 0
    unreadable: list[Any] = field(default_factory=list)


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Return every encrypted column: those that are named so."""
    return [
        (model, column.name)
        for model in apps.get_models()
        for column in model._meta.concrete_fields  # noqa: SLF001 Django's public interface in all but name
        if isinstance(column, models.BinaryField) and column.name.startswith(PREFIX)
    ]


def rotate() -> Iterator[ColumnRotation]:
    """Go through all encrypted columns; yield at the begin of each and after every few rows."""
    for model, column in encrypted_columns():
        yield from _rotate_column(model, column)


def _rotate_column(model: type[models.Model], column: str) -> Iterator[ColumnRotation]:
    rows = model._base_manager.exclude(**{column: None}).order_by("pk")  # noqa: SLF001 rows of every team
    state = ColumnRotation(model._meta.db_table, column, rows.count())  # noqa: SLF001 as above
    yield state
    last = None
    while page := list((rows if last is None else rows.filter(pk__gt=last)).values_list("pk", column)[:_PAGE]):
        for key, token in page:
            try:
                state.written += _rotate_row(rows, column, key, token)
            except UnreadableError:
                state.unreadable.append(key)
        state.seen += len(page)
        last = page[-1][0]
        yield state


def _rotate_row(rows: models.QuerySet[Any], column: str, key: object, token: bytes | None) -> bool:
    """Write a row anew unless the first key reads it; one that is changed meanwhile is looked at again."""
    while token is not None and not is_current(token):
        # Compared instead of locked: a rotation holds nobody up.
        if rows.filter(pk=key, **{column: token}).update(**{column: reencrypt(token)}):
            return True
        token = rows.filter(pk=key).values_list(column, flat=True).first()
    return False
