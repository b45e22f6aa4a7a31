"""One ClickHouse statement of an insight: its bound values, and how it is run within limits."""

from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings as django_settings

from events import client

_KINDS: Final = {bool: "Bool", int: "Int64", float: "Float64", str: "String"}


@dataclass(slots=True)
class Statement:
    """Collects the values of a statement while its text is written."""

    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any, kind: str = "") -> str:  # noqa: ANN401 what ClickHouse can have
        """Return the placeholder of a value; `kind` is a ClickHouse type, not needed for plain scalars."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind or _KINDS[type(value)]}}}"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run the statement within the limits of insights.

        Raises QueryTimeout, QueryTooBig and the other errors of `events.errors`.
        """
        limits: dict[str, str | int] = {"max_memory_usage": django_settings.INSIGHT_MEMORY_MB * 1024**2}
        return client.query(
            sql, self.parameters, settings=limits, seconds=django_settings.INSIGHT_QUERY_TIMEOUT_SECONDS
        ).rows
