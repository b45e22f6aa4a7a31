import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.outbox.models import OutboxRows
from core.outbox.services import batch_begin, outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.persons.values import MAX_VALUE, property_value_counts, value_text
from core.persons.values_rebuild import PAGE, property_values_rebuild
from core.tenancy.models import Team
from core.tenancy.statements import execute
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse")


def asked(api: Api, **params: Any) -> list[tuple[str, int]]:
    outbox_drain()
    answer = api.get("/values/", **params)
    assert answer.status_code == 200, answer.content
    assert answer.json()["refreshing"] is False
    return [(row["name"], row["count"]) for row in answer.json()["results"]]


def summary(client: ModuleType, team_id: int) -> dict[tuple[str, str], int]:
    rows = client.query(
        "SELECT key, value, sum(persons) AS n FROM person_property_values WHERE team_id = {team_id:Int64} "
        "GROUP BY key, value HAVING n != 0",
        {"team_id": team_id},
    ).rows
    return {(key, value): count for key, value, count in rows}


def counted(team_id: int) -> dict[tuple[str, str], int]:
    """The same from Postgres' own texts: nothing of the code under test but the rule of what is left out."""
    found: Counter[tuple[str, str]] = Counter()
    for properties in Person.objects.for_team(team_id).values_list("properties", flat=True):
        for key, value in properties.items():
            text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            if value is not None and 0 < len(text) <= MAX_VALUE and len(key) <= 400:
                found[key, text] += 1
    return dict(found)


def test_values_come_with_their_counts_most_frequent_first(api: Api, capture: Callable[..., Person]) -> None:
    for who, plan in {"ann": "free", "bob": "team", "cid": "team", "dan": "basic", "eve": ""}.items():
        capture(who, set={"plan": plan, "other": 1})
    capture("fay", set={"plan": None})
    outbox_drain()
    answer = api.get("/values/", key="plan")
    assert answer.headers["Cache-Control"] == "max-age=10"
    assert answer.json() == {
        "results": [{"name": "team", "count": 2}, {"name": "basic", "count": 1}, {"name": "free", "count": 1}],
        "refreshing": False,
    }


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-1.50, "-1.5"),
        (0, "0"),
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ([], "[]"),
        ("00123", "00123"),
        ("née ☃", "née ☃"),
        (" ", " "),
        ("x" * MAX_VALUE, "x" * MAX_VALUE),
    ],
)
def test_a_name_is_always_text(api: Api, capture: Callable[..., Person], value: Any, name: str) -> None:
    capture(set={"key": value})
    assert asked(api, key="key") == [(name, 1)]


@pytest.mark.parametrize("value", [None, "", "x" * (MAX_VALUE + 1), list(range(400))])
def test_null_empty_and_long_values_are_left_out(api: Api, capture: Callable[..., Person], value: Any) -> None:
    capture(set={"key": value})
    assert asked(api, key="key") == []


def test_a_part_is_found_in_any_case_and_taken_literally(api: Api, capture: Callable[..., Person]) -> None:
    for who, city in {"a": "Århus", "b": "aarhus", "c": "100%_Town", "d": "1000 Town"}.items():
        capture(who, set={"city": city})
    assert asked(api, key="city", value="ÅRH") == [("Århus", 1)]
    assert asked(api, key="city", value="TOWN") == [("100%_Town", 1), ("1000 Town", 1)]
    assert asked(api, key="city", value="0%_") == [("100%_Town", 1)]
    assert asked(api, key="city", value="x" * 500) == []


def test_at_most_twenty(api: Api, capture: Callable[..., Person]) -> None:
    for number in range(23):
        capture(f"p{number}", set={"n": f"{number:02}"})
    capture("last", set={"n": "22"})
    assert asked(api, key="n") == [("22", 2)] + [(f"{number:02}", 1) for number in range(19)]


@pytest.mark.parametrize("query", ["", "?key=", "?key=$virt_revenue", f"?key={'k' * 500}", "?value=x", "?key=unknown"])
def test_no_such_property_is_an_empty_list(api: Api, capture: Callable[..., Person], query: str) -> None:
    capture(set={"$virt_revenue": 1, "plan": "x"})
    outbox_drain()
    answer = api.get(f"/values/{query}")
    assert (answer.status_code, answer.json()) == (200, {"results": [], "refreshing": False})


def test_without_clickhouse_the_answer_is_503(api: Api) -> None:
    with override_settings(CLICKHOUSE_URL="http://127.0.0.1:9/none"):
        answer = api.get("/values/", key="plan")
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert "Cache-Control" not in answer.headers
        assert int(answer.headers["Retry-After"]) > 0


