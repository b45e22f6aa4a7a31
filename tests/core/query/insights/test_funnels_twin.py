"""FunnelsQuery against its oracle: steps, times, breakdowns, time to convert, trends; and who is behind each number."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query.runners.insights.actors import actor_rows
from core.query.runners.insights.funnels import FunnelsRunner
from tests.core.query.insights.support import context, dated, series
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, store
from tests.support.funnel_oracle import Divided, Funnel, Wanted, answer

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ORDERS = st.sampled_from(["ordered", "strict", "unordered"])
WINDOWS = st.sampled_from([(90, "second"), (1, "hour"), (1, "day"), (3, "day"), (1, "month")])
STEPS = st.sampled_from([("a",), ("a", "b"), ("a", "a"), ("a", "b", "c"), ("b", "a", "b")])
PLANS = st.fixed_dictionaries({"plan": st.sampled_from(["", "pro", "free", None])})

type World = tuple[str, str, datetime, Stream]


def asked_node(order: str, window: tuple[int, str], steps: tuple[str, ...], begun: datetime, **more: Any) -> Any:
    return {
        "kind": "FunnelsQuery",
        "series": series(*steps),
        **dated(begun - timedelta(days=2), begun + timedelta(days=40)),
        **more,
        "funnelsFilter": {
            "funnelOrderType": order,
            "funnelWindowInterval": window[0],
            "funnelWindowIntervalUnit": window[1],
            **more.get("funnelsFilter", {}),
        },
    }


def oracle(runner: FunnelsRunner, order: str, window: tuple[int, str], steps: tuple[str, ...]) -> Funnel:
    return Funnel(
        steps=tuple(Wanted(frozenset({name}), name) for name in steps),
        order=order,
        window=window,
        since=runner.dates.since,
        until=runner.dates.until,
        zone=runner.project.timezone,
    )


@MANY
@given(
    world=places(properties=PLANS), order=ORDERS, window=WINDOWS, steps=STEPS,
    attribution=st.sampled_from([None, "first_touch", "last_touch", "all_events", "step"]),
)  # fmt: skip
def test_steps(
    clickhouse: ModuleType,
    world: World,
    order: str,
    window: tuple[int, str],
    steps: tuple[str, ...],
    attribution: str | None,
) -> None:
    zone, _, begun, stream = world
    asked = context(store(stream), zone=zone)
    more: dict[str, Any] = {}
    if attribution is not None:
        more = {
            "breakdownFilter": {"breakdown": "plan", "breakdown_limit": 1},
            "funnelsFilter": {"breakdownAttributionType": attribution, "breakdownAttributionValue": 0},
        }
    node = asked_node(order, window, steps, begun, **more)
    runner = FunnelsRunner(node, asked)
    funnel = oracle(runner, order, window, steps)
    if attribution is not None:
        funnel = replace(funnel, breakdown=Divided(("plan",), attribution, limit=1))
    chains: dict[Any, list[Any]] = {}
    for (_, value), chain in answer(funnel, stream).items():
        chains.setdefault(value, []).append(chain)
    results = runner.run()["results"]
    found = {tuple(one[0]["breakdown_value"]): one for one in results} if attribution is not None else {None: results}
    assert set(found) == set(chains) if attribution is not None else set(found) >= set(chains)
    for value, items in found.items():
        check_steps(items, chains.get(value, []))
        for number in range(1, len(steps) + 1):
            actors = {"kind": "FunnelsActorsQuery", "source": node, "funnelStep": number}
            if value is not None:
                actors["funnelStepBreakdown"] = list(value)
            assert len(actor_rows(actors, asked, limit=100, offset=0).rows) == items[number - 1]["count"]


def check_steps(items: Any, chains: list[Any]) -> None:
    for number, item in enumerate(items):
        came = [times for steps, times in chains if steps > number]
        assert (item["count"], item["order"]) == (len(came), number)
        took = [(times[number] - times[number - 1]).total_seconds() for times in came] if number else []
        assert item["average_conversion_time"] == (pytest.approx(sum(took) / len(took), abs=1e-6) if took else None)
        assert item["median_conversion_time"] == (pytest.approx(median(took), abs=1e-6) if took else None)


@MANY
@given(world=places(), order=ORDERS, window=WINDOWS, bins=st.sampled_from([None, 1, 4]))
def test_time_to_convert(
    clickhouse: ModuleType, world: World, order: str, window: tuple[int, str], bins: int | None
) -> None:
    zone, _, begun, stream = world
    shown = {"funnelsFilter": {"funnelVizType": "time_to_convert", "binCount": bins}}
    runner = FunnelsRunner(asked_node(order, window, ("a", "b"), begun, **shown), context(store(stream), zone=zone))
    chains = answer(oracle(runner, order, window, ("a", "b")), stream)
    took = [(times[1] - times[0]).total_seconds() for steps, times in chains.values() if steps > 1]
    found = runner.run()["results"]
    if not took:
        assert found == {"bins": [], "average_conversion_time": None, "median_conversion_time": None}
        return
    assert found["average_conversion_time"] == pytest.approx(sum(took) / len(took), abs=1e-6)
    assert found["median_conversion_time"] == pytest.approx(median(took), abs=1e-6)
    low, high = math.floor(min(took)), math.ceil(max(took))
    count = bins or next(root for root in range(1, 61) if root**3 >= len(took))
    width = math.ceil((high - low) / count) or 60
    ends = [low + width * place for place in range(count + 1)]
    assert found["bins"] == [[end, sum(end <= math.floor(one) < end + width for one in took)] for end in ends]
    assert sum(number for _, number in found["bins"]) == len(took)


@MANY
@given(
    world=places(names=("a", "a", "b"), max_events=40), order=ORDERS, window=WINDOWS, week_start=st.sampled_from([0, 1])
)
def test_trends(clickhouse: ModuleType, world: World, order: str, window: tuple[int, str], week_start: int) -> None:
    zone, interval, begun, stream = world
    asked = context(store(stream), zone=zone, week_start=week_start)
    shown: dict[str, Any] = {"funnelsFilter": {"funnelVizType": "trends"}, "interval": interval}
    shown |= dated(begun, begun + timedelta(days=9))
    node = asked_node(order, window, ("a", "b"), begun, **shown)
    runner = FunnelsRunner(node, asked)
    (found,) = runner.run()["results"]
    funnel = oracle(runner, order, window, ("a", "b"))
    following = [span.start for span in runner.spans[1:]] + [runner.dates.until + timedelta(days=40)]
    rates = []
    for number, (span, end) in enumerate(zip(runner.spans, following, strict=True)):
        chains = answer(replace(funnel, entrance=(span.start, end)), stream)
        came, converted = len(chains), sum(steps > 1 for steps, _ in chains.values())
        rates.append(round(100 * converted / came, 2) if came else 0)
        if number < 6:
            for drop_off, expected in ((False, converted), (True, came - converted)):
                actors = {
                    "kind": "FunnelsActorsQuery", "source": node, "funnelTrendsDropOff": drop_off,
                    "funnelTrendsEntrancePeriodStart": span.start.isoformat(),
                }  # fmt: skip
                assert len(actor_rows(actors, asked, limit=100, offset=0).rows) == expected
    assert found["data"] == rates
    assert found["count"] == len(rates) == len(found["days"])
