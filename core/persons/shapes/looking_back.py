"""Shapes of what looks back at persons, and how their requests are read."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of, flag, required
from core.api.values import json_repaired
from core.persons.date_range import INTERVALS, Given
from core.persons.point_in_time import MomentError, Question, read_moment
from core.persons.serializers import AnyJSONField, PersonPropertiesAtTime
from core.persons.timeline import TimelineQuery, crucial_keys

MAX_QUESTIONS: Final = 1000
MAX_TIMELINE_EVENTS: Final = 100
MAX_TIMELINE_ACTIONS: Final = 10
MAX_TIMELINE_KEYS: Final = 100
_BAD_TIMESTAMP: Final = "Invalid timestamp format. Use ISO format like 2023-06-15T14:30:00Z"


class PersonAtTimeQuestion(serializers.Serializer[Any]):
    """One person, by exactly one of its ids, at one moment."""

    distinct_id = serializers.CharField(required=False, allow_null=True)
    person_id = serializers.CharField(required=False, allow_null=True, help_text="UUID or integer id.")
    timestamp = serializers.DateTimeField(help_text="ISO 8601; without an offset it is UTC.")
    include_set_once = serializers.BooleanField(required=False, help_text="Default: that of the request.")


class PersonsAtTimesRequest(serializers.Serializer[Any]):
    """Up to 1000 questions."""

    persons = serializers.ListField(child=PersonAtTimeQuestion(), max_length=MAX_QUESTIONS)
    include_set_once = serializers.BooleanField(required=False, default=False)


class PersonAtTimeResult(PersonPropertiesAtTime):
    """A person at its moment; where nobody was found, `error` says so and the person's fields are null."""

    error = serializers.CharField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Let the fields of the person be null, and leave out `debug`."""
        fields = super().get_fields()
        del fields["debug"]
        for name, one in fields.items():
            one.allow_null = name != "point_in_time_metadata"
        return fields


class PersonsAtTimesResponse(serializers.Serializer[Any]):
    """One result per question, in the order of the questions."""

    results = PersonAtTimeResult(many=True)


class PropertyChangeEvent(serializers.Serializer[Any]):
    """The event, or the change through the API, that changed the property."""

    uuid = serializers.UUIDField()
    event = serializers.CharField()
    distinct_id = serializers.CharField()
    timestamp = serializers.DateTimeField()


class PropertyChange(serializers.Serializer[Any]):
    """One change; `value` and `previous_value` are null where the property was not set, too."""

    timestamp = serializers.DateTimeField()
    operation = serializers.ChoiceField(choices=["$set", "$set_once", "$unset"])
    is_set = serializers.BooleanField(help_text="Whether the property was set after this change.")
    value = AnyJSONField(allow_null=True)
    was_set = serializers.BooleanField(help_text="Whether the property was set before this change.")
    previous_value = AnyJSONField(allow_null=True)
    event = PropertyChangeEvent()


class PropertyHistory(serializers.Serializer[Any]):
    """A page of changes of one property."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PropertyChange(many=True)


class TimelinePoint(serializers.Serializer[Any]):
    """A state: since when, all properties at that event, and how many events there were up to the next point."""

    timestamp = serializers.DateTimeField()
    properties = serializers.DictField()
    relevant_event_count = serializers.IntegerField()


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class KeyListField(serializers.ListField):
    """Property keys."""


class PersonPropertiesTimeline(serializers.Serializer[Any]):
    """How a person's properties changed over its events."""

    points = TimelinePoint(many=True)
    crucial_property_keys = KeyListField()
    effective_date_from = serializers.DateTimeField()
    effective_date_to = serializers.DateTimeField()


def read_questions(request: Request) -> list[Question]:
    """Read the body of POST properties_at_time; errors name the entry, as in `persons.3.timestamp`."""
    body = body_of(request)
    default = _boolean(body.get("include_set_once"), "include_set_once", default=False)
    given = body.get("persons")
    if given is None:
        raise required("persons")
    if not isinstance(given, list):
        message = f'Expected a list of items but got type "{type(given).__name__}".'
        raise Invalid(message, code="not_a_list", attr="persons")
    if len(given) > MAX_QUESTIONS:
        message = f"Ensure this field has no more than {MAX_QUESTIONS} elements."
        raise Invalid(message, code="max_length", attr="persons")
    return [_read_question(one, f"persons.{number}", default=default) for number, one in enumerate(given)]


