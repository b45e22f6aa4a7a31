"""Random queries of one project over a store with others: neither wall lets anything of theirs through."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.events.hogql.tenancy.asking import ENGINE, Tally, check
from tests.events.hogql.tenancy.queries import Question, questions

NIGHTLY: Final = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SHARDS: Final = 4
EXAMPLES: Final = (10_000 if NIGHTLY else 300) // SHARDS
FIRST_SEED: Final = SHARDS * datetime.now(UTC).date().toordinal() if NIGHTLY else 0
"""The same statements in every `make test`, others each night."""
LEAST_THAT_RUN: Final = 0.8
LEAST_WITH_ROWS: Final = 0.35
MOST_OF_THE_ENGINE: Final = 0.02
MOST_UNSTEADY: Final = 0.02


@pytest.mark.timeout(7200 if NIGHTLY else 300)
@pytest.mark.usefixtures("worlds")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_query_shows_or_counts_rows_of_another_project(
    shard: int, record_property: Callable[[str, object], None]
) -> None:
    tally = Tally()

    @seed(FIRST_SEED + shard)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        # The seed of a statement cannot be made smaller.
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(questions)
    def run(question: Question) -> None:
        check(question, tally)

    run()
    record_property("tenancy_statements", tally.examples)
    record_property("tenancy_ran", tally.ran)
    record_property("tenancy_returned", tally.returned_rows)
    assert tally.examples >= EXAMPLES
    assert tally.unsteady <= MOST_UNSTEADY * tally.examples, tally
    assert tally.errors[ENGINE] <= MOST_OF_THE_ENGINE * tally.examples, tally
    assert tally.ran >= LEAST_THAT_RUN * tally.examples, tally
    assert tally.returned_rows >= LEAST_WITH_ROWS * tally.examples, tally
