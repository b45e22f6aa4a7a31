"""Columns that several resources have."""

from typing import Any

import orjson
from django.db import models
from django.db.models.fields.json import KeyTransform


class StoredJSONField(models.JSONField):
    """A jsonb column that is read as request bodies are: a number that does not fit 64 bits is a floating-point one.

    Python's own reader makes an integer of it, however large, because Postgres writes 1e20 out in full; no answer can
    carry that. Migrations see Django's field, for the column is the same.
    """

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:  # noqa: ANN401 Django's signature
        """Read the text of a value."""
        del connection
        if value is None or (isinstance(expression, KeyTransform) and not isinstance(value, str)):
            return value
        return orjson.loads(value)

    def deconstruct(self) -> Any:  # noqa: ANN401 Django's own type is wide
        """Name Django's field."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
