"""The published shapes of persons, and how request bodies are read. Rows never pass through these."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of, find, required
from core.api.values import NotJSONError, TooDeepError, json_repaired

MAX_UNSET_KEYS: Final = 1000
MAX_INTEGER_ID: Final = 2**63 - 1
BAD_ID: Final = (
    "The ID provided does not look like a personID. "
    "If you are using a distinctId, please use /persons?distinct_id={id} instead."
)


@extend_schema_field({"description": "Any JSON value."})
class AnyJSONField(serializers.JSONField):
    """A value whose JSON type is kept."""


@extend_schema_field({"description": "A display property's value as it is stored, nearly always text."})
class NameField(serializers.JSONField):
    """The name of a person, which has the JSON type of the property it comes from."""


class Person(serializers.Serializer[Any]):
    """A person. `id` is the integer key; lists carry PersonListItem, whose `id` is the UUID."""

    id = serializers.IntegerField(read_only=True)
    name = NameField(read_only=True)
    distinct_ids = serializers.ListField(child=serializers.CharField(), read_only=True)
    properties = serializers.DictField(required=False, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    is_identified = serializers.BooleanField(read_only=True)
    last_seen_at = serializers.DateTimeField(read_only=True, allow_null=True)


class PersonListItem(serializers.Serializer[Any]):
    """A person in a list. `id` is the UUID's text."""

    type = serializers.CharField(read_only=True)
    id = serializers.UUIDField(read_only=True)
    uuid = serializers.UUIDField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    properties = serializers.DictField(read_only=True)
    is_identified = serializers.BooleanField(read_only=True)
    name = NameField(read_only=True)
    distinct_ids = serializers.ListField(child=serializers.CharField(), read_only=True, max_length=1000)
    matched_recordings = serializers.ListField(child=serializers.DictField(), read_only=True)
    value_at_data_point = serializers.FloatField(read_only=True, allow_null=True)
    last_seen_at = serializers.DateTimeField(read_only=True, allow_null=True)


@extend_schema_serializer(many=False)
class PaginatedPersonList(serializers.Serializer[Any]):
    """A page of persons; it has `count` only when `include_total` asks for it."""

    count = serializers.IntegerField(required=False)
    next = serializers.URLField(allow_null=True, required=False)
    previous = serializers.URLField(allow_null=True, required=False)
    results = PersonListItem(many=True, required=False)


class PersonUpdateProperty(serializers.Serializer[Any]):
    """One property to set."""

    key = serializers.CharField()
    value = AnyJSONField(allow_null=True)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_UNSET_KEYS},
        ]
    }
)
class KeysField(serializers.Field[Any, Any, Any, Any]):
    """One property key or a list of them."""


class PersonDeleteProperty(serializers.Serializer[Any]):
    """The properties to remove."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Declare `$unset`, which is no Python name."""
        return {"$unset": KeysField()}


class PointInTimeMetadata(serializers.Serializer[Any]):
    """How a past state was worked out."""

    queried_timestamp = serializers.DateTimeField()
    include_set_once = serializers.BooleanField()
    distinct_id_used = serializers.CharField(allow_null=True)
    person_id_used = serializers.CharField(allow_null=True)
    query_mode = serializers.ChoiceField(choices=["distinct_id", "person_id"])
    distinct_ids_queried = serializers.ListField(child=serializers.CharField())
    distinct_ids_count = serializers.IntegerField()
    operations_applied = serializers.IntegerField(help_text="How many stored updates of the person were replayed.")


class PersonPropertiesAtTime(Person):
    """A person with the properties of a past moment; every other field is today's."""

    point_in_time_metadata = PointInTimeMetadata()
    debug = serializers.DictField(required=False)


def read_person_key(text: str) -> int | UUID:
    """Read `{id}` of a path: the integer key or the UUID."""
    if text.isascii() and text.isdigit():
        number = int(text[:20])
        if number <= MAX_INTEGER_ID:
            return number
        raise Invalid(BAD_ID.format(id=text[:200]))
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(BAD_ID.format(id=text[:200])) from None


def read_properties(request: Request) -> dict[str, Any]:
    """Read `properties` of PUT and PATCH: an object or JSON text of one; absent or null is no change."""
    found = find(request, "properties")
    if found is None or found[0] is None:
        return {}
    value = found[0]
    if isinstance(value, str):
        try:
            value = orjson.loads(value or "null")
        except orjson.JSONDecodeError:
            raise Invalid("Value must be valid JSON.", attr="properties") from None
    if value is None:
        return {}
    return _clean_object(value, "properties")


def read_update_property(request: Request) -> dict[str, Any]:
    """Read `key` and `value`, or the `{"$set": {...}}` that some clients send."""
    given = body_of(request).get("$set")
    if isinstance(given, Mapping) and find(request, "key") is None:
        return _clean_object(dict(given), "$set")
    value = find(request, "value")
    if value is None:
        raise required("value")
    return _clean_object({_read_key(request): value[0]}, "value")


def _read_key(request: Request) -> str:
    found = find(request, "key")
    if found is None or found[0] is None:
        raise required("key")
    return _clean_key(found[0], "key")


def read_unset(request: Request) -> list[str]:
    """Read `$unset`: one key or a list of 1 to 1000."""
    found = find(request, "$unset")
    if found is None or found[0] is None:
        raise required("$unset")
    value = found[0]
    keys = value if isinstance(value, list) else [value]
    if len(keys) > MAX_UNSET_KEYS:
        message = f"Ensure this field has no more than {MAX_UNSET_KEYS} elements."
        raise Invalid(message, code="max_length", attr="$unset")
    if not keys:
        raise Invalid("This list may not be empty.", code="empty", attr="$unset")
    return [_clean_key(key, "$unset") for key in keys]


def _clean_key(key: object, attr: str) -> str:
    if not isinstance(key, str):
        raise Invalid("Not a valid string.", attr=attr)
    if not key:
        raise Invalid("This field may not be blank.", code="blank", attr=attr)
    return str(json_repaired(key))


def _clean_object(value: object, attr: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        message = f'Expected a dictionary of items but got type "{type(value).__name__}".'
        raise Invalid(message, code="not_a_dict", attr=attr)
    try:
        return dict(json_repaired(value))
    except TooDeepError:
        raise Invalid("The value is nested too deeply.", attr=attr) from None
    except NotJSONError:
        raise Invalid("Value must be valid JSON.", attr=attr) from None
