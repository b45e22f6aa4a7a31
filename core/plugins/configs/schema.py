"""What a plugin's `config_schema` says of the fields of its configs, and whether a config fits it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from core.api.errors import Invalid
from core.api.params import required
from core.plugins.config_schemas import schema_entries, secret_keys

__all__ = ["attachment_keys", "config_attr", "config_check", "schema_fields", "secret_keys"]

ATTACHMENT: Final = "attachment"
_LONGEST_ATTR: Final = 200
_NONE: Final = (None, "")


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field of configs; `choices` is None where any value may be chosen.

    One that has a default, or is shown under a condition only, may be left out although it is required.
    """

    key: str
    type: str
    is_required: bool
    choices: tuple[Any, ...] | None


def schema_fields(config_schema: object) -> dict[str, SchemaField]:
    """Return the fields by key. One that several entries describe is as the last says."""
    fields: dict[str, SchemaField] = {}
    for key, entry in schema_entries(config_schema):
        kind, choices = entry.get("type"), entry.get("choices")
        fields[key] = SchemaField(
            key=key,
            type=kind if isinstance(kind, str) else "",
            is_required=bool(entry.get("required")) and entry.get("default") in _NONE and not entry.get("visible_if"),
            choices=tuple(choices) if isinstance(choices, list) else None,
        )
    return fields


def attachment_keys(config_schema: object) -> frozenset[str]:
    """Return the keys of the fields that are files."""
    return frozenset(field.key for field in schema_fields(config_schema).values() if field.type == ATTACHMENT)


def config_attr(key: str) -> str:
    """Return how errors name a field of a config."""
    return f"config__{key[:_LONGEST_ATTR]}"


def config_check(config: Mapping[str, Any], *, config_schema: object, attached: Collection[str]) -> None:
    """Refuse a config that lacks a required field, or has a value of another type; raises Invalid with the attr.

    `attached` are the keys of the files it has. Fields that the schema does not know, and types that are not known
    here, may hold anything; so may fields that are not required be empty.
    """
    for field in schema_fields(config_schema).values():
        if field.type == ATTACHMENT:
            if field.is_required and field.key not in attached:
                raise required(config_attr(field.key))
            continue
        value = config.get(field.key)
        if value is None or value == "":
            if field.is_required:
                raise required(config_attr(field.key))
            continue
        if message := _fault(field, value):
            raise Invalid(message, attr=config_attr(field.key))


def _fault(field: SchemaField, value: object) -> str:
    """Say what is wrong with a value, without repeating it; empty when nothing is."""
    match field.type:
        case "string" if not isinstance(value, str):
            return "Not a valid string."
        case "choice" if field.choices is not None and not _is_among(value, field.choices):
            return "Not a valid choice."
        case "number" if isinstance(value, bool) or not isinstance(value, int | float):
            return "A valid number is required."
        case "boolean" if not isinstance(value, bool):
            return "Must be a valid boolean."
        case "json" if isinstance(value, str) and not _is_json(value):
            return "Value must be valid JSON."
    return ""


def _is_among(value: object, choices: Collection[Any]) -> bool:
    """Compare as JSON does: `true` is not 1."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
