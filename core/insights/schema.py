"""The published shapes of insights: parameters that all of them take, bodies, and envelopes A and B."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from core.insights.paging import MAX_LIMIT
from core.persons.serializers import AnyJSONField, NameField
from events.insights.intervals import INTERVALS

type Described = dict[str, tuple[Any, str]]
"""Name to (type, description); `list` stands for any JSON, or JSON text of it."""


_ENTITY: Final = '`{"id", "type", "order", "math", "properties"}`; an `id` of null is any event'
COMMON: Final[Described] = {
    "events": (list, f"Series or steps on events: {_ENTITY}."),
    "actions": (list, "Series or steps on actions: as `events`, with the action's id."),
    "properties": (
        list,
        "What every event considered must pass: a list of property filters, a group, or a map of key and value.",
    ),
    "filter_test_accounts": (bool, "Also apply the project's `test_account_filters`."),
    "date_from": (str, "ISO 8601, relative such as `-7d`, or `all`. Default: 7 days ago."),
    "date_to": (str, "ISO 8601 or relative. Default: now."),
    "explicit_date": (bool, "Take both dates as they are: no widening to whole days, no rounding."),
    "interval": (str, f"One of {', '.join(INTERVALS)}; `minute` is read as hour. Default: day."),
    "limit": (int, f"Actors per page: 100 unless told, {MAX_LIMIT} at most."),
    "offset": (int, "Actors to skip."),
    "search": (str, "Only events of whom this text, in any case, is part of email, name or distinct id."),
    "include_recordings": (bool, "Fill `matched_recordings` where the endpoint has events to show."),
    "sampling_factor": (float, "Consider the events of this share of the distinct ids, up to 1; 0 is no sampling."),
    "refresh": (bool, "Compute again, whatever is kept."),
    "cache_invalidation_key": (str, "Any text; answers are kept for each apart."),
}
_OF_CACHE_AND_RECORDINGS: Final = frozenset({"include_recordings", "refresh", "cache_invalidation_key"})
UNCACHED: Final[Described] = {
    name: described for name, described in COMMON.items() if name not in _OF_CACHE_AND_RECORDINGS
}
"""The parameters of the endpoints that keep no answers and show no recordings."""
_FIELDS: Final[dict[Any, type[serializers.Field[Any, Any, Any, Any]]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    float: serializers.FloatField,
    bool: serializers.BooleanField,
    list: AnyJSONField,
}


def query_parameters(described: Described) -> list[OpenApiParameter]:
    """Return parameters of a query string, where structured values are JSON text."""
    return [
        OpenApiParameter(name, str if kind is list else kind, description=f"{text} JSON." if kind is list else text)
        for name, (kind, text) in described.items()
    ]


def body_serializer(name: str, described: Described) -> type[serializers.Serializer[Any]]:
    """Return the shape of a POST body in which every member may be left out; what is not described is ignored."""
    fields: dict[str, Any] = {
        key: _FIELDS[kind](required=False, allow_null=True, help_text=text) for key, (kind, text) in described.items()
    }
    fields["__doc__"] = "The parameters of the question."
    return type(name, (serializers.Serializer,), fields)


class RecordedEvent(serializers.Serializer[Any]):
    """An event that can be watched in a recording."""

    uuid = serializers.UUIDField()
    timestamp = serializers.DateTimeField()
    window_id = serializers.CharField()


class MatchedRecording(serializers.Serializer[Any]):
    """A recorded session with the events for which the actor is in the answer."""

    session_id = serializers.CharField()
    events = RecordedEvent(many=True)


class InsightActor(serializers.Serializer[Any]):
    """A person (`id` is the UUID's text) or a group (`id` is its key) behind a data point, as `type` says."""

    type = serializers.ChoiceField(choices=["person", "group"])
    id = serializers.CharField()
    created_at = serializers.DateTimeField()
    properties = serializers.DictField()
    matched_recordings = MatchedRecording(many=True)
    value_at_data_point = serializers.FloatField(allow_null=True)
    uuid = serializers.UUIDField(required=False, help_text="Of a person.")
    name = NameField(required=False, help_text="Of a person.")
    is_identified = serializers.BooleanField(required=False, help_text="Of a person.")
    distinct_ids = serializers.ListField(
        child=serializers.CharField(), required=False, max_length=1000, help_text="Of a person."
    )
    last_seen_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Of a person.")
    group_type_index = serializers.IntegerField(required=False, help_text="Of a group.")
    group_key = serializers.CharField(required=False, help_text="Of a group.")


class InsightPeople(serializers.Serializer[Any]):
    """The actors of a page, and how many they are."""

    people = InsightActor(many=True)
    count = serializers.IntegerField()


class InsightPage(serializers.Serializer[Any]):
    """A page of actors; `next` is null on the last one, `initial` is the first one."""

    results = InsightPeople(many=True)
    next = serializers.URLField(allow_null=True)
    initial = serializers.URLField()
    missing_persons = serializers.IntegerField(help_text="Actors of this page that are no more.")


class CachedInsightPage(InsightPage):
    """A page of actors, and when its rows were computed."""

    is_cached = serializers.BooleanField()
    last_refresh = serializers.DateTimeField()
