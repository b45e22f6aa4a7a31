"""The published shapes of queries, by kind. What a kind takes is checked by its runner; this tells of it."""

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from core.persons.serializers import AnyJSONField
from core.query.runners.registry import SUPPORTED_KINDS

type Described = Mapping[str, tuple[type[Any], str]]

_DATES: Final[Described] = {"dateRange": (dict, '`{"date_from", "date_to", "explicitDate"}`: ISO 8601 or relative.')}
_PROPERTIES: Final[Described] = {
    "properties": (list, "Property filters: a list, or a group of them."),
    "filterTestAccounts": (bool, "Also apply the project's `test_account_filters`."),
}
_PAGE: Final[Described] = {
    "limit": (int, "Rows at most: 100 unless told, 50000 at most."),
    "offset": (int, "Rows to skip."),
}
_SOURCE: Final[Described] = {"source": (dict, "The query whose answer is wanted.")}
_INSIGHT: Final[Described] = {
    **_DATES,
    **_PROPERTIES,
    "interval": (str, "`hour`, `day`, `week` or `month`."),
    "samplingFactor": (float, "The share of distinct ids whose events are considered."),
    "aggregation_group_type_index": (int, "Count groups of this type, not persons."),
}
_SERIES: Final[Described] = {
    "series": (list, "EventsNode and ActionsNode objects."),
    "breakdownFilter": (dict, "By which property or cohorts to break down."),
    "compareFilter": (dict, '`{"compare", "compare_to"}`.'),
}
_SELECT: Final[Described] = {
    "select": (list, "HogQL expressions; text after `--` is a label."),
    "orderBy": (list, "HogQL expressions, each perhaps with `ASC` or `DESC`."),
    "fixedProperties": (list, "More property filters."),
}
_HOGQL: Final[Described] = {
    "values": (dict, "Constants for `{name}` in the query."),
    "variables": (dict, '`{id: {"variableId", "code_name", "value", "isNull"}}` for `{variables.code_name}`.'),
    "filters": (dict, '`{"properties", "dateRange", "filterTestAccounts"}` for `{filters}`.'),
}
_EDITOR: Final[Described] = {
    "language": (str, "`hogQL`, `hogQLExpr`, `hogTemplate` ..."),
    "query": (str, "The text that is being written."),
    "sourceQuery": (dict, "The query of which an expression is a part."),
}

_MEMBERS: Final[Mapping[str, Described]] = {
    "HogQLQuery": {
        "query": (str, "HogQL, PostHog's SQL."),
        **_HOGQL,
        "name": (str, "What the log of queries calls it."),
        "explain": (bool, "Also answer ClickHouse's plan, for admins of the organization."),
    },
    "EventsQuery": {
        **_SELECT,
        **_PROPERTIES,
        **_PAGE,
        "where": (list, "HogQL expressions, all of which hold."),
        "event": (str, "A name of events."),
        "events": (list, "Names of events."),
        "actionId": (int, "Only events of this action."),
        "personId": (str, "Only events of this person: the id or the UUID."),
        "after": (str, "Only later events: ISO 8601 or relative, `-24h` unless told, `all`."),
        "before": (str, "Only earlier events."),
    },
    "ActorsQuery": {
        **_SELECT,
        **_PAGE,
        **_SOURCE,
        "properties": (list, "Property filters."),
        "search": (str, "A part of the name, email or a distinct id."),
    },
    "PersonsNode": {
        **_PAGE,
        "search": (str, "A part of the name, email or a distinct id."),
        "distinctId": (str, "A distinct id."),
        "cohort": (int, "Only members of this cohort."),
        "properties": (list, "Property filters."),
        "fixedProperties": (list, "More property filters."),
    },
    "DataTableNode": _SOURCE,
    "DataVisualizationNode": _SOURCE,
    "InsightVizNode": _SOURCE,
    "DatabaseSchemaQuery": {},
    "HogQLMetadata": {**_EDITOR, **_HOGQL},
    "HogQLAutocomplete": {
        **_EDITOR,
        "startPosition": (int, "Where the word begins that is being written, in characters."),
        "endPosition": (int, "Where it ends."),
    },
    "TrendsQuery": {**_INSIGHT, **_SERIES, "trendsFilter": (dict, "Options of trends.")},
    "FunnelsQuery": {**_INSIGHT, **_SERIES, "funnelsFilter": (dict, "Options of funnels.")},
    "RetentionQuery": {**_INSIGHT, "retentionFilter": (dict, "Options of retention.")},
    "LifecycleQuery": {**_INSIGHT, "series": (list, "One node."), "lifecycleFilter": (dict, "Options of lifecycles.")},
    "StickinessQuery": {**_INSIGHT, **_SERIES, "stickinessFilter": (dict, "Options of stickiness.")},
    "PathsQuery": {**_INSIGHT, "pathsFilter": (dict, "Options of paths.")},
    "InsightActorsQuery": {**_SOURCE, "day": (str, "The day of the data point."), "series": (int, "Its series.")},
    "FunnelsActorsQuery": {**_SOURCE, "funnelStep": (int, "The step; negative: who dropped off before it.")},
}
_FIELDS: Final[Mapping[type[Any], type[serializers.Field[Any, Any, Any, Any]]]] = {
    str: serializers.CharField,
    int: serializers.IntegerField,
    float: serializers.FloatField,
    bool: serializers.BooleanField,
    list: AnyJSONField,
    dict: serializers.DictField,
}
_REQUIRED: Final = frozenset({("HogQLQuery", "query"), ("EventsQuery", "select"), ("HogQLMetadata", "query")})


def _node(kind: str) -> type[serializers.Serializer[Any]]:
    fields: dict[str, Any] = {
        name: _FIELDS[type_](required=(kind, name) in _REQUIRED, allow_null=True, help_text=text)
        for name, (type_, text) in _MEMBERS[kind].items()
    }
    if _MEMBERS[kind] is _SOURCE:
        fields["source"] = serializers.DictField(help_text=_SOURCE["source"][1])
    # A string and no choice: a choice of one would be an enum component for each kind.
    fields["kind"] = serializers.CharField(help_text=f"`{kind}`.")
    fields["modifiers"] = serializers.DictField(required=False, allow_null=True, help_text="`personsOnEventsMode`.")
    fields["__doc__"] = f"A query of the kind {kind}."
    return type(f"{kind}Node" if not kind.endswith("Node") else kind, (serializers.Serializer,), fields)


NODES: Final = {kind: _node(kind) for kind in SUPPORTED_KINDS}
