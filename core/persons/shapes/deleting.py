"""Shapes of the deletion endpoints, and how their requests are read."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from django.http import QueryDict
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.pagination import Window
from core.api.params import body_of, flag
from core.api.values import json_repaired
from core.deletions.models import DeletionRequest
from core.deletions.queries import StatusQuery
from core.deletions.serializers import DeletionAsker, DeletionTable
from core.persons.deleting import Deleted, PersonChoice
from core.persons.serializers import MAX_INTEGER_ID

MAX_PERSONS: Final = 1000
MAX_STATUS_LIMIT: Final = 1000
MAX_OFFSET: Final = 2**62
STATUSES: Final[Mapping[str, bool | None]] = {"pending": False, "completed": True, "all": None}
KINDS: Final[Mapping[str, str | None]] = {
    **{kind.value: kind.value for kind in DeletionRequest.OF_PERSONS},
    "all": None,
}
_INDEXED: Final = re.compile(r"(\w+)\[(\d{0,6})\]")


class PersonBulkDeleteRequest(serializers.Serializer[Any]):
    """Persons by their ids (UUIDs or integers) or by their distinct ids, and what is to go."""

    ids = serializers.ListField(child=serializers.CharField(), required=False, max_length=MAX_PERSONS)
    distinct_ids = serializers.ListField(child=serializers.CharField(), required=False, max_length=MAX_PERSONS)
    delete_events = serializers.BooleanField(required=False)
    delete_recordings = serializers.BooleanField(required=False)
    keep_person = serializers.BooleanField(required=False)


class PersonDeletionError(serializers.Serializer[Any]):
    """A person that could not be deleted."""

    person_uuid = serializers.UUIDField()


class PersonBulkDeleteResponse(serializers.Serializer[Any]):
    """What was found and done. All persons are deleted in one transaction, so `deletion_errors` is empty."""

    persons_found = serializers.IntegerField()
    persons_deleted = serializers.IntegerField()
    persons_queued_for_deletion = serializers.IntegerField()
    events_queued_for_deletion = serializers.BooleanField()
    recordings_queued_for_deletion = serializers.BooleanField()
    deletion_errors = PersonDeletionError(many=True)
    ids_not_found = serializers.ListField(child=serializers.CharField())
    distinct_ids_not_found = serializers.ListField(child=serializers.CharField())


class DeletionReceipt(serializers.Serializer[Any]):
    """The proof of a deletion: who asked and when, what was found and removed, and when that was verified."""

    request_id = serializers.IntegerField()
    requested_at = serializers.DateTimeField()
    requested_by = DeletionAsker(allow_null=True)
    run_id = serializers.UUIDField()
    run_started_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField()
    tables = serializers.DictField(child=DeletionTable())
    distinct_ids_sha256 = serializers.ListField(child=serializers.CharField())


class AsyncDeletionStatus(serializers.Serializer[Any]):
    """One request to erase a person's events or recordings."""

    person_uuid = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=["pending", "completed"], read_only=True)
    delete_verified_at = serializers.DateTimeField(allow_null=True)
    kind = serializers.ChoiceField(choices=[(kind.value, kind.label) for kind in DeletionRequest.OF_PERSONS])
    receipt = DeletionReceipt(allow_null=True)


