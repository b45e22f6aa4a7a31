"""What a request asks of a config's logs: its query string, read and checked."""

import re
from datetime import UTC, datetime
from typing import Final

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter

from core.api.errors import Invalid
from core.api.params import query_parameter
from core.api.values import json_repaired
from core.plugins.logs.services import LogType
from events.plugin_logs import LogQuestion

PARAMETERS: Final = [
    query_parameter("limit", "Lines per page: 100 unless told, 1000 at most.", int),
    query_parameter("offset", "Lines to skip.", int),
    query_parameter("after", "Only lines after this time (ISO 8601; UTC where it has no offset).", datetime),
    query_parameter("before", "Only lines before this time (ISO 8601; UTC where it has no offset).", datetime),
    query_parameter("search", "Only lines whose message contains this, whatever the case."),
    OpenApiParameter(
        "type_filter",
        str,
        many=True,
        enum=[kind.value for kind in LogType],
        description="Only lines of this type; may be given several times.",
    ),
]

_NO_INTEGER: Final = "Query param limit must be omitted or an integer!"
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
# A plus sign that was not encoded arrives as a space.
_LOST_PLUS: Final = re.compile(r"(:.*) (?=[0-9]{2}:?[0-9]{2}$)")


def read_question(params: QueryDict, *, team_id: int, plugin_config_id: int) -> LogQuestion:
    """Return what the query string asks; empty parameters ask nothing. Raises Invalid.

    A `limit` that is no integer is refused here; how it is used is the pages' affair.
    """
    if (limit := params.get("limit", "").strip()) and not _INTEGER.fullmatch(limit):
        raise Invalid(_NO_INTEGER)
    return LogQuestion(
        team_id=team_id,
        plugin_config_id=plugin_config_id,
        after=_moment(params, "after"),
        before=_moment(params, "before"),
        search=str(json_repaired(params.get("search", ""))),
        types=_types(params),
    )


def _moment(params: QueryDict, name: str) -> datetime | None:
    text = params.get(name, "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+", text.upper()))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        message = "Datetime has wrong format. Use ISO 8601."
        raise Invalid(message, attr=name) from None


def _types(params: QueryDict) -> list[str]:
    wanted = dict.fromkeys(text for text in params.getlist("type_filter") if text)
    for text in wanted:
        if text not in LogType:
            message = f'"{json_repaired(text[:100])}" is not a valid choice.'
            raise Invalid(message, code="invalid_choice", attr="type_filter")
    return list(wanted)
