"""PathsQuery: which items of persons' sessions come right after which."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from core.insights.parameters import Parameters
from core.insights.paths import FUNNEL_PARTS, MAX_STEPS, read_path
from core.query.reading import BadNode
from core.query.runners.base import Json
from core.query.runners.insights.common import InsightRunner, plain, scaled, unsupported
from core.query.runners.insights.funnels import FunnelsRunner
from events.insights.paths import PathQuery
from events.insights.paths_edges import Edge, path_edges
from events.insights.paths_query import PathKey

DEFAULT_EDGES: Final = 50
MAX_EDGES: Final = 1000
FILTER: Final = {
    "includeEventTypes": "include_event_types",
    "startPoint": "start_point",
    "endPoint": "end_point",
    "pathGroupings": "path_groupings",
    "excludeEvents": "exclude_events",
    "localPathCleaningFilters": "local_path_cleaning_filters",
    "pathsHogQLExpression": "paths_hogql_expression",
    "pathStartKey": "path_start_key",
    "pathEndKey": "path_end_key",
    "pathDropoffKey": "path_dropoff_key",
}
"""What the query and the actors' endpoint call the same."""
_LISTS: Final = frozenset({"includeEventTypes", "pathGroupings", "excludeEvents"})
_ALSO: Final = ("edgeLimit", "stepLimit", "pathReplacements", "minEdgeWeight", "maxEdgeWeight", "showFullUrls")


class PathsRunner(InsightRunner):
    """Reads and answers a PathsQuery."""

    kind = "PathsQuery"
    names: ClassVar = ("pathsFilter", "funnelPathsFilter")

    def read(self) -> None:
        """Read and check the whole node."""
        given = self.fields.below("pathsFilter")
        if given is None:
            raise self.fields.missing("pathsFilter")
        self.filter = given.only(*FILTER, *_ALSO)
        if self.read_group_type_index() is not None:
            raise unsupported("paths of groups", self.fields, "aggregation_group_type_index")
        self.interval = None
        self.dates = self.read_dates(None)
        self.query: PathQuery = read_path(self._legacy(), self.project, now=self.context.now)
        self.limit = given.integer("edgeLimit", least=1, most=MAX_EDGES) or DEFAULT_EDGES
        self.least = given.integer("minEdgeWeight") or None
        self.most = given.integer("maxEdgeWeight") or None

    def answer(self) -> dict[str, Json]:
        """Return the edges that are most frequent and can be reached from a first item."""
        sampling = self.query.scope.sampling
        edges = path_edges(self.query, limit=self.limit, least=self.least, most=self.most)
        return {
            "results": [
                {
                    "source": _key(edge.source),
                    "target": _key(edge.target),
                    "value": plain(scaled(edge.value, sampling)),
                    "average_conversion_time": plain(edge.milliseconds),
                }
                for edge in _reached(edges)
            ],
            "resolved_date_range": self.resolved(self.dates),
        }

    def _legacy(self) -> Parameters:
        given = self.filter
        named = {
            legacy: given.texts(name) if name in _LISTS else self._other(name) for name, legacy in FILTER.items()
        }  # fmt: skip
        return self.parameters.replaced(
            **named,
            step_limit=given.integer("stepLimit", least=1, most=MAX_STEPS),
            path_replacements=given.flag("pathReplacements"),
            **self._funnel(),
        )

    def _other(self, name: str) -> Any:  # noqa: ANN401 any JSON value
        if name != "localPathCleaningFilters":
            return self.filter.text(name)
        value = self.filter.values.get(name)
        if value is not None and not isinstance(value, list):
            raise BadNode("Input should be a valid list", (*self.filter.path, name))
        # Members of the interface say nothing to a server.
        return value

    def _funnel(self) -> dict[str, Any]:
        given = self.fields.below("funnelPathsFilter")
        if given is None:
            return {}
        given.only("funnelPathType", "funnelSource", "funnelStep")
        part = given.choice("funnelPathType", (*FUNNEL_PARTS,))
        source = given.mapping("funnelSource")
        if part is None or source is None:
            raise given.missing("funnelPathType" if part is None else "funnelSource")
        if source.get("kind") != "FunnelsQuery":
            raise BadNode("Input should be 'FunnelsQuery'", (*given.path, "funnelSource", "kind"))
        step = given.integer("funnelStep", least=-100)
        funnel = FunnelsRunner(source, replace(self.context, path=(*given.path, "funnelSource")))
        if funnel.actor_value is not None:
            raise unsupported("paths of a funnel of values of HogQL", given, "funnelSource")
        values = {name: value for name, value in funnel.legacy.values.items() if value is not None}
        return {"funnel_paths": part, "funnel_filter": {**values, "funnel_step": step}, "funnel_step": step}


def _key(key: PathKey) -> str:
    return f"{key.place}_{key.item}"


def _reached(edges: Sequence[Edge]) -> list[Edge]:
    """Return the edges that hang together with a first item: others may be among the most frequent without it."""
    following: dict[PathKey, list[PathKey]] = {}
    for edge in edges:
        following.setdefault(edge.source, []).append(edge.target)
    waiting = [key for key in following if key.place == 1]
    seen = set(waiting)
    while waiting:
        for key in following.get(waiting.pop(), []):
            if key not in seen:
                seen.add(key)
                waiting.append(key)
    return [edge for edge in edges if edge.source in seen]