def test_only_the_own_project_counts(api: Api, stranger: Api, team: Team, capture: Callable[..., Person]) -> None:
    capture(set={"plan": "free"})
    assert asked(stranger, key="plan") == []
    assert stranger.client.get(api.url("/values/?key=plan")).status_code == 403
    assert asked(make_api(team, tree="environments"), key="plan") == [("free", 1)]
    assert make_api(team, scopes=("cohort:read",)).get("/values/", key="plan").status_code == 403


def test_changes_merges_and_deletions_move_the_counts(
    api: Api, team: Team, capture: Callable[..., Person], clickhouse: ModuleType
) -> None:
    ann, bob = capture("ann", set={"plan": "free", "a": 1}), capture("bob", set={"plan": "team", "b": 2})
    assert asked(api, key="plan") == [("free", 1), ("team", 1)]
    capture("ann", "$identify", merge_with="bob", set={"a": 2})
    assert asked(api, key="plan") == [("free", 1)]
    assert asked(api, key="b") == [("2", 1)]
    api.send("POST", f"/{ann.id}/update_property/", {"key": "plan", "value": "pro"})
    assert asked(api, key="plan") == [("pro", 1)]
    api.send("POST", f"/{ann.id}/delete_property/", {"$unset": "b"})
    assert asked(api, key="b") == []
    assert summary(clickhouse, team.id) == counted(team.id)
    assert api.send("DELETE", f"/{ann.id}/").status_code == 204
    outbox_drain()
    assert summary(clickhouse, team.id) == {}
    assert not Person.objects.for_team(team.id).filter(id=bob.id).exists()


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["a", "b", "", "true", "1", "1.0"]),
    st.sampled_from([-0.0, 1.0, 1e16, 1e22, 1e-7, -2.5, 2.0**63, 1e300, [1e16, -0.0], {"b": [1], "a": 1e25}]),
)  # fmt: skip
WHO = st.sampled_from("abcd")
STEPS = st.one_of(
    st.tuples(st.just("set"), WHO, st.dictionaries(st.sampled_from("xyz"), VALUES)),
    st.tuples(st.just("set_once"), WHO, st.dictionaries(st.sampled_from("xyz"), VALUES)),
    st.tuples(st.just("unset"), WHO, st.lists(st.sampled_from("xyz"))),
    st.tuples(st.just("merge"), WHO, WHO),
    st.tuples(st.just("delete"), WHO, st.none()),
    st.tuples(st.just("drain"), st.just(""), st.none()),
)


@given(steps=st.lists(st.lists(STEPS, min_size=1, max_size=4), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_summary_is_a_count_over_persons(db: None, clickhouse: ModuleType, steps: list[list[Any]]) -> None:
    team = make_team()
    api = make_api(team)
    for batch in steps:
        events = []
        for name, who, what in batch:
            if name == "drain":
                outbox_drain()
            elif name == "delete":
                for person in Person.objects.for_team(team.id).filter(distinct_id_rows__distinct_id=who):
                    assert api.send("DELETE", f"/{person.id}/").status_code == 204
            elif name == "merge":
                events.append(event_of(who, "$merge_dangerously", merge_with=what))
            else:
                events.append(event_of(who, **{name: what}))
        events_ingest(team=IngestTeam(team.id), events=events)
    outbox_drain()
    outbox_drain()
    expected: dict[tuple[str, str], int] = {}
    for (text,) in execute("SELECT properties::text FROM core_person WHERE team_id = %s", [team.id]):
        for key, value in orjson.loads(text).items():
            if (name := value_text(value)) is not None:
                expected[key, name] = expected.get((key, name), 0) + 1
    assert summary(clickhouse, team.id) == expected


def event_of(who: str, name: str = "click", **fields: Any) -> NewEvent:
    return NewEvent(uuid=uuid4(), event=name, distinct_id=who, timestamp=datetime.now(UTC), properties={}, **fields)


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-400, 400).map(lambda exponent: math.ldexp(1.5, exponent)),
)


