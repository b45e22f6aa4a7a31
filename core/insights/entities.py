"""The series, steps and exclusions of a request (insight_actors.md 2.2, 4.3 and 7.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.actions.queries import action_matches
from core.api.errors import Invalid
from core.insights.filters import read_filter
from core.insights.parameters import Parameters, listed, structured_value, whole_number
from core.insights.project import InsightProject
from events.filters.grammar import Filter
from events.insights.entities import Entity, EventMatch

MAX_ENTITIES: Final = 100
MAX_GROUP_TYPE_INDEX: Final = 4
MAX_NAME: Final = 400
EVENTS: Final = "events"
ACTIONS: Final = "actions"
NO_ENTITY: Final = "An entity must be provided for target entity to be determined"
NO_ID_AND_TYPE: Final = "An entity id and the entity type must be provided to determine an entity"
TOTAL: Final = "total"
_UNORDERED: Final = -1

type Kind = Literal["events", "actions"]


@dataclass(frozen=True, slots=True)
class _Given:
    """An entity as it was sent, before actions are looked up."""

    type: Kind
    id: str | int | None
    order: float = _UNORDERED
    filter: Filter | None = None
    math: str = TOTAL
    math_property: str | None = None
    math_group_type_index: int | None = None


def read_entities(params: Parameters, project: InsightProject) -> list[Entity]:
    """Return `actions` and `events` in the order of the steps.

    Actions come first, then events, and `order` sorts them stably; without one, or with 0, an entity goes first.
    Raises Invalid, with attr `events` or `actions`.
    """
    return _resolved(_listed(params, project), project)


def read_entity(value: Any, *, attr: str, project: InsightProject) -> Entity:  # noqa: ANN401 any JSON value
    """Return the entity in a JSON value, or JSON text of one; `type` is `events` unless it says otherwise."""
    given = _given(structured_value(value, attr=attr), attr=attr, project=project, kind=None)
    return _resolved([given], project)[0]


def read_entity_list(value: Any, *, attr: str, project: InsightProject) -> list[tuple[Entity, Mapping[str, Any]]]:  # noqa: ANN401 any JSON value
    """Return the entities in a JSON list, each with the object it was read from, in the list's own order."""
    items = listed(structured_value(value, attr=attr), attr=attr, most=MAX_ENTITIES)
    given = [_given(item, attr=attr, project=project, kind=None, place=number) for number, item in enumerate(items)]
    return list(zip(_resolved(given, project), items, strict=True))


def target_entity(params: Parameters, project: InsightProject) -> Entity:
    """Return the series that `entity_order`, or `entity_id`, `entity_type` and `entity_math`, point at.

    Raises Invalid when they point at none.
    """
    series = _listed(params, project)
    order = params.optional_integer("entity_order")
    if order is not None:
        if not 0 <= order < len(series):
            message = f"There is no entity at position {order}."
            raise Invalid(message, attr="entity_order")
        return _resolved([series[order]], project)[0]
    number = params.text("entity_id") or params.text("entityId")
    kind = _target_type(params)
    if number is None and kind != EVENTS:
        raise Invalid(NO_ID_AND_TYPE)
    math = params.text("entity_math") or TOTAL
    wanted: Kind = kind or EVENTS
    for one in series:
        if one.type == wanted and one.math == math and (None if one.id is None else str(one.id)) == number:
            return _resolved([one], project)[0]
    if kind is None:
        raise Invalid(NO_ENTITY)
    given = _Given(wanted, _identity(number, wanted, "entity_id"), math=math)
    return _resolved([given], project)[0]


def group_type_index(value: object, *, attr: str) -> int | None:
    """Return the index of a group type, 0 to 4; None for null."""
    if value is None or value == "":
        return None
    index = whole_number(value, attr=attr)
    if not 0 <= index <= MAX_GROUP_TYPE_INDEX:
        message = f"Ensure this value is between 0 and {MAX_GROUP_TYPE_INDEX}."
        raise Invalid(message, attr=attr)
    return index


def _target_type(params: Parameters) -> Kind | None:
    kind = params.text("entity_type") or params.text("type")
    return None if kind is None else _type(kind, "entity_type")


def _listed(params: Parameters, project: InsightProject) -> list[_Given]:
    found = [
        _given(item, attr=kind, project=project, kind=kind, place=number)
        for kind in (ACTIONS, EVENTS)
        for number, item in enumerate(listed(params.structured(kind), attr=kind, most=MAX_ENTITIES))
    ]
    if len(found) > MAX_ENTITIES:
        message = f"At most {MAX_ENTITIES} events and actions are possible."
        raise Invalid(message, code="max_length", attr=EVENTS)
    return sorted(found, key=lambda one: one.order)


def _given(
    value: Any,  # noqa: ANN401 any JSON value
    *,
    attr: str,
    project: InsightProject,
    kind: str | None,
    place: int | None = None,
) -> _Given:
    """Read an entity; `place` is where it stands in the list that `attr` names."""
    inside = ("properties",) if place is None else (str(place), "properties")
    if not isinstance(value, Mapping):
        message = f"An entity must be an object, not {type(value).__name__}."
        raise Invalid(message, code="not_a_dict", attr=attr)
    found = _type(kind or value.get("type") or EVENTS, attr)
    if "id" not in value:
        raise Invalid("An entity must have an `id`; null stands for any event.", code="required", attr=attr)
    return _Given(
        type=found,
        id=_identity(value["id"], found, attr),
        order=_order(value.get("order"), attr),
        filter=read_filter(value.get("properties"), attr=attr, project=project, inside=inside),
        math=_word(value.get("math"), attr) or TOTAL,
        math_property=_word(value.get("math_property"), attr),
        math_group_type_index=group_type_index(value.get("math_group_type_index"), attr=attr),
    )


def _type(kind: object, attr: str) -> Kind:
    if kind == EVENTS:
        return "events"
    if kind == ACTIONS:
        return "actions"
    message = f'"{str(kind)[:100]}" is not a valid choice.'
    raise Invalid(message, code="invalid_choice", attr=attr)


def _identity(value: object, kind: Kind, attr: str) -> str | int | None:
    if kind == ACTIONS:
        return whole_number(value, attr=attr)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid("The `id` of an event must be its name, or null for any event.", attr=attr)
    return value


def _order(value: object, attr: str) -> float:
    if not value:
        return _UNORDERED
    return whole_number(value, attr=attr)


def _word(value: object, attr: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_NAME:
        message = f"Names of maths and properties must be text of at most {MAX_NAME} characters."
        raise Invalid(message, attr=attr)
    return value


def _resolved(given: Sequence[_Given], project: InsightProject) -> list[Entity]:
    """Return the entities, with the steps of all their actions read by one statement."""
    wanted = [one.id for one in given if one.type == ACTIONS and isinstance(one.id, int)]
    steps = action_matches(team_id=project.team_id, ids=wanted) if wanted else {}
    for number in wanted:
        if number not in steps:
            message = f"There is no action {number} in this project."
            raise Invalid(message, attr=ACTIONS)
    return [_entity(one, steps) for one in given]


def _entity(given: _Given, steps: Mapping[int, tuple[EventMatch, ...]]) -> Entity:
    matches = steps[given.id] if isinstance(given.id, int) else (EventMatch(given.id),)
    return Entity(
        type=given.type,
        id=given.id,
        matches=matches,
        filter=given.filter,
        math=given.math,
        math_property=given.math_property,
        math_group_type_index=given.math_group_type_index,
    )
