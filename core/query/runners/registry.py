"""Which kinds of queries there are, and who runs each."""

from functools import cache
from importlib import import_module
from typing import Final

from core.query.runners.base import Runner

WRAPPERS: Final = frozenset({"DataTableNode", "DataVisualizationNode", "InsightVizNode"})
"""Kinds that only wrap the query in `source`."""

_MODULES: Final = {
    "HogQLQuery": "hogql",
    "EventsQuery": "events",
    "ActorsQuery": "actors",
    "PersonsNode": "persons",
    "DataTableNode": "nodes",
    "DataVisualizationNode": "nodes",
    "InsightVizNode": "nodes",
    "DatabaseSchemaQuery": "schema",
    "HogQLMetadata": "metadata",
    "HogQLAutocomplete": "autocomplete",
    "TrendsQuery": "insights.trends",
    "FunnelsQuery": "insights.funnels",
    "RetentionQuery": "insights.retention",
    "LifecycleQuery": "insights.lifecycle",
    "StickinessQuery": "insights.stickiness",
    "PathsQuery": "insights.paths",
    "InsightActorsQuery": "insights.actors",
    "FunnelsActorsQuery": "insights.actors",
}
SUPPORTED_KINDS: Final = tuple(_MODULES)
# PostHog's schema knows these too; asking for one is no mistake in the body.
_UNSUPPORTED: Final = (
    "ActionsNode", "DataWarehouseNode", "ErrorTrackingCorrelationQuery", "ErrorTrackingIssueCorrelationQuery",
    "ErrorTrackingQuery", "EventTaxonomyQuery", "EventsNode", "ExperimentEventExposureConfig",
    "ExperimentExposureQuery", "ExperimentFunnelsQuery", "ExperimentMetric", "ExperimentQuery",
    "ExperimentTrendsQuery", "FunnelCorrelationActorsQuery", "FunnelCorrelationQuery", "GroupsQuery", "HogQuery",
    "InsightActorsQueryOptions", "LogsQuery", "MarketingAnalyticsTableQuery", "PropertyValuesQuery", "RecordingsQuery",
    "RevenueAnalyticsGrossRevenueQuery", "RevenueAnalyticsMetricsQuery", "RevenueAnalyticsOverviewQuery",
    "RevenueAnalyticsTopCustomersQuery", "RevenueExampleDataWarehouseTablesQuery", "RevenueExampleEventsQuery",
    "SavedInsightNode", "SessionAttributionExplorerQuery", "SessionBatchEventsQuery", "SessionQuery", "SessionsQuery",
    "SessionsTimelineQuery", "StickinessActorsQuery", "SuggestedQuestionsQuery", "TeamTaxonomyQuery",
    "TimeToSeeDataQuery", "TimeToSeeDataSessionsQuery", "TraceQuery", "TracesQuery", "UsageMetricsQuery",
    "VectorSearchQuery", "WebExternalClicksTableQuery", "WebGoalsQuery", "WebOverviewQuery", "WebPageURLSearchQuery",
    "WebStatsTableQuery", "WebTrendsQuery", "WebVitalsPathBreakdownQuery", "WebVitalsQuery",
    "ActorsPropertyTaxonomyQuery", "CalendarHeatmapQuery",
)  # fmt: skip
KNOWN_KINDS: Final = tuple(sorted({*SUPPORTED_KINDS, *_UNSUPPORTED}))


@cache
def runner_of(kind: str) -> type[Runner] | None:
    """Return who runs a kind; None for kinds that this server does not run."""
    name = _MODULES.get(kind)
    if name is None:
        return None
    # Imported when first asked for: most processes never run most kinds.
    module = import_module(f"core.query.runners.{name}")
    found = (one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Runner))
    return next((one for one in found if getattr(one, "kind", None) == kind), None)
