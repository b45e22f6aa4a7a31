"""Parameters that clients send in the body or in the query string: the body wins."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from core.api.errors import Invalid, NotFound
from core.api.forms import MARK, read_form
from core.api.values import NotJSONError, TooDeepError, json_repaired

MAX_INTEGER_ID: Final = 2**63 - 1
_MISSING: Final = object()
_TRUE: Final = frozenset({"true", "1", "yes", "t", "y", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "f", "n", "off", ""})


def body_of(request: Request) -> Mapping[str, Any]:
    """Return the body's fields; an empty body has none, a body that is no object is refused."""
    data = request.data
    if isinstance(data, QueryDict) and MARK in data:
        return read_form(request, data)
    if isinstance(data, Mapping):
        return data
    if data is None:
        return {}
    message = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
    raise Invalid(message)


def find(request: Request, name: str) -> tuple[Any] | None:
    """Return a parameter in a tuple of one, for it may be null; None when absent. Forms and queries give text."""
    value = body_of(request).get(name, _MISSING)
    if value is not _MISSING:
        return (value,)
    text = request.query_params.get(name)
    return None if text is None else (text,)


def flag(request: Request, name: str, *, default: bool = False) -> bool:
    """Read a boolean by its value; a bare `?name` is true, an empty value false, an unknown word is refused."""
    if name in request.META.get("QUERY_STRING", "").split("&"):
        return True
    found = find(request, name)
    if found is None or found[0] is None:
        return default
    value = found[0]
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Invalid("Must be a valid boolean.", attr=name)


def read_id(text: str) -> int:
    """Read the integer id in a path; raises NotFound for what no object can have."""
    if text.isascii() and text.isdigit() and (number := int(text[:20])) <= MAX_INTEGER_ID:
        return number
    raise NotFound


def query_parameter(name: str, description: str, kind: Any = str, *, required: bool = False) -> OpenApiParameter:  # noqa: ANN401 spectacular's types
    """Describe a parameter of the query string."""
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, required=required, description=description)


def required(name: str) -> Invalid:
    """Return the error for a field that must be there."""
    return Invalid("This field is required.", code="required", attr=name)


def text_value(value: object, name: str, longest: int) -> str:
    """Return a text of a body as it can be stored; null is the empty text, and what is no text is refused."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid("Not a valid string.", attr=name)
    if len(value) > longest:
        message = f"Ensure this field has no more than {longest} characters."
        raise Invalid(message, code="max_length", attr=name)
    return str(json_repaired(value))


def json_value(value: object, name: str) -> Any:  # noqa: ANN401 any JSON value
    """Return a JSON value of a body as it can be stored; forms carry JSON as text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value or "null")
        except orjson.JSONDecodeError:
            raise Invalid("Value must be valid JSON.", attr=name) from None
    try:
        return json_repaired(value)
    except TooDeepError:
        raise Invalid("The value is nested too deeply.", attr=name) from None
    except NotJSONError:
        raise Invalid("Value must be valid JSON.", attr=name) from None
