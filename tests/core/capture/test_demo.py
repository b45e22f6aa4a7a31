import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from random import Random
from types import ModuleType

import pytest
from django.core.management import CommandError, call_command

from core.capture.demo import Calendar, demo_load
from core.capture.demo_people import Customer
from core.capture.importer import ImportSummary
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam
from core.persons.models import Group, Person, PersonDistinctId, SeenEvent
from core.tenancy.models import Team
from tests.core.capture.helpers import rows

pytestmark = pytest.mark.usefixtures("clickhouse")

NOW = datetime.now(UTC)


def load(team: Team, persons: int = 60, seed: int = 1, now: datetime = NOW) -> ImportSummary:
    return demo_load(team=IngestTeam(id=team.id), persons=persons, days=30, seed=seed, now=now)


def test_every_customer_is_one_identified_person_of_many_ids(team: Team) -> None:
    summary = load(team)
    assert summary.stored == summary.read
    assert Person.unscoped.filter(team_id=team.id, is_identified=True).count() == 60
    assert Person.unscoped.filter(team_id=team.id).count() == 60
    assert PersonDistinctId.unscoped.filter(team_id=team.id).count() > 120
    assert rows("ingestion_warnings") == []
    assert 10 <= summary.stored / 60 <= 15


def test_story_has_visitors_plans_companies_and_second_devices(team: Team) -> None:
    load(team, persons=200)
    stored = rows("events")
    kinds = {row["event"] for row in stored}
    assert {"$pageview", "$identify", "plan_changed", "$groupidentify", "$create_alias", "file_uploaded"} <= kinds
    assert any(row["person_mode"] == "propertyless" for row in stored)
    plans = {person.properties["plan"] for person in Person.unscoped.filter(team_id=team.id)}
    assert plans == {"free", "team", "business"}
    assert Group.unscoped.filter(team_id=team.id).exists()
    assert any(row["unset"] for row in rows("person_property_updates"))


def test_events_come_in_the_order_of_time_and_end_before_now(team: Team) -> None:
    load(team)
    times = [row["timestamp"] for row in rows("events")]
    assert times == sorted(times)
    assert times[0] >= (NOW - timedelta(days=31)).isoformat(" ")
    assert times[-1] <= NOW.isoformat(" ")


def test_same_seed_adds_nothing_even_much_later(team: Team, clickhouse: ModuleType) -> None:
    stored = load(team).stored
    assert load(team).stored == 0
    outbox_drain()
    SeenEvent.objects.all().delete()
    assert load(team, now=NOW + timedelta(hours=5)).repeated == stored
    assert clickhouse.query("SELECT count() FROM events").rows == [(stored,)]


def test_larger_demo_adds_people_and_another_seed_makes_others(team: Team) -> None:
    load(team, persons=20)
    load(team, persons=20, seed=2)
    assert Person.unscoped.filter(team_id=team.id).count() == 40


def test_story_of_a_seed_never_changes() -> None:
    one, other = (Customer(Random("1:customer:0"), 0, 100).story() for _ in range(2))  # noqa: S311 demo data
    assert one == other


def test_busy_hours_take_a_larger_part_of_the_calendar() -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    calendar = Calendar(start=monday, end=monday + timedelta(days=7))
    times = [calendar.time(n / 1000) for n in range(1000)]
    assert times == sorted(times)
    assert calendar.time(0) == monday
    assert sum(moment.weekday() >= 5 for moment in times) < 150
    assert sum(8 <= moment.hour < 18 for moment in times) > 600


def test_command_loads_a_thousand_persons_quickly(team: Team) -> None:
    out = StringIO()
    # The time of this thread alone: others may keep the machine busy.
    started = time.thread_time()
    call_command("load_demo", "--persons", "1000", "--days", "30", stdout=out)
    assert time.thread_time() - started < 30
    assert Person.unscoped.filter(team_id=team.id).count() == 1000
    assert "stored" in out.getvalue()


def test_command_wants_at_least_one_person(team: Team) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("load_demo", "--persons", "0", "--project", str(team.id))
