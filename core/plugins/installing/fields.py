"""What may be said of a plugin, by request bodies and by its own `plugin.json`: read, bounded, and as it is stored."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from core.api.errors import Invalid
from core.api.params import json_value, text_value

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
MAX_ICON: Final = 800
MAX_TAG: Final = 200
MAX_JSON_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 500
MAX_KEY: Final = 200

type Reader = Callable[[object, str], Any]
"""Returns a value as it is stored, given it and the attr of errors; raises Invalid."""


def read_name(value: object, attr: str) -> str:
    """Read a name: not blank."""
    if value is None:
        raise Invalid("This field may not be null.", code="null", attr=attr)
    name = text_value(value, attr, MAX_NAME).strip()
    if not name:
        raise Invalid("This field may not be blank.", code="blank", attr=attr)
    return name


def read_config_schema(value: object, attr: str) -> Any:  # noqa: ANN401 a list or an object
    """Read a list of entries, or an object of entries by key; null is the empty list."""
    value = _json(value, attr)
    if value is None:
        return []
    entries = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Invalid("Expected a list of fields, or an object of fields by key.", attr=attr)
    if len(entries) > MAX_FIELDS:
        message = f"Ensure this field has no more than {MAX_FIELDS} elements."
        raise Invalid(message, code="max_length", attr=attr)
    keys = value if isinstance(value, dict) else [entry.get("key") for entry in entries if "key" in entry]
    if not all(isinstance(key, str) and len(key) <= MAX_KEY for key in keys):
        message = f"The keys of fields must be texts of {MAX_KEY} characters at most."
        raise Invalid(message, attr=attr)
    return value


def read_public_jobs(value: object, attr: str) -> dict[str, Any]:
    """Read what may be started: objects by the names of jobs; null is none."""
    value = read_object(value, attr)
    if not all(isinstance(job, dict) and 0 < len(name) <= MAX_KEY for name, job in value.items()):
        raise Invalid("Expected an object of jobs by name.", attr=attr)
    return value


def read_object(value: object, attr: str) -> dict[str, Any]:
    """Read an object; null is the empty one."""
    value = _json(value, attr)
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f'Expected a dictionary of items but got type "{type(value).__name__}".'
        raise Invalid(message, code="not_a_dict", attr=attr)
    return value


READERS: Final[Mapping[str, Reader]] = {
    "name": read_name,
    "description": lambda value, attr: text_value(value, attr, MAX_DESCRIPTION),
    "icon": lambda value, attr: text_value(value, attr, MAX_ICON) or None,
    "tag": lambda value, attr: text_value(value, attr, MAX_TAG) or None,
    "config_schema": read_config_schema,
    "public_jobs": read_public_jobs,
    "metrics": read_object,
}
"""The columns that callers may set, but for `is_global`."""


def _json(value: object, attr: str) -> Any:  # noqa: ANN401 any JSON value
    value = json_value(value, attr)
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        raise Invalid("Value must be valid JSON.", attr=attr) from None
    if size > MAX_JSON_BYTES:
        message = f"Ensure this field has no more than {MAX_JSON_BYTES} bytes of JSON."
        raise Invalid(message, code="max_length", attr=attr)
    return value
