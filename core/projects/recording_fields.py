"""Fields about session recording, each with the words in which the original servers refuse a value."""

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.projects.choices import RETENTION_PERIODS, TRIGGER_MATCHES
from core.projects.json_fields import JSONValue

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_YES_NO: Final = {"type": "boolean"}
_AI_CONFIG: Final[Mapping[str, type]] = {
    "included_event_properties": list,
    "opt_in": bool,
    "preferred_events": list,
    "excluded_events": list,
    "important_user_properties": list,
}
_NAMES: Final[Mapping[type, str]] = {bool: "a boolean", str: "a string", list: "a list of strings"}


def _refuse(message: str) -> NoReturn:
    raise serializers.ValidationError(message)


def _check_types(value: dict[str, Any], types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        if key not in value:
            continue
        item: Any = value[key]
        if not isinstance(item, kind) or (isinstance(item, list) and not all(isinstance(text, str) for text in item)):
            _refuse(f"{key} must be {_NAMES[kind]}.")


class _Dictionary(JSONValue):
    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        if not isinstance(value, dict):
            _refuse("Must provide a dictionary or None.")
        return self.read_dictionary(value)

    def read_dictionary(self, value: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "nullable": True},
            "key": _TEXT,
            "variant": {**_TEXT, "nullable": True},
        },
        "required": ["id", "key"],
    }
)
class LinkedFlag(_Dictionary):
    """The feature flag that recording depends on."""

    def read_dictionary(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return exactly id, key and perhaps variant."""
        if value.keys() not in ({"id", "key"}, {"id", "key", "variant"}):
            _refuse(
                "Must provide a dictionary with only 'id' and 'key' keys. _or_ only 'id', 'key', and 'variant' keys."
            )
        flag, variant = value["id"], value.get("variant")
        if flag is not None and (isinstance(flag, bool) or not isinstance(flag, int)):
            _refuse("id must be an integer.")
        if not isinstance(value["key"], str):
            _refuse("key must be a string.")
        if variant is not None and not isinstance(variant, str):
            _refuse("variant must be a string.")
        return value


@extend_schema_field({"type": "object", "properties": {"recordHeaders": _YES_NO, "recordBody": _YES_NO}})
class NetworkPayloadCapture(_Dictionary):
    """Whether headers and bodies of network requests are recorded."""

    def read_dictionary(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse other keys."""
        known = {"recordHeaders": bool, "recordBody": bool}
        if value.keys() - known.keys():
            _refuse("Must provide a dictionary with only 'recordHeaders' and/or 'recordBody' keys.")
        _check_types(value, known)
        return value


@extend_schema_field(
    {"type": "object", "properties": {"maskAllInputs": _YES_NO, "maskTextSelector": _TEXT, "blockSelector": _TEXT}}
)
class Masking(_Dictionary):
    """What recordings hide."""

    def read_dictionary(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse other keys."""
        known = {"maskAllInputs": bool, "maskTextSelector": str, "blockSelector": str}
        if value.keys() - known.keys():
            _refuse(f"Must provide a dictionary with only known keys: {', '.join(known)}.")
        _check_types(value, known)
        return value


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "record_canvas": _YES_NO,
            "ai_config": {
                "type": "object",
                "nullable": True,
                "properties": {name: _YES_NO if kind is bool else _TEXTS for name, kind in _AI_CONFIG.items()},
            },
        },
    }
)
class SessionReplay(_Dictionary):
    """More about session replay; a change is merged into what is stored."""

    def read_dictionary(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse other keys, also one level down."""
        if value.keys() - {"record_canvas", "ai_config"}:
            _refuse("Must provide a dictionary with only known keys. One or more of record_canvas, ai_config.")
        _check_types(value, {"record_canvas": bool})
        config = value.get("ai_config")
        if config is None:
            return value
        if not isinstance(config, dict):
            _refuse("Must provide a dictionary or None.")
        if config.keys() - _AI_CONFIG.keys():
            _refuse(f"Must provide a dictionary with only allowed keys: {', '.join(_AI_CONFIG)}.")
        _check_types(config, _AI_CONFIG)
        return value


class _OwnWords(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 as DRF's
        if not isinstance(data, str) or data not in self.choices:
            self.fail("own_words")
        return data

    def fail(self, key: str, **arguments: Any) -> NoReturn:  # noqa: ANN401 as DRF's
        if key == "own_words":
            _refuse(str(self.error_messages[key]))
        super().fail(key, **arguments)
        raise AssertionError


class TriggerMatch(_OwnWords):
    """Whether all triggers must hold for a recording, or any."""

    default_error_messages = {
        "own_words": "Must provide a valid trigger match type. Only 'all' or 'any' or None are allowed."
    }

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 as DRF's
        super().__init__(choices=TRIGGER_MATCHES, **options)


class RetentionPeriod(_OwnWords):
    """How long recordings are meant to be kept."""

    default_error_messages = {
        "own_words": f"Must provide a valid retention period. Options are: {', '.join(RETENTION_PERIODS)}."
    }

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 as DRF's
        super().__init__(choices=RETENTION_PERIODS, **options)
