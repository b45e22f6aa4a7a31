"""Shapes of split, reset and the batch look-ups, and how their requests are read."""

from typing import Any, Final
from uuid import UUID

import orjson
from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import find
from core.api.values import json_repaired
from core.persons.serializers import Person
from core.persons.splitting import MAX_MOVED_IDS, SplitWish

_LIST: Final = "distinct_ids_to_split"
_MAIN: Final = "main_distinct_id"


class PersonSplitRequest(serializers.Serializer[Any]):
    """Which ids leave: those listed, or all but the main one; without either all but the person's first id."""

    main_distinct_id = serializers.CharField(required=False, allow_null=True)
    distinct_ids_to_split = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True, min_length=1, max_length=MAX_MOVED_IDS
    )


class PersonSplitOff(serializers.Serializer[Any]):
    """A distinct id and the person that it names since the split."""

    distinct_id = serializers.CharField()
    uuid = serializers.UUIDField()


class PersonSplitResponse(serializers.Serializer[Any]):
    """What has moved, oldest id first."""

    success = serializers.BooleanField()
    persons = PersonSplitOff(many=True)


class PersonResetDistinctIdRequest(serializers.Serializer[Any]):
    """The distinct id to repair."""

    distinct_id = serializers.CharField()


class Success(serializers.Serializer[Any]):
    """It is done."""

    success = serializers.BooleanField()


class PersonBatchByDistinctIdsRequest(serializers.Serializer[Any]):
    """Distinct ids; the first 200 count."""

    distinct_ids = serializers.ListField(child=serializers.CharField(), required=False)


class PersonBatchByUuidsRequest(serializers.Serializer[Any]):
    """UUIDs of persons; the first 200 count."""

    uuids = serializers.ListField(child=serializers.UUIDField(), required=False)


class PersonBatchResponse(serializers.Serializer[Any]):
    """Persons by the key that was asked for, each with at most 10 distinct ids; unknown keys are absent."""

    results = serializers.DictField(child=Person())


def read_split(request: Request) -> SplitWish:
    """Read the body of a split; null counts as absent."""
    listed, main = _value(request, _LIST), _value(request, _MAIN)
    if listed is not None and main is not None:
        message = f"{_MAIN} cannot be combined with {_LIST}"
        raise Invalid(message)
    if main is not None:
        if not isinstance(main, str):
            raise Invalid("Not a valid string.", attr=_MAIN)
        return SplitWish(main=str(json_repaired(main)))
    if listed is None:
        return SplitWish()
    if isinstance(listed, str):
        listed = _from_text(listed)
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise Invalid("must be a list of strings", attr=_LIST)
    if not listed:
        raise Invalid("must not be empty", attr=_LIST)
    if len(listed) > MAX_MOVED_IDS:
        raise too_many_ids()
    return SplitWish(leaving=tuple(dict.fromkeys(str(json_repaired(item)) for item in listed)))


def too_many_ids() -> Invalid:
    """Return the error for a split that would move too many ids at once."""
    message = f"At most {MAX_MOVED_IDS} distinct ids can be split off in one call. Name them in {_LIST}, part by part."
    return Invalid(message, code="max_length", attr=_LIST)


def read_batch(request: Request, name: str, *, most: int) -> list[Any]:
    """Read a list of keys, cut to `most`; what is no list counts as empty."""
    value = _value(request, name)
    if isinstance(value, str):
        value = _from_text(value)
    return value[:most] if isinstance(value, list) else []


def read_batch_distinct_ids(request: Request, *, most: int) -> dict[str, str]:
    """Return each distinct id as ingestion would have stored it, with the text that was asked for."""
    asked = [item for item in read_batch(request, "distinct_ids", most=most) if isinstance(item, str)]
    return {item: str(json_repaired(item)) for item in asked}


def read_batch_uuids(request: Request, *, most: int) -> list[UUID]:
    """Read UUIDs; one that is malformed refuses all."""
    try:
        return [UUID(item) for item in read_batch(request, "uuids", most=most)]
    except (ValueError, AttributeError, TypeError):
        raise Invalid("One or more UUIDs are invalid.") from None


def read_distinct_id(request: Request) -> str:
    """Read the distinct id of a reset, which must be a text with something in it."""
    value = _value(request, "distinct_id")
    if not isinstance(value, str) or not value:
        raise Invalid("distinct_id is required", code="required", attr="distinct_id")
    return str(json_repaired(value))


def _value(request: Request, name: str) -> Any:  # noqa: ANN401 any JSON value
    found = find(request, name)
    return None if found is None else found[0]


def _from_text(text: str) -> Any:  # noqa: ANN401 any JSON value
    """Return the list that a form or a query string carries as JSON text; anything else as it is."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, list) else text
