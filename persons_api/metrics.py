"""Prometheus metrics of the web processes; several workers share theirs through files."""

import os
from collections.abc import Iterator
from pathlib import Path

# prometheus_client decides at import whether values live in files, so the folder must exist before.
MULTIPROCESS_DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if MULTIPROCESS_DIRECTORY:
    Path(MULTIPROCESS_DIRECTORY).mkdir(parents=True, exist_ok=True)

from functools import lru_cache  # noqa: E402

from django.db import DatabaseError, connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram  # noqa: E402
from prometheus_client.exposition import generate_latest  # noqa: E402
from prometheus_client.metrics_core import GaugeMetricFamily, Metric  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
REQUESTS = Counter("persons_api_requests", "Requests answered", ["route", "method", "status"])
SECONDS = Histogram("persons_api_request_seconds", "Time to answer", ["route", "method"], buckets=BUCKETS)
KNOWN_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


@lru_cache(maxsize=8192)
def _children(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Looking a child up by its labels costs more than counting."""
    return REQUESTS.labels(route, method, status), SECONDS.labels(route, method)


def observe(route: str, method: str, status: int, seconds: float) -> None:
    """Count one request."""
    counter, histogram = _children(route, method if method in KNOWN_METHODS else "other", status)
    counter.inc()
    histogram.observe(seconds)


class OutboxCollector(Collector):
    """How much waits in Postgres for ClickHouse, asked at the moment of the scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield two gauges, or nothing while Postgres is away."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT coalesce(sum(row_count), 0), coalesce(extract(epoch FROM now() - min(created_at)), 0) "
                    "FROM core_outboxrows WHERE refused_at IS NULL"
                )
                rows, age = cursor.fetchone() or (0, 0)
        except DatabaseError:
            return
        yield GaugeMetricFamily("persons_api_outbox_rows", "Rows that wait for ClickHouse", value=float(rows))
        yield GaugeMetricFamily("persons_api_outbox_age_seconds", "Age of the oldest waiting row", value=float(age))


def metrics_view(request: HttpRequest) -> HttpResponse:
    """Answer a scrape."""
    del request
    registry = CollectorRegistry()
    registry.register(OutboxCollector())
    if MULTIPROCESS_DIRECTORY:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        body = generate_latest(registry)
    else:
        body = generate_latest(REGISTRY) + generate_latest(registry)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)
