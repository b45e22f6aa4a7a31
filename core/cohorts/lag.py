"""How far behind the calculation of cohorts is, for whoever watches over the server."""

from dataclasses import dataclass

from django.conf import settings

from core.tenancy.statements import fetch_rows

_LAG = """
SELECT count(*) FILTER (WHERE version_wanted > coalesce(version, 0) OR overdue > 0),
       greatest(coalesce(max(overdue), 0), 0), count(*) FILTER (WHERE errors_calculating > 0)
FROM (SELECT version_wanted, version, errors_calculating,
             extract(epoch FROM statement_timestamp() - coalesce(last_calculation, created_at))::float8
             - %(refresh)s AS overdue
      FROM core_cohort WHERE NOT deleted) AS living
"""


@dataclass(frozen=True, slots=True)
class CohortLag:
    """How many cohorts wait to be calculated, by how many seconds the oldest is overdue, how many failed lately."""

    waiting: int
    seconds: float
    failing: int


def cohort_lag() -> CohortLag:
    """Compare when each cohort was calculated with COHORT_REFRESH_EVERY_SECONDS."""
    return CohortLag(*fetch_rows(_LAG, {"refresh": settings.COHORT_REFRESH_EVERY_SECONDS})[0])