@given(
    value=st.recursive(NUMBERS | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_text_of_a_value_survives_its_store(db: None, value: Any) -> None:
    sent = orjson.dumps(value).decode().replace("\\u0000", "")
    with connection.cursor() as cursor:
        cursor.execute("SELECT (%s::jsonb)::text", [sent])
        stored = orjson.loads(cursor.fetchone()[0])
    assert value_text(orjson.loads(sent)) == value_text(stored)


def test_unchanged_persons_cost_nothing() -> None:
    properties = {"a": 1, "b": [1]}
    assert property_value_counts([(properties, properties)]) == {}
    assert property_value_counts([(properties, {**properties, "c": None})]) == {}
    assert property_value_counts([(None, None), (None, {}), ({}, None)]) == {}
    assert property_value_counts([({"a": True}, {"a": "true"})]) == {("a", "true"): 0}


@pytest.mark.django_db(transaction=True)
class TestRebuild:
    """The command that makes a wrong summary right."""

    def test_persons_from_before_the_summary_are_counted(self, clickhouse: ModuleType) -> None:
        team, other = make_team(), make_team()
        for each in (team, other):
            rows = [
                Person(
                    team_id=each.id,
                    uuid=uuid4(),
                    properties={"plan": f"p{n % 3}", "n": n},
                    created_at=datetime.now(UTC),
                )
                for n in range(PAGE + 50)
            ]
            Person.unscoped.bulk_create(rows)
        call_command("rebuild_property_values", "--project", str(team.id), verbosity=0)
        assert summary(clickhouse, team.id) == counted(team.id)
        assert summary(clickhouse, other.id) == {}

    def test_whatever_is_wrong_is_corrected_and_nothing_else_touched(self, clickhouse: ModuleType) -> None:
        team = make_team()
        events_ingest(team=IngestTeam(team.id), events=[event_of(f"p{n}", set={"n": n, "x": "y"}) for n in range(50)])
        outbox_drain()
        events_ingest(
            team=IngestTeam(team.id), events=[event_of("p1", set={"x": "z"}), event_of("new", set={"x": "y"})]
        )
        waiting = OutboxRows.objects.count()
        wrong = [
            {"team_id": team.id, "key": key, "value": value, "persons": by}
            for key, value, by in [("x", "y", 17), ("n", "3", -1), ("gone", "g", 4)]
        ]
        payload = b"\n".join(map(orjson.dumps, wrong))
        clickhouse.insert_json_rows("person_property_values", payload, token=str(uuid4()))
        assert [*property_values_rebuild(team_id=team.id)][-1].corrected == 3
        assert OutboxRows.objects.count() == waiting
        outbox_drain()
        assert summary(clickhouse, team.id) == counted(team.id)
        assert [*property_values_rebuild(team_id=team.id)][-1].corrected == 0

    def test_the_same_error_is_corrected_again(self, clickhouse: ModuleType) -> None:
        team = make_team()
        wrong = orjson.dumps({"team_id": team.id, "key": "x", "value": "y", "persons": 3})
        for _ in range(3):
            clickhouse.insert_json_rows("person_property_values", wrong, token=str(uuid4()))
            assert [*property_values_rebuild(team_id=team.id)][-1].corrected == 1
            assert summary(clickhouse, team.id) == {}

    def test_it_is_exact_while_events_come_in_and_drains_run(self, clickhouse: ModuleType) -> None:
        team = make_team()
        over = threading.Event()

        def write(seed: int) -> None:
            choice = random.Random(seed)  # noqa: S311 not a secret
            while not over.is_set():
                events = [
                    event_of(f"p{choice.randrange(60)}", set={"x": choice.randrange(5), "y": f"{number % 7}"})
                    for number in range(10)
                ]
                events_ingest(team=IngestTeam(team.id), events=events)
                if choice.random() < 0.5:
                    outbox_drain()
            connection.close()

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(6):
                wrong = {"team_id": team.id, "key": "x", "value": str(number), "persons": number + 1}
                clickhouse.insert_json_rows("person_property_values", orjson.dumps(wrong), token=str(uuid4()))
                for _ in property_values_rebuild(team_id=team.id):
                    pass
        finally:
            over.set()
            for thread in threads:
                thread.join()
        outbox_drain()
        assert summary(clickhouse, team.id) == counted(team.id)

    def test_a_batch_that_a_dead_drain_left_is_finished_first(self, clickhouse: ModuleType) -> None:
        team = make_team()
        events_ingest(team=IngestTeam(team.id), events=[event_of("ann", set={"x": 1})])
        assert batch_begin() is not None
        assert [*property_values_rebuild(team_id=team.id)][-1].corrected == 0
        assert OutboxRows.objects.count() == 0
        assert summary(clickhouse, team.id) == counted(team.id)

    def test_two_at_once_are_refused(self) -> None:
        team = make_team()
        first = property_values_rebuild(team_id=team.id)
        next(first)
        refused: list[BaseException] = []

        def second() -> None:
            try:
                call_command("rebuild_property_values", verbosity=0)
            except CommandError as error:
                refused.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert [str(error) for error in refused] == ["another rebuild is running"]
        for _ in first:
            pass

    def test_a_failure_leaves_no_lock_and_no_harm(self, clickhouse: ModuleType) -> None:
        team = make_team()
        events_ingest(team=IngestTeam(team.id), events=[event_of("ann", set={"x": 1})])
        with (
            override_settings(CLICKHOUSE_URL="http://127.0.0.1:9/none"),
            pytest.raises(CommandError, match="run the command again"),
        ):
            call_command("rebuild_property_values", verbosity=0)
        call_command("rebuild_property_values", verbosity=0)
        outbox_drain()
        assert summary(clickhouse, team.id) == counted(team.id)

    def test_an_unknown_project_is_named(self) -> None:
        with pytest.raises(CommandError, match="no such project: 987654"):
            call_command("rebuild_property_values", "--project", "987654", verbosity=0)
