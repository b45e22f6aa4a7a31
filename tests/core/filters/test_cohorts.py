"""Cohort filters, and filters in groups: members by what the stores hold, in both engines."""
# ruff: noqa: S608 the text of the compilers

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from core.cohorts.models import CohortPerson
from core.filters import postgres
from events import client
from events.filters.clickhouse import condition as clickhouse_condition
from events.filters.grammar import read_filters

UUIDS = [UUID(int=number) for number in range(4)]
# Person 0 is in 1, person 1 in 2, person 2 in both, person 3 in none.
MEMBERS = [(1, 0), (1, 2), (2, 1), (2, 2)]

CASES: list[tuple[Any, set[int]]] = [
    ([{"type": "cohort", "key": "id", "value": 1}], {0, 2}),
    ([{"type": "cohort", "key": "id", "value": [1, 2]}], {0, 1, 2}),
    ([{"type": "cohort", "key": "id", "value": 1, "negation": True}], {1, 3}),
    ([{"type": "static-cohort", "key": "id", "value": 1, "operator": "not_in"}], {1, 3}),
    ([{"type": "cohort", "key": "id", "value": 1, "operator": "not_in", "negation": True}], {0, 2}),
    ([{"type": "cohort", "key": "id", "value": 1}, {"type": "cohort", "key": "id", "value": 2}], {2}),
    ({"type": "OR", "values": [{"type": "cohort", "value": 1}, {"key": "n", "value": 3}]}, {0, 2, 3}),
    (
        {
            "type": "AND",
            "values": [
                {"type": "OR", "values": [{"key": "n", "value": [0, 1]}, {"key": "n", "operator": "gt", "value": 2}]},
                {"type": "cohort", "value": 2, "negation": True},
            ],
        },
        {0, 3},
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("filters", "members"), CASES)
def test_members_are_found_in_postgres(filters: Any, members: set[int]) -> None:
    CohortPerson.objects.bulk_create(CohortPerson(cohort_id=cohort, person_id=person) for cohort, person in MEMBERS)
    wanted = read_filters(filters)
    assert wanted is not None
    parameters: dict[str, Any] = {}
    condition = postgres.condition(wanted, parameters, properties="jsonb_build_object('n', n)", person_id="n")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT n FROM generate_series(0, 3) AS n WHERE {condition}", parameters)
        assert {row[0] for row in cursor.fetchall()} == members


@pytest.mark.parametrize(("filters", "members"), CASES)
def test_members_are_found_in_clickhouse(clickhouse: Any, filters: Any, members: set[int]) -> None:
    for team, cohort, person, deleted, version in [
        *((7, cohort, person, 0, 2) for cohort, person in MEMBERS),
        # Gone since, older news, and another team's: none of them counts.
        (7, 1, 1, 0, 1),
        (7, 1, 1, 1, 2),
        (7, 1, 0, 1, 1),
        (8, 1, 3, 0, 1),
    ]:
        client.command(
            "INSERT INTO cohort_people (team_id, cohort_id, person_id, is_deleted, version) VALUES"
            f" ({team}, {cohort}, '{UUIDS[person]}', {deleted}, {version})"
        )
    wanted = read_filters(filters)
    assert wanted is not None
    parameters: dict[str, Any] = {"team_id": 7}
    condition = clickhouse_condition(wanted, parameters, properties="properties")
    rows = client.query(
        "SELECT n FROM (SELECT number AS n, toUUID(concat('00000000-0000-0000-0000-00000000000', toString(number)))"
        f" AS person_id, concat('{{\"n\":', toString(number), '}}') AS properties FROM numbers(4)) WHERE {condition}",
        parameters,
    ).rows
    assert {row[0] for row in rows} == members
