"""What a plugin declares of its jobs (`public_jobs`), and whether a request fits that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from core.api.errors import Invalid
from core.api.params import json_value, required, text_value

START: Final = "start"
STOP: Final = "stop"
MAX_TYPE: Final = 200
MAX_PAYLOAD_BYTES: Final = 1024 * 1024
TYPE_MISSING: Final = "The job type must be specified!"

_KINDS: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "Not a valid string."),
    "date": ((str,), "Not a valid string."),
    "number": ((int, float), "A valid number is required."),
    "boolean": ((bool,), "Must be a valid boolean."),
}
"""The types of fields that say what a value must be; the others (`json`, `daterange`) take any."""


@dataclass(frozen=True, slots=True)
class WantedJob:
    """What is to be started or stopped; the payload may hold secrets."""

    type: str
    operation: str
    payload: Mapping[str, Any]


def job_read(job: object, public_jobs: object) -> WantedJob:
    """Read `{"type", "payload", "operation"}`, or JSON text of it, as a plugin with these `public_jobs` takes it.

    A plugin that declares nothing takes any job. Raises Invalid.
    """
    job = json_value(job, "job")
    if job is None:
        raise Invalid(TYPE_MISSING)
    if not isinstance(job, Mapping):
        message = f"Expected an object but got {type(job).__name__}."
        raise Invalid(message, attr="job")
    kind = text_value(job.get("type"), "job__type", MAX_TYPE)
    if not kind:
        raise Invalid(TYPE_MISSING)
    operation = text_value(job.get("operation"), "job__operation", MAX_TYPE) or START
    if operation not in {START, STOP}:
        message = f'"{operation}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr="job__operation")
    payload = job.get("payload")
    payload = {} if payload is None else payload
    if not isinstance(payload, Mapping):
        message = f"Expected an object but got {type(payload).__name__}."
        raise Invalid(message, attr="job__payload")
    if len(orjson.dumps(payload)) > MAX_PAYLOAD_BYTES:
        message = f"Ensure this field has no more than {MAX_PAYLOAD_BYTES} bytes of JSON."
        raise Invalid(message, code="max_length", attr="job__payload")
    _check_declared(kind, operation, payload, public_jobs)
    return WantedJob(kind, operation, payload)


def _check_declared(kind: str, operation: str, payload: Mapping[str, Any], public_jobs: object) -> None:
    if not isinstance(public_jobs, Mapping) or not public_jobs:
        return
    if kind not in public_jobs:
        message = f'The plugin has no job "{kind}".'
        raise Invalid(message, attr="job__type")
    if operation == STOP:
        return
    fields = _mapping(_mapping(public_jobs[kind]).get("payload"))
    for name in payload:
        if name not in fields:
            message = f'The job "{kind}" takes no such field.'
            raise Invalid(message, attr=f"job__payload__{name[:MAX_TYPE]}")
    for name, options in fields.items():
        _check_field(f"job__payload__{name}", payload.get(name), _mapping(options))


def _check_field(attr: str, value: object, options: Mapping[str, Any]) -> None:
    if value is None or value == "":
        if options.get("required"):
            raise required(attr)
        return
    kind = options.get("type")
    types, message = _KINDS.get(kind if isinstance(kind, str) else "", ((object,), ""))
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types and object not in types):
        raise Invalid(message, attr=attr)
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_bounds(attr, value, options.get("min"), options.get("max"))


def _check_bounds(attr: str, value: float, least: object, most: object) -> None:
    if isinstance(least, int | float) and value < least:
        message = f"Ensure this value is greater than or equal to {least}."
        raise Invalid(message, code="min_value", attr=attr)
    if isinstance(most, int | float) and value > most:
        message = f"Ensure this value is less than or equal to {most}."
        raise Invalid(message, code="max_value", attr=attr)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a declaration of a stranger's plugin, or nothing where it is no object."""
    return value if isinstance(value, Mapping) else {}
