"""Fields whose value is JSON: as it is in JSON bodies, as JSON text in forms, and never more than is kept."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.utils.html import is_html_input

from core.api.json import dumps, loads
from core.api.values import NotJSONError, TooDeepError, json_repaired
from core.projects.fields import MAX_JSON_BYTES

MAX_ITEMS: Final = 300
LIMIT_HELP: Final = f"At most {MAX_JSON_BYTES:,} bytes of JSON."
_OBJECT: Final = {"type": "object", "additionalProperties": {}}


def size_check(value: object) -> None:
    """Raise DRF's ValidationError for JSON that is larger than a field may be."""
    if len(dumps(value)) > MAX_JSON_BYTES:
        message = f"Ensure this field has no more than {MAX_JSON_BYTES} bytes of JSON."
        raise serializers.ValidationError(message, code="max_length")


class JSONValue(serializers.JSONField):
    """Any JSON value; in forms an empty text is null, or nothing where null is not allowed."""

    def get_value(self, dictionary: Mapping[Any, Any]) -> Any:  # noqa: ANN401 as DRF's
        """Find the value in a body."""
        value = super().get_value(dictionary)
        if value == "" and is_html_input(dictionary):
            return None if self.allow_null else empty
        return value

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 any JSON value
        """Parse what came in a form, and refuse what cannot be stored."""
        if getattr(data, "is_json_string", False):
            try:
                data = loads(str(data))
            except ValueError:
                self.fail("invalid")
        if data is None:
            return None if self.allow_null else self.fail("null")
        self._check_storable(data)
        return self.read(data)

    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        """Check the shape of a value that is not null; return it as it is stored."""
        return value

    def _check_storable(self, value: object) -> None:
        try:
            if json_repaired(value) != value:
                message = "Null characters are not allowed."
                raise serializers.ValidationError(message, code="null_characters_not_allowed")
            size_check(value)
        except TooDeepError:
            message = "This value is nested too deeply."
            raise serializers.ValidationError(message) from None
        except (NotJSONError, TypeError):
            self.fail("invalid")


@extend_schema_field(_OBJECT)
class JSONObject(JSONValue):
    """A JSON object."""

    default_error_messages = {"not_a_dict": serializers.DictField.default_error_messages["not_a_dict"]}

    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        """Refuse what is no object."""
        if not isinstance(value, dict):
            self.fail("not_a_dict", input_type=type(value).__name__)
        return value


@extend_schema_field({"type": "array", "items": _OBJECT})
class JSONObjects(JSONValue):
    """A list of JSON objects."""

    default_error_messages = {
        "not_a_list": serializers.ListField.default_error_messages["not_a_list"],
        "not_a_dict": JSONObject.default_error_messages["not_a_dict"],
    }

    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        """Refuse what is no list of objects."""
        if not isinstance(value, list):
            self.fail("not_a_list", input_type=type(value).__name__)
        if len(value) > MAX_ITEMS:
            message = f"Ensure this field has no more than {MAX_ITEMS} elements."
            raise serializers.ValidationError(message, code="max_length")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                message = f'Expected a dictionary of items but got type "{type(item).__name__}".'
                raise serializers.ValidationError({str(index): [serializers.ErrorDetail(message, "not_a_dict")]})
        return value


class ShapedObject(JSONObject):
    """A JSON object with the fields of a serializer; those that are missing take their defaults, others are dropped."""

    shape: type[serializers.Serializer[Any]]
    defaults: Mapping[str, Any]

    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        """Check each field; errors name it after the object's own name."""
        shape = self.shape(data=super().read(value), partial=True)
        shape.is_valid(raise_exception=True)
        return {**self.defaults, **shape.validated_data}


class TextList(serializers.ListField):
    """A list of texts; in forms the key is repeated, or holds one JSON list."""

    def __init__(self, *, longest: int, **options: Any) -> None:  # noqa: ANN401 as DRF's
        self.drops_empty: bool = options.pop("drops_empty", False)
        child = serializers.CharField(max_length=longest, allow_null=self.drops_empty, allow_blank=self.drops_empty)
        super().__init__(child=child, max_length=MAX_ITEMS, required=False, **options)

    def get_value(self, dictionary: Mapping[Any, Any]) -> Any:  # noqa: ANN401 as DRF's
        """Find the value in a body."""
        value = super().get_value(dictionary)
        if not is_html_input(dictionary) or not isinstance(value, list) or len(value) != 1:
            return value
        if value == [""]:
            return None if self.allow_null else []
        text = value[0]
        if isinstance(text, str) and text.lstrip().startswith("["):
            try:
                return loads(text)
            except ValueError:
                return value
        return value

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 as DRF's
        """Return the texts, without the empty ones where these mean nothing."""
        texts = super().to_internal_value(data)
        return [text for text in texts if text] if self.drops_empty else texts
