"""Funnels, retention, lifecycle, stickiness and paths against their oracles, and the actors of their data points."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query.runners.insights.actors import actor_rows
from core.query.runners.insights.lifecycle import LifecycleRunner
from core.query.runners.insights.retention import RetentionRunner
from core.query.runners.insights.stickiness import StickinessRunner
from tests.core.query.insights.support import context, dated, series
from tests.support.calendar_oracle import start_of
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, store
from tests.support.lifecycle_oracle import statuses
from tests.support.retention_oracle import Table, before, table_row, whole_range_of
from tests.support.stickiness_oracle import active_intervals

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORLDS = places(names=("a", "a", "b"), max_events=40)
PROFILES = places(
    names=("a", "a", "b"), max_events=40,
    properties=st.fixed_dictionaries({"$process_person_profile": st.sampled_from([None, "", True, False, "false"])}),
)  # fmt: skip
STEPS = st.sampled_from([None, None, -2, 0, 1, 2, 3, 5, 9])

type World = tuple[str, str, datetime, Stream]


def listed(node: dict[str, Any], asked: Any) -> list[str]:
    rows = actor_rows(node, asked, limit=100, offset=0).rows
    assert len({row.actor for row in rows}) == len(rows)
    return [row.actor for row in rows]


@MANY
@given(world=PROFILES, length=st.integers(0, 20), week_start=st.sampled_from([0, 1]))
def test_lifecycle(clickhouse: ModuleType, world: World, length: int, week_start: int) -> None:
    zone, interval, begun, stream = world
    asked = context(store(stream), zone=zone, week_start=week_start)
    until = begun + timedelta(days=length)
    node = {"kind": "LifecycleQuery", "interval": interval, "series": series("a"), **dated(begun, until)}
    runner = LifecycleRunner(node, asked)
    expected: Counter[tuple[str, Any]] = Counter()
    for actor, events in stream.by_actor().items():
        born = next(moment for person, moment in stream.created_at.items() if str(person) == actor)
        times = [
            one.timestamp for one in events
            if one.event == "a" and one.properties["$process_person_profile"] not in (False, "false")
        ]  # fmt: skip
        first, last = runner.dates.since, runner.dates.until
        expected.update(
            statuses(times, born, since=first, until=last, interval=interval, zone=zone, week_start=week_start)
        )
    starts = [start_of(span.start, interval, zone, week_start) for span in runner.spans]
    for item in runner.run()["results"]:
        sign = -1 if item["status"] == "dormant" else 1
        assert item["data"] == [sign * expected[item["status"], start] for start in starts], item["status"]
        assert item["count"] == sum(item["data"])
        for span, count in list(zip(runner.spans, item["data"], strict=True))[:8]:
            actors = {
                "kind": "InsightActorsQuery",
                "source": node,
                "day": span.start.isoformat(),
                "status": item["status"],
            }
            assert len(listed(actors, asked)) == abs(count)


@MANY
@given(
    world=WORLDS,
    length=st.integers(0, 20),
    week_start=st.sampled_from([0, 1]),
    cumulative=st.booleans(),
)
def test_stickiness(clickhouse: ModuleType, world: World, length: int, week_start: int, *, cumulative: bool) -> None:
    zone, interval, begun, stream = world
    asked = context(store(stream), zone=zone, week_start=week_start)
    node: dict[str, Any] = {
        "kind": "StickinessQuery", "interval": interval, "series": series("a", "b"),
        **dated(begun, begun + timedelta(days=length)),
        "stickinessFilter": {"computedAs": "cumulative" if cumulative else "non_cumulative"},
    }  # fmt: skip
    runner = StickinessRunner(node, asked)
    for order, item in enumerate(runner.run()["results"]):
        active: Counter[int] = Counter()
        for events in stream.by_actor().values():
            times = [one.timestamp for one in events if one.event == "ab"[order]]
            active[active_intervals(
                times, since=runner.dates.since, until=runner.dates.until, interval=interval, zone=zone,
                week_start=week_start,
            )] += 1  # fmt: skip
        days = range(1, len(item["days"]) + 1)
        sums = [sum(active[more] for more in days if more >= day) for day in days]
        assert item["data"] == (sums if cumulative else [active[day] for day in days])
        assert item["days"] == list(days)
        assert item["count"] == sum(active[day] for day in days)
        for day in list(days)[:5] if not cumulative else []:
            actors = {"kind": "InsightActorsQuery", "source": node, "day": day, "series": order}
            assert len(listed(actors, asked)) == item["data"][day - 1]


@MANY
@given(world=places(names=("a", "a", "b", "$pageview"), max_events=40), first_time=st.booleans(),
       total=st.integers(1, 9), back=st.integers(0, 12),
       returning=st.sampled_from(["a", "b", "$pageview", None]), steps=STEPS)  # fmt: skip
def test_retention(
    clickhouse: ModuleType,
    world: World,
    total: int,
    back: int,
    returning: str | None,
    steps: int | None,
    *,
    first_time: bool,
) -> None:
    zone, period, begun, stream = world
    now = begun + timedelta(days=back, minutes=17)
    asked = context(store(stream), zone=zone, now=now)
    date_from = before(now, period, steps)
    node = {
        "kind": "RetentionQuery",
        "retentionFilter": {
            "period": period.title(), "totalIntervals": total, "targetEntity": {"id": "a", "type": "events"},
            "returningEntity": None if returning == "$pageview" else {"id": returning, "type": "events"},
            "retentionType": "retention_first_time" if first_time else "retention_recurring",
        },
        "dateRange": {"date_from": date_from.isoformat() if date_from else None},
    }  # fmt: skip
    results = RetentionRunner(node, asked).run()["results"]
    since, until, rows = whole_range_of(now.astimezone(ZoneInfo(zone)), period, total, date_from)
    assert len(results) == rows
    table = Table(
        ZoneInfo(zone), period, since, until, lambda one: one.event == "a",
        lambda one: returning is None or one.event == returning, first_time=first_time,
    )  # fmt: skip
    by_actor = stream.by_actor()
    for row, result in enumerate(results):
        expected = table_row(table, by_actor, row, total)
        sums = [sum(appearances[place] for _, appearances in expected) for place in range(total)]
        assert [value["count"] for value in result["values"]] == sums, row
        assert result["label"] == f"{period.title()} {row}"
        found = actor_rows({"kind": "InsightActorsQuery", "source": node, "interval": row}, asked, limit=100, offset=0)
        assert [(one.actor, one.appearances) for one in found.rows] == [
            (actor, tuple(place for place, there in enumerate(appearances) if there)) for actor, appearances in expected
        ]
    assert all(datetime.fromisoformat(one["date"]).astimezone(UTC) for one in results)