def _read_question(given: object, attr: str, *, default: bool) -> Question:
    if not isinstance(given, Mapping):
        message = f"Invalid data. Expected a dictionary, but got {type(given).__name__}."
        raise Invalid(message, attr=attr)
    distinct_id = _text(given.get("distinct_id"), f"{attr}.distinct_id")
    person_id = given.get("person_id")
    if isinstance(person_id, int) and not isinstance(person_id, bool):
        person_id = str(person_id)
    person_id = _text(person_id, f"{attr}.person_id")
    if distinct_id and person_id:
        raise Invalid("Cannot provide both distinct_id and person_id - choose one", attr=attr)
    if not distinct_id and not person_id:
        raise Invalid("Must provide either distinct_id or person_id parameter", attr=attr)
    text = given.get("timestamp")
    if text is None:
        missing = f"{attr}.timestamp"
        raise required(missing)
    try:
        at = read_moment(_text(text, f"{attr}.timestamp") or "")
    except MomentError:
        raise Invalid(_BAD_TIMESTAMP, attr=f"{attr}.timestamp") from None
    once = _boolean(given.get("include_set_once"), f"{attr}.include_set_once", default=default)
    return Question(distinct_id=distinct_id, person_id=person_id, at=at, include_set_once=once, debug=False)


def _text(value: object, attr: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid("Not a valid string.", attr=attr)
    return str(json_repaired(value)) or None


def _boolean(value: object, attr: str, *, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Invalid("Must be a valid boolean.", attr=attr)
    return value


def read_timeline_query(request: Request) -> TimelineQuery:
    """Read the parameters of properties_timeline, except that dates are read with the project's time zone."""
    entities, properties = _json_list(request, "events"), _json_list(request, "properties")
    actions = _json_list(request, "actions")
    for name, listed, most in (("events", entities, MAX_TIMELINE_EVENTS), ("actions", actions, MAX_TIMELINE_ACTIONS)):
        if len(listed) > most:
            message = f"Ensure this field has no more than {most} elements."
            raise Invalid(message, code="max_length", attr=name)
    names = [_event_name(one) for one in entities]
    numbers = [_action_id(one) for one in actions]
    filters = [properties, *(one.get("properties") for one in [*entities, *actions] if isinstance(one, Mapping))]
    breakdown = _breakdown(request) if request.query_params.get("breakdown_type") == "person" else ()
    keys = crucial_keys(filters, breakdown)
    if len(keys) > MAX_TIMELINE_KEYS:
        message = f"At most {MAX_TIMELINE_KEYS} keys can be looked at."
        raise Invalid(message, attr="properties")
    interval = request.query_params.get("interval") or "day"
    if interval not in INTERVALS:
        message = f'"{interval[:100]}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr="interval")
    dates = Given(
        date_from=request.query_params.get("date_from") or None,
        date_to=request.query_params.get("date_to") or None,
        interval=interval,
        explicit=flag(request, "explicit_date"),
    )
    return TimelineQuery(
        events=tuple(dict.fromkeys(names)), actions=tuple(dict.fromkeys(numbers)), crucial_keys=keys, dates=dates
    )


def _json_list(request: Request, name: str) -> list[Any]:
    text = request.query_params.get(name)
    if not text:
        return []
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Invalid("Value must be valid JSON.", attr=name) from None
    if isinstance(value, Mapping) and name == "properties":
        value = [value]
    if not isinstance(value, list):
        message = f'Expected a list of items but got type "{type(value).__name__}".'
        raise Invalid(message, code="not_a_list", attr=name)
    return value


def _event_name(entity: object) -> str | None:
    name = entity.get("id", entity) if isinstance(entity, Mapping) else entity
    if name is not None and not isinstance(name, str):
        raise Invalid('Each event must be an object like {"id": "event name"}.', attr="events")
    return name


def _action_id(entity: object) -> int:
    number = entity.get("id") if isinstance(entity, Mapping) else entity
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number[:20])
    if not isinstance(number, int) or isinstance(number, bool):
        raise Invalid('Each action must be an object like {"id": 5}.', attr="actions")
    return number


def _breakdown(request: Request) -> tuple[str, ...]:
    """Read one key, or a JSON list of keys."""
    text = request.query_params.get("breakdown") or ""
    if not text.startswith("["):
        return (text,) if text else ()
    keys = _json_list(request, "breakdown")
    if not all(isinstance(key, str) for key in keys):
        raise Invalid("Not a valid string.", attr="breakdown")
    return tuple(keys)
