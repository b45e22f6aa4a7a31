"""Cohorts in filters on events: those that the team does not have match nothing."""

import pytest

from core.cohorts.models import Cohort
from core.filters.reading import known_cohorts_only
from events.filters.grammar import NOTHING, CohortFilter, Filter, read_filters
from tests.core.conftest import Cast

pytestmark = pytest.mark.django_db


def read(item: object) -> Filter:
    wanted = read_filters([item], scope="event")
    assert wanted is not None
    return wanted


def test_only_cohorts_of_the_team_stay(cast: Cast) -> None:
    ours = Cohort.unscoped.create(team=cast.team, name="ours")
    gone = Cohort.unscoped.create(team=cast.team, name="gone", deleted=True)
    theirs = Cohort.unscoped.create(team=cast.other_team, name="theirs")
    every = read({"type": "cohort", "value": [gone.pk, ours.pk, theirs.pk], "negation": True})
    assert known_cohorts_only(every, team_id=cast.team.id) == CohortFilter((ours.pk,), negated=True)
    for unknown in (gone.pk, theirs.pk, 2**63 - 1):
        for negation in (False, True):
            wanted = read({"type": "cohort", "value": unknown, "negation": negation})
            assert known_cohorts_only(wanted, team_id=cast.team.id) == NOTHING


def test_filters_without_cohorts_ask_nobody(cast: Cast, django_assert_num_queries: pytest.FixtureRequest) -> None:
    wanted = read({"key": "plan", "value": "pro"})
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert known_cohorts_only(wanted, team_id=cast.team.id) == wanted
