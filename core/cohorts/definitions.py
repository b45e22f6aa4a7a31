"""What makes a person a member of a dynamic cohort: the bodies of today and of old clients, as one filter."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.api.errors import Invalid
from core.api.json import dumps
from core.filters.hogql import hogql_reader
from core.filters.reading import path_rules_for, read_filter_parameter
from core.tenancy.statements import execute
from events.filters.grammar import Filter, cohort_ids, read_filters

MAX_BYTES: Final = 100_000
NO_PROPERTIES: Final = "Must contain a 'properties' key with type and values"
NO_EVENTS: Final = (
    "Cohorts are made of person properties and other cohorts here; filters on events (type behavioral, or a group"
    " with action_id or event_id) are not supported."
)
LOOP: Final = "Cohorts cannot reference other cohorts in a loop."
_EVENT_KEYS: Final = ("action_id", "event_id")

_REACHES: Final = """
WITH RECURSIVE reached(id) AS (
    SELECT unnest(%s::bigint[])
    UNION
    SELECT unnest(c.depends_on) FROM core_cohort c JOIN reached ON c.id = reached.id WHERE c.team_id = %s
)
SELECT 1 FROM reached WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """The filters as they are stored and answered, the legacy groups they came from, and the cohorts they name."""

    filters: Mapping[str, Any] = field(default_factory=dict)
    groups: list[Any] = field(default_factory=list)
    depends_on: list[int] = field(default_factory=list)


def definition_read(*, team_id: int, filters: object, groups: object) -> Definition:
    """Read `filters`, or `groups` where there are none; raises Invalid with the attr that is wrong.

    Must run under `definitions_lock`, as the cohorts that the filters name are checked here, and in
    `stores_filters`.
    """
    if filters:
        if not isinstance(filters, dict) or not _is_group(filters.get("properties")):
            raise Invalid(NO_PROPERTIES, attr="filters")
        return _checked(team_id, "filters", {"properties": filters["properties"]}, [])
    if groups:
        return _checked(team_id, "groups", {"properties": _properties_of(groups)}, groups)
    return Definition()


def definitions_lock(team_id: int) -> None:
    """Let nobody else change what the team's cohorts name until the transaction ends, so that no loop can close."""
    execute("SELECT pg_advisory_xact_lock(hashtextextended('cohort_definitions', %s))", [team_id])


def loop_refuse(*, team_id: int, cohort_id: int, depends_on: list[int]) -> None:
    """Raise Invalid when the cohorts named reach the cohort itself."""
    if depends_on and execute(_REACHES, [depends_on, team_id, cohort_id]):
        raise Invalid(LOOP, attr="filters")


def definition_filter(stored: Mapping[str, Any], *, team_id: int) -> Filter | None:
    """Return the filter of a stored definition; None, a cohort without conditions, has nobody in it."""
    if not stored:
        return None
    properties = stored["properties"]
    return read_filters(
        properties,
        path_rules=path_rules_for(properties, team_id=team_id),
        hogql=hogql_reader(properties, team_id=team_id, table="persons"),
    )


def _checked(team_id: int, attr: str, stored: dict[str, Any], groups: Any) -> Definition:  # noqa: ANN401 any JSON value
    if len(dumps(stored)) > MAX_BYTES:
        message = f"The filters may not exceed {MAX_BYTES} bytes."
        raise Invalid(message, code="max_length", attr=attr)
    if any(leaf.get("type") == "behavioral" for leaf in _objects(stored["properties"])):
        raise Invalid(NO_EVENTS, attr=attr)
    inside = ("properties",) if attr == "filters" else None
    wanted = read_filter_parameter(stored["properties"], attr=attr, team_id=team_id, storing=True, inside=inside)
    named = sorted(cohort_ids(wanted)) if wanted is not None else []
    return Definition(filters=stored, groups=groups, depends_on=named)


def _is_group(properties: object) -> bool:
    if not isinstance(properties, dict) or "type" not in properties:
        return False
    values = properties.get("values")
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _properties_of(groups: object) -> dict[str, Any]:
    """Return legacy groups, each a list of filters (or a map) that must all hold, as an OR of ANDs."""
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise Invalid("Expected a list of groups.", attr="groups")
    if any(group.get(key) for group in groups for key in _EVENT_KEYS):
        raise Invalid(NO_EVENTS, attr="groups")
    return {"type": "OR", "values": [{"type": "AND", "values": _leaves(group.get("properties"))} for group in groups]}


def _leaves(properties: object) -> list[Any]:
    if isinstance(properties, dict) and "values" not in properties and "key" not in properties:
        # The oldest form: {key: value}, with the operator behind two underscores.
        return [
            {"type": "person", "key": key, "value": value, "operator": operator or "exact"}
            for name, value in properties.items()
            for key, _, operator in [name.partition("__")]
        ]
    if isinstance(properties, dict):
        return [properties]
    if not isinstance(properties, list) or not properties:
        raise Invalid("Each group needs properties.", attr="groups")
    return properties


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        yield from _objects(value.get("values"))
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
