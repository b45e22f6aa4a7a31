"""What happens to every event before ingestion: times, `$ip`, and which person properties it carries.

Called once per event with a budget of about 20 microseconds: it changes the event's own properties in
place, copies nothing deep, and leaves identity rules to ingestion.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from core.capture.shapes import Submitted
from core.capture.timestamps import Clock, Problem, event_time
from core.persons.ingest import IngestionWarning, IngestTeam, NewEvent

_EVENTS_DROPPED = frozenset({"$$heatmap", "$snapshot", "$performance_event"})
_EVENTS_FOR_PERSONS = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$groupidentify"})
_ALIAS_EVENTS = frozenset({"$create_alias", "$merge_dangerously"})
_CLIENT_WARNING = "$$client_ingestion_warning"
_LIFTED_NAMES = (
    "$app_build $app_name $app_namespace $app_version $browser $browser_version $device_type $current_url $pathname "
    "$os $os_version $referring_domain $referrer $screen_height $screen_width $viewport_height "
    "$viewport_width $raw_user_agent "
    "utm_source utm_medium utm_campaign utm_content utm_name utm_term gclid gad_source gclsrc dclid gbraid wbraid "
    "fbclid msclkid twclid li_fat_id mc_cid igshid ttclid rdt_cid irclid _kx epik qclid sccid"
)
_LIFTED = {name: f"$initial_{name.removeprefix('$')}" for name in _LIFTED_NAMES.split()}
_LIFTED_KEYS = _LIFTED.keys()
_SERVER_OS = ("$os", "$os_version")
# Longer than what may be merged, so that cutting never makes an illegal id legal.
_MAX_MERGE_TEXT = 1000
_MAX_QUOTE = 300


@dataclass(slots=True)
class Intake:
    """What the events of one request have in common, and the warnings they gather."""

    team: IngestTeam
    clock: Clock
    ip: str | None = None
    historical_migration: bool = False
    warnings: list[IngestionWarning] = field(default_factory=list)


def normalise_events(events: Iterable[Submitted], intake: Intake) -> list[NewEvent]:
    """Return the events that ingestion is to store, in order."""
    return [new for event in events if (new := normalise_event(event, intake)) is not None]


def normalise_event(event: Submitted, intake: Intake) -> NewEvent | None:
    """Return the event in its stored form, or None when it is dropped (with a warning where one is due)."""
    properties = event.properties
    name = event.event
    if name in _EVENTS_DROPPED or properties.get("$cookieless_mode") is True:
        return None
    if name == _CLIENT_WARNING:
        message = properties.get("$$client_ingestion_warning_message")
        _warn(intake, event, "client_ingestion_warning", {"message": message})
        return None
    processing = _person_processing(event, intake)
    if processing is None:
        return None
    timestamp, problem = event_time(
        clock=intake.clock,
        timestamp=event.timestamp,
        offset=event.offset,
        ignore_sent_at=properties.get("$ignore_sent_at") is True,
    )
    if problem is not None:
        warn_of(problem, event, intake)
    _add_request_properties(properties, intake)
    if not processing:
        for key in ("$set", "$set_once", "$unset"):
            properties.pop(key, None)
        return NewEvent(
            uuid=event.uuid,
            event=name,
            distinct_id=event.distinct_id,
            timestamp=timestamp,
            properties=properties,
            person_processing=False,
            historical_migration=intake.historical_migration,
        )
    to_set = _merged(properties.get("$set"), event.set)
    to_set_once = _merged(properties.get("$set_once"), event.set_once)
    _lift(properties, to_set, to_set_once)
    unset = _unset(properties, event.unset)
    _put(properties, "$set", to_set)
    _put(properties, "$set_once", to_set_once)
    return NewEvent(
        uuid=event.uuid,
        event=name,
        distinct_id=event.distinct_id,
        timestamp=timestamp,
        properties=properties,
        person_processing=True,
        set=to_set,
        set_once=to_set_once,
        unset=unset,
        merge_with=_merge_with(name, properties),
        historical_migration=intake.historical_migration,
    )


def warn_of(problem: Problem, event: Submitted, intake: Intake) -> None:
    """Record a problem with an event's time."""
    _warn(intake, event, problem.type, problem.details)


def _warn(intake: Intake, event: Submitted, kind: str, details: Mapping[str, Any]) -> None:
    named = {"eventUuid": str(event.uuid), "event": event.event, "distinctId": event.distinct_id}
    named.update((key, _brief(value)) for key, value in details.items())
    intake.warnings.append(IngestionWarning(type=kind, details=named))


