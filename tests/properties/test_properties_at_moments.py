"""Many persons at many moments, in one query: the same as asking for each alone."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.history import properties_at
from events.history_batch import Moment, properties_at_moments
from tests.properties.test_point_in_time import TEAM, Update, exact, histories, moments, stored

pytestmark = pytest.mark.usefixtures("clickhouse")

asked = st.builds(Moment, person=st.integers(0, 3), at=moments, include_set_once=st.booleans())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=histories,
    generations=st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)),
    questions=st.lists(asked, max_size=12),
    merged=st.booleans(),
    repeated=st.sampled_from([0, 0, 3]),
)
def test_many_answers_in_one_query_are_those_of_single_questions(
    rows: list[Update], generations: tuple[int, int, int], questions: list[Moment], *, merged: bool, repeated: int
) -> None:
    prefix = f"{uuid4().hex} \U0001f600'\\"
    stored(rows, prefix, repeated)
    ids = [(f"{prefix}{person}", generation) for person, generation in enumerate(generations)]
    persons: list[Any] = [ids[:2], ids[2:], [], []] if merged else [ids[:1], ids[1:2], ids[2:], []]
    answers = properties_at_moments(team_id=TEAM, persons=persons, moments=questions)
    assert len(answers) == len(questions)
    for question, answer in zip(questions, answers, strict=True):
        single = properties_at(
            team_id=TEAM, ids=persons[question.person], at=question.at, include_set_once=question.include_set_once
        )
        assert exact(answer.properties) == exact(single.properties)
        assert answer.operations_applied == single.operations_applied
