"""The parameters of a funnel's correlation: which event or property goes with conversion (insight_actors.md 12)."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from core.api.errors import Invalid
from core.insights.entities import read_entity
from core.insights.filters import all_of, read_filter
from core.insights.funnel import read_funnel
from core.insights.parameters import Parameters
from core.insights.project import InsightProject
from events.insights.correlation import Correlation
from events.insights.funnel import FunnelQuery

PAGING_PREFIX: Final = "funnel_correlation_person_"
TYPES: Final = ("events", "event_with_properties", "properties")
ENTITY: Final = "funnel_correlation_person_entity"
_PROPERTIES: Final = "properties"
_VALUES: Final = "funnel_correlation_property_values"
_CONVERTED: Final = "funnel_correlation_person_converted"
_NO_ENTITY: Final = "No entity for persons specified"
_NO_VALUES: Final = "Property Correlation expects atleast one Property to get persons for"


def read_correlation(params: Parameters, project: InsightProject, *, now: datetime) -> Correlation:
    """Read a funnel, and which of its actors are wanted: those who did an event on the way, or who have properties.

    Everybody who entered is asked about unless `funnel_step` says otherwise. Raises Invalid.
    """
    asked = read_funnel(params, project, now=now, default_step=1)
    if params.text("funnel_correlation_type") == _PROPERTIES:
        funnel, entity = _with_values(asked.query, params, project, now), None
    else:
        given = params.structured(ENTITY)
        if given is None:
            raise Invalid(_NO_ENTITY)
        funnel, entity = asked.query, read_entity(given, attr=ENTITY, project=project)
    return Correlation(funnel=funnel, which=asked.which, entity=entity, converted=_converted(params))


def _with_values(funnel: FunnelQuery, params: Parameters, project: InsightProject, now: datetime) -> FunnelQuery:
    values = read_filter(params.values.get(_VALUES), attr=_VALUES, project=project, now=now)
    if values is None:
        raise Invalid(_NO_VALUES)
    return replace(funnel, scope=replace(funnel.scope, filter=all_of(funnel.scope.filter, values)))


def _converted(params: Parameters) -> bool | None:
    given = params.values.get(_CONVERTED)
    return None if given is None or given == "" else params.flag(_CONVERTED)
