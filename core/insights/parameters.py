"""The parameters of insights: query string and body as one flat map, read by type (insight_actors.md 2.1)."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.json import loads
from core.api.params import body_of
from core.api.values import NotJSONError, TooDeepError, json_repaired
from events.filters.grammar import MAX_BYTES

PAGING: Final = frozenset(
    {"limit", "offset", "funnel_correlation_person_limit", "funnel_correlation_person_offset"}
)  # fmt: skip
"""Where the query string wins, for the links of a page carry them there while the body is sent again as it was."""
MAX_ITEMS: Final = 1000
MOST: Final = 2**53
_TRUE: Final = frozenset({"y", "yes", "t", "true", "on", "1"})
_FALSE: Final = frozenset({"n", "no", "f", "false", "off", "0", ""})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Parameters:
    """One flat map of parameters. Every reader raises Invalid, with the parameter's name as `attr`.

    Null and empty text count as absent everywhere. `query` is the query string alone.
    """

    values: Mapping[str, Any]
    query: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        """Tell whether a parameter was given at all, be it null or empty."""
        return name in self.values

    def in_query(self, name: str) -> str | None:
        """Return the text of a parameter in the query string, None when it is not there."""
        return self.query.get(name)

    def text(self, name: str) -> str | None:
        """Read text as ingestion would have stored it; numbers of a body count as their text."""
        value = self._given(name)
        if value is None:
            return None
        if isinstance(value, bool | Mapping | list) or not isinstance(value, str | int | float):
            raise Invalid("Not a valid string.", attr=name)
        return str(_repaired(value if isinstance(value, str) else str(value), name))

    def integer(self, name: str, default: int) -> int:
        """Read a whole number between -MOST and MOST."""
        found = self.optional_integer(name)
        return default if found is None else found

    def optional_integer(self, name: str) -> int | None:
        """Read a whole number between -MOST and MOST, None when absent."""
        value = self._given(name)
        return None if value is None else whole_number(value, attr=name)

    def number(self, name: str) -> float | None:
        """Read a finite number."""
        value = self._given(name)
        if value is None:
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise TypeError  # noqa: TRY301 answered as what float() raises
            found = float(value)
        except (ValueError, TypeError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            raise Invalid("A valid number is required.", attr=name)
        return found

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read a boolean: y, yes, t, true, on, 1 and their opposites in any case; any other word is refused."""
        value = self._given(name)
        if value is None:
            return default if self.values.get(name) is None else False
        word = str(value).strip().lower() if isinstance(value, str | int) else None
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise Invalid("Must be a valid boolean.", attr=name)

    def choice[T: str](self, name: str, choices: Sequence[T], default: T) -> T:
        """Read one of some words."""
        word = self.text(name)
        if word is None:
            return default
        for one in choices:
            if one == word:
                return one
        message = f'"{word[:_SHOWN]}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr=name)

    def structured(self, name: str) -> Any | None:  # noqa: ANN401 any JSON value
        """Read a JSON value, or JSON text of one; characters that nothing can store are replaced."""
        return structured_value(self._given(name), attr=name)

    def texts(self, name: str) -> list[str]:
        """Read a list of texts: a JSON list, JSON text of one, or a single plain text."""
        value = self._given(name)
        if isinstance(value, str) and not value.lstrip().startswith("["):
            return [str(_repaired(value, name))]
        listed = self.structured_list(name)
        if not all(isinstance(one, str) for one in listed):
            raise Invalid("Not a valid string.", attr=name)
        return listed

    def structured_list(self, name: str) -> list[Any]:
        """Read a JSON list, or JSON text of one, of at most MAX_ITEMS items; empty when absent."""
        return listed(self.structured(name), attr=name, most=MAX_ITEMS)

    def replaced(self, **values: Any) -> "Parameters":  # noqa: ANN401 any JSON value
        """Return parameters that differ in some values."""
        return Parameters({**self.values, **values}, self.query)

    def _given(self, name: str) -> Any:  # noqa: ANN401 any JSON value
        value = self.values.get(name)
        return None if isinstance(value, str) and not value.strip() else value


def read_parameters(request: Request) -> Parameters:
    """Return the parameters of a request: the body of a POST wins over the query string, but for PAGING."""
    query = {name: request.query_params[name] for name in request.query_params}
    body = {} if request.method in SAFE_METHODS else body_of(request)
    merged: dict[str, Any] = {**query, **{name: body[name] for name in body}}
    merged.update((name, query[name]) for name in PAGING & query.keys())
    return Parameters(merged, query)


def structured_value(value: Any, *, attr: str) -> Any:  # noqa: ANN401 any JSON value
    """Return a value that is JSON or JSON text, with what cannot be stored replaced; Invalid for anything else."""
    if isinstance(value, str):
        if not value.strip():
            return None
        if len(value) > MAX_BYTES:
            message = f"Ensure this field has no more than {MAX_BYTES} characters."
            raise Invalid(message, code="max_length", attr=attr)
        try:
            value = loads(value)
        except ValueError as error:
            # What Python says of a number with too many digits speaks of Python.
            reason = "a number has too many digits" if "int_max_str_digits" in str(error) else error
            message = f"This is not valid JSON: {reason}"
            raise Invalid(message, attr=attr) from error
    return _repaired(value, attr)


def listed(value: Any, *, attr: str, most: int) -> list[Any]:  # noqa: ANN401 any JSON value
    """Return a parsed value as a list of at most so many items, empty for null; Invalid for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        message = f'Expected a list of items but got type "{type(value).__name__}".'
        raise Invalid(message, code="not_a_list", attr=attr)
    if len(value) > most:
        message = f"Ensure this field has no more than {most} elements."
        raise Invalid(message, code="max_length", attr=attr)
    return value


def whole_number(value: object, *, attr: str) -> int:
    """Return a JSON number or text as a whole number between -MOST and MOST; Invalid for anything else."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (isinstance(value, float) and value.is_integer()) or (
        isinstance(value, str) and _INTEGER.fullmatch(value.strip())
    ):
        number = int(value)
    if number is None:
        raise Invalid("A valid integer is required.", attr=attr)
    if abs(number) > MOST:
        message = f"Ensure this value is between -{MOST} and {MOST}."
        raise Invalid(message, attr=attr)
    return number


def _repaired(value: Any, attr: str) -> Any:  # noqa: ANN401 any JSON value
    try:
        return json_repaired(value)
    except TooDeepError:
        raise Invalid("The value is nested too deeply.", attr=attr) from None
    except NotJSONError:
        raise Invalid("Value must be valid JSON.", attr=attr) from None
