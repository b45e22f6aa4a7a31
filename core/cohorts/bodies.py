"""How request bodies of cohorts are read: JSON, forms, and multipart with a `csv` file."""

from typing import Any, Final
from uuid import UUID

from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of, flag, json_value, required, text_value
from core.cohorts.uploads import CohortBody, read_csv

MAX_NAME: Final = 400
MAX_DESCRIPTION: Final = 1000
MAX_PERSONS: Final = 10_000
BAD_UUIDS: Final = "One or more UUIDs are invalid."


def read_cohort(request: Request) -> CohortBody:
    """Read the body of create, PUT and PATCH; fields that only the server sets are ignored."""
    body = body_of(request)
    fields: dict[str, Any] = {}
    for name, longest in (("name", MAX_NAME), ("description", MAX_DESCRIPTION)):
        if name in body:
            fields[name] = text_value(body[name], name, longest)
    for name in ("is_static", "deleted"):
        if body.get(name) is not None:
            fields[name] = flag(request, name)
    for name in ("filters", "groups"):
        if name in body:
            fields[name] = json_value(body[name], name)
    if body.get("query"):
        raise Invalid("Cohorts made by a query are not supported.", attr="query")
    upload = body.get("csv")
    given = body.get("_create_static_person_ids")
    return CohortBody(
        fields=fields,
        person_uuids=_uuids([] if given is None else given, "_create_static_person_ids"),
        upload=read_csv(upload) if upload else None,
    )


def read_persons_to_add(request: Request) -> tuple[UUID, ...]:
    """Read `person_ids`: 1 to 10,000 UUIDs."""
    given = body_of(request).get("person_ids")
    if isinstance(given, str):
        given = json_value(given, "person_ids")
    if not isinstance(given, list):
        raise Invalid("person_ids must be a list", attr="person_ids")
    if not given:
        raise Invalid("person_ids cannot be empty", attr="person_ids")
    return _uuids(given, "person_ids")


def read_person_to_remove(request: Request) -> UUID:
    """Read `person_id`, a UUID."""
    given = body_of(request).get("person_id")
    if not given:
        raise required("person_id")
    if not isinstance(given, str):
        raise Invalid("person_id must be a string", attr="person_id")
    try:
        return UUID(given)
    except ValueError:
        raise Invalid("person_id must be a valid UUID", attr="person_id") from None


def _uuids(given: object, name: str) -> tuple[UUID, ...]:
    if isinstance(given, str):
        given = json_value(given, name)
    if not isinstance(given, list):
        raise Invalid("Expected a list of UUIDs.", attr=name)
    if len(given) > MAX_PERSONS:
        message = f"List size exceeds limit: {MAX_PERSONS} at most."
        raise Invalid(message, code="max_length", attr=name)
    try:
        return tuple(dict.fromkeys(UUID(item) for item in given))
    except (ValueError, TypeError, AttributeError):
        raise Invalid(BAD_UUIDS, attr=name) from None