@extend_schema_serializer(many=False)
class PaginatedAsyncDeletionStatusList(serializers.Serializer[Any]):
    """A page of deletion requests, newest first."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = AsyncDeletionStatus(many=True)


def read_choice(request: Request) -> PersonChoice:
    """Read which persons a bulk deletion names: `ids` or `distinct_ids`, from the body or the query string."""
    ids, distinct_ids = _texts(request, "ids"), _texts(request, "distinct_ids")
    if ids and distinct_ids:
        raise Invalid("You must provide either distinct_ids or ids, not both")
    for name, given in (("distinct_ids", distinct_ids), ("ids", ids)):
        if len(given) > MAX_PERSONS:
            message = f"You can only pass {MAX_PERSONS} {name} in one call"
            raise Invalid(message)
    if distinct_ids:
        return PersonChoice(distinct_ids=[str(json_repaired(text)) for text in distinct_ids])
    if ids:
        keys = dict.fromkeys(_person_key(text) for text in ids)
        return PersonChoice(
            ids=[key for key in keys if isinstance(key, int)], uuids=[key for key in keys if isinstance(key, UUID)]
        )
    raise Invalid("You need to specify either distinct_ids or ids")


def _texts(request: Request, name: str) -> list[str]:
    """Return a list of texts, each once; integers count as their text."""
    found = _listed(request, name)
    texts: dict[str, None] = {}
    for item in found:
        if not isinstance(item, str | int) or isinstance(item, bool):
            raise Invalid("Not a valid string.", attr=name)
        texts[str(item)] = None
    # The cap is on what was sent, so that it does not depend on repetitions.
    return list(texts) if len(found) <= MAX_PERSONS else [str(item) for item in found]


def _listed(request: Request, name: str) -> list[Any]:
    body = body_of(request)
    found: Any = _of_form(body, name) if isinstance(body, QueryDict) else body.get(name)
    if found is not None and not isinstance(found, list):
        message = f'Expected a list of items but got type "{type(found).__name__}".'
        raise Invalid(message, code="not_a_list", attr=name)
    return found or _of_form(request.query_params, name)


def _of_form(fields: QueryDict, name: str) -> list[Any]:
    """Return `name=a&name=b`, `name[0]=a&name[1]=b` or `name=["a","b"]`."""
    found: list[Any] = []
    for text in fields.getlist(name):
        found.extend(_of_text(text))
    indexed = ((match, key) for key in fields if (match := _INDEXED.fullmatch(key)) and match[1] == name)
    for _, key in sorted(indexed, key=lambda pair: int(pair[0][2] or 0)):
        found.extend(fields.getlist(key))
    return found


def _of_text(text: str) -> Iterator[Any]:
    if text.startswith("["):
        try:
            yield from orjson.loads(text)
        except orjson.JSONDecodeError:
            yield text
    elif text:
        yield text


def _person_key(text: str) -> int | UUID:
    if text.isascii() and text.isdigit() and int(text[:20]) <= MAX_INTEGER_ID:
        return int(text[:20])
    try:
        return UUID(text)
    except ValueError:
        message = f'"{text[:100]}" is not a valid UUID.'
        raise Invalid(message, attr="ids") from None


def bulk_delete_answer(deleted: Deleted, *, delete_events: bool, delete_recordings: bool) -> dict[str, Any]:
    """Return the body of a bulk deletion."""
    return {
        "persons_found": deleted.found,
        "persons_deleted": deleted.deleted,
        "persons_queued_for_deletion": 0,
        "events_queued_for_deletion": delete_events and deleted.found > 0,
        "recordings_queued_for_deletion": delete_recordings and deleted.found > 0,
        "deletion_errors": [],
        "ids_not_found": [str(key) for key in deleted.ids_not_found],
        "distinct_ids_not_found": list(deleted.distinct_ids_not_found),
    }


def read_status_query(request: Request) -> tuple[StatusQuery, Window]:
    """Read the filters and the page of deletion_status; a wrong value is refused and names its parameter."""
    params = request.query_params
    status = _choice(params.get("status"), "status", STATUSES, default="all")
    kind = _choice(params.get("kind"), "kind", KINDS, default=DeletionRequest.Kind.EVENTS.value)
    window = Window(
        limit=min(_whole(params.get("limit"), "limit", 100, least=1), MAX_STATUS_LIMIT),
        offset=_whole(params.get("offset"), "offset", 0, least=0),
    )
    query = StatusQuery(
        kind=kind,
        verified=status,
        person_uuid=_uuid(params.get("person_uuid")),
        repeated=flag(request, "include_repeated"),
        limit=window.limit,
        offset=window.offset,
    )
    return query, window


def _choice[T](text: str | None, name: str, known: Mapping[str, T], *, default: str) -> T:
    if (text or default) not in known:
        message = f'"{(text or "")[:100]}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr=name)
    return known[text or default]


def _uuid(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("Must be a valid UUID.", attr="person_uuid") from None


def _whole(text: str | None, name: str, default: int, *, least: int) -> int:
    if not text:
        return default
    digits = text.strip()
    if not digits.removeprefix("-").isdecimal() or not digits.isascii():
        raise Invalid("A valid integer is required.", attr=name)
    if digits.startswith("-") or int(digits[:20]) < least:
        message = f"Ensure this value is greater than or equal to {least}."
        raise Invalid(message, code="min_value", attr=name)
    return min(int(digits[:20]), MAX_OFFSET)
