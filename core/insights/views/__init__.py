"""The persons behind a data point, over HTTP: read the request, run one query, answer."""

from core.insights.views.base import InsightView
from core.insights.views.funnel import FunnelView
from core.insights.views.lifecycle import LifecycleView
from core.insights.views.paths import PathView
from core.insights.views.retention import RetentionView
from core.insights.views.stickiness import StickinessView
from core.insights.views.trends import TrendsView


class PersonInsightsViewSet(
    FunnelView, PathView, RetentionView, LifecycleView, StickinessView, TrendsView, InsightView
):
    """List the persons behind a data point of an insight."""