def _brief(value: Any) -> Any:  # noqa: ANN401 any JSON value
    """Cut what a client wrote: a warning quotes it, and must not be as large as the event."""
    if isinstance(value, dict | list):
        value = orjson.dumps(value).decode()
    return value[:_MAX_QUOTE] if isinstance(value, str) else value


def _person_processing(event: Submitted, intake: Intake) -> bool | None:
    """Decide whether the event may touch persons; None drops it."""
    properties = event.properties
    forced_off = intake.team.person_processing_opt_out
    processing = not forced_off
    if "$process_person_profile" in properties:
        wanted = properties["$process_person_profile"]
        if wanted is False:
            processing = False
        elif wanted is not True:
            _warn(intake, event, "invalid_process_person_profile", {"$process_person_profile": wanted})
        if processing:
            del properties["$process_person_profile"]
    if not processing and event.event in _EVENTS_FOR_PERSONS:
        kind = (
            "event_dropped_person_processing_disabled"
            if forced_off
            else "invalid_event_when_process_person_profile_is_false"
        )
        _warn(intake, event, kind, {})
        return None
    return processing


def _add_request_properties(properties: dict[str, Any], intake: Intake) -> None:
    if intake.clock.sent_at_text is not None:
        properties["$sent_at"] = intake.clock.sent_at_text
    if intake.team.anonymize_ips:
        properties.pop("$ip", None)
    elif intake.ip is not None and "$ip" not in properties:
        properties["$ip"] = intake.ip


def _merged(inner: Any, outer: Any) -> dict[str, Any]:  # noqa: ANN401 any JSON value
    """Overlay `properties.$set` by the event's own `$set`; whatever is no object counts as empty."""
    base: dict[str, Any] = inner if isinstance(inner, dict) else {}
    if isinstance(outer, dict) and outer:
        return {**base, **outer} if base else outer
    return base


def _put(properties: dict[str, Any], key: str, value: dict[str, Any]) -> None:
    if value:
        properties[key] = value
    elif key in properties and properties[key] != {}:
        properties[key] = {}


def _lift(properties: dict[str, Any], to_set: dict[str, Any], to_set_once: dict[str, Any]) -> None:
    """Turn what is known of browser, system and campaign into person properties, first and latest values."""
    server = properties.get("$is_server") is True
    for key in _LIFTED_KEYS & properties.keys():
        if server and key in _SERVER_OS:
            continue
        value = properties[key]
        if key not in to_set:
            to_set[key] = value
        if value is not None:
            initial = _LIFTED[key]
            if initial not in to_set_once:
                to_set_once[initial] = value
    # `$os_name` is an older name of `$os`: only the first value of a person is ever taken from it.
    alias = properties.get("$os_name")
    if alias is not None and not server and "$initial_os" not in to_set_once:
        to_set_once["$initial_os"] = alias


def _unset(properties: dict[str, Any], outer: Any) -> list[str]:  # noqa: ANN401 any JSON value
    """Return the keys to remove. PostHog reads `properties.$unset` alone; beside `$set` it is honoured here too."""
    keys = _keys(properties.get("$unset"))
    if outer:
        keys = list(dict.fromkeys([*keys, *_keys(outer)]))
        if keys:
            properties["$unset"] = keys
    return keys


def _keys(value: Any) -> list[str]:  # noqa: ANN401 any JSON value
    if isinstance(value, list):
        return [key for key in value if isinstance(key, str)]
    return list(value) if isinstance(value, dict) else []


def _merge_with(name: str, properties: dict[str, Any]) -> str | None:
    if name == "$identify":
        if "$anon_distinct_id" in properties:
            return _text(properties["$anon_distinct_id"])
    elif name in _ALIAS_EVENTS:
        alias = properties.get("alias")
        # JavaScript's truth: an empty object or array is true.
        if alias or isinstance(alias, dict | list):
            return _text(alias)
    return None


def _text(value: Any) -> str:  # noqa: ANN401 any JSON value
    """Write a value the way JavaScript's String() does, which decides what counts as an illegal id."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict):
        text = "[object Object]"
    elif isinstance(value, list):
        text = ",".join("" if item is None else _text(item) for item in value)
    else:
        text = orjson.dumps(value).decode()
    return text[:_MAX_MERGE_TEXT]
