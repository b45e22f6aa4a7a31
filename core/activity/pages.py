"""The activity log over HTTP: `page` and `limit` in, one documented page with its links out."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from core.activity.queries import (
    ActivityPage,
    activity_page,
    organization_activity_page,
    organization_scopes_page,
)
from core.api.errors import Invalid, NotFound
from core.api.params import required
from core.api.values import json_repaired

DEFAULT_LIMIT: Final = 10
MAX_LIMIT: Final = 100
# Beyond any log; keeps the offset within what Postgres counts with.
_MAX_PAGE: Final = 10**12
_LONGEST: Final = 20
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")

PARAMETERS: Final = [
    OpenApiParameter("limit", int, description=f"Entries per page, at most {MAX_LIMIT}. Default {DEFAULT_LIMIT}."),
    OpenApiParameter("page", int, description="Number of the page, from 1. Default 1."),
]

ORGANIZATION_PARAMETERS: Final = [
    *PARAMETERS,
    OpenApiParameter("scope", str, description="Only entries of this scope, such as `Role`."),
    OpenApiParameter("item_id", str, description="Only entries of this item of the `scope`."),
]


class ActivityUser(serializers.Serializer[Any]):
    """Who did it: empty texts after the user was deleted, `is_system` where nobody did."""

    first_name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    is_system = serializers.BooleanField(required=False)


class ActivityChange(serializers.Serializer[Any]):
    """One change of an entry."""

    type = serializers.CharField()
    action = serializers.CharField(
        help_text="`changed`, `created`, `deleted`, `merged`, `split` or `exported`; the job, where one was triggered."
    )
    field = serializers.CharField(allow_null=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ActivityDetail(serializers.Serializer[Any]):
    """What happened."""

    changes = ActivityChange(many=True, allow_null=True)
    trigger = serializers.DictField(allow_null=True)
    type = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    short_id = serializers.CharField(allow_null=True)


class ActivityEntry(serializers.Serializer[Any]):
    """One entry of the activity log."""

    id = serializers.UUIDField()
    user = ActivityUser()
    activity = serializers.CharField()
    scope = serializers.CharField()
    item_id = serializers.CharField(allow_null=True)
    detail = ActivityDetail(allow_null=True)
    created_at = serializers.DateTimeField()


@extend_schema_serializer(many=False)
class ActivityLogPage(serializers.Serializer[Any]):
    """A page of the activity log, newest first."""

    results = ActivityEntry(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    total_count = serializers.IntegerField(help_text="How many entries there are; counted up to 100,000.")


def activity_answer(
    request: Request, *, team_id: int, scopes: Sequence[str], item_id: str | None = None
) -> dict[str, Any]:
    """Return the page of a project's log that the request asks for, of these scopes, of one item or of all.

    Raises Invalid for numbers that are none, NotFound for a page beyond the end.
    """
    return _answer(request, partial(activity_page, team_id=team_id, scopes=scopes, item_id=item_id))


def organization_activity_answer(request: Request, *, organization_id: UUID) -> dict[str, Any]:
    """Return the page of the log of an organization and its projects that the request asks for.

    `scope` and, with it, `item_id` narrow it. Raises as activity_answer does.
    """
    scope, item_id = (json_repaired(request.query_params.get(name, "")) or None for name in ("scope", "item_id"))
    if item_id is not None and scope is None:
        raise required("scope")
    page = partial(organization_activity_page, organization_id=organization_id, scope=scope, item_id=item_id)
    return _answer(request, page)


def organization_scopes_answer(request: Request, *, organization_id: UUID, scopes: Sequence[str]) -> dict[str, Any]:
    """Return the page of the log of an organization and its projects, of these scopes; raises as activity_answer."""
    return _answer(request, partial(organization_scopes_page, organization_id=organization_id, scopes=scopes))


def _answer(request: Request, page: Callable[..., ActivityPage]) -> dict[str, Any]:
    limit = min(_number(request, "limit", DEFAULT_LIMIT), MAX_LIMIT)
    number = min(_number(request, "page", 1), _MAX_PAGE)
    found = page(limit=limit, offset=(number - 1) * limit)
    if not found.entries and number > 1:
        raise NotFound("Invalid page.")
    return {
        "results": found.entries,
        "next": _link(request, number + 1, limit) if found.more else None,
        "previous": _link(request, number - 1, limit) if number > 1 else None,
        "total_count": found.total_count,
    }


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "").strip()
    if not text:
        return default
    if not _INTEGER.fullmatch(text):
        raise Invalid("A valid integer is required.", attr=name)
    # Python refuses texts of thousands of digits.
    value = int(text[:_LONGEST])
    if value < 1:
        raise Invalid("Ensure this value is greater than or equal to 1.", code="min_value", attr=name)
    return value


def _link(request: Request, number: int, limit: int) -> str:
    params = request.query_params.copy()
    params["page"], params["limit"] = str(number), str(limit)
    return request.build_absolute_uri(f"{request.path}?{params.urlencode()}")
