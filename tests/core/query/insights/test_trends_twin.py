"""TrendsQuery against a slow twin, and against the actors that persons/trends lists for every data point."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.insights.parameters import Parameters
from core.insights.trends import read_trends
from core.query.runners.insights.trends import TrendsRunner
from events.insights.trends import trends_page
from tests.core.query.insights.support import context, dated, series
from tests.support.calendar_streams import places
from tests.support.event_streams import Stream, StreamEvent, store
from tests.support.trends_oracle import days_earlier, value_of

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
MANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NULL, OTHER = "$$_posthog_breakdown_null_$$", "$$_posthog_breakdown_other_$$"
PLANS = st.sampled_from([None, "", "pro", "1.0", 1, "free", True, "basic"])
MATHS = ("total", "dau", "unique_session", "sum", "avg", "p90", "avg_count_per_actor", "max_count_per_actor",
         "weekly_active", "monthly_active")  # fmt: skip
# Where there is most to be wrong, most is tried.
SHOWN = (*((math, False) for math in MATHS), *[("dau", True)] * 5, ("total", True), *[("weekly_active", False)] * 3)

FEWER = settings(MANY, max_examples=30)

type Events = Sequence[tuple[str, StreamEvent]]


def properties() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "plan": PLANS,
            "amount": st.sampled_from([None, 1, 2.5, "7", "much", -4]),
            "$session_id": st.sampled_from(["", "s1", "s2"]),
        }
    )


def twin(events: Events, math: str) -> float:
    """Return what some events come to."""
    if math == "total":
        return len(events)
    if math in {"dau", "weekly_active", "monthly_active"}:
        return len({actor for actor, _ in events})
    if math == "unique_session":
        return len({event.properties["$session_id"] for _, event in events} - {""})
    if math.endswith("_per_actor"):
        counts: dict[str, int] = defaultdict(int)
        for actor, _ in events:
            counts[actor] += 1
        name = math.removesuffix("_count_per_actor")
        return value_of(list(counts.values()), name) or 0
    return value_of([event.properties["amount"] for _, event in events], math) or 0


def considered(stream: Stream, names: set[str]) -> Events:
    return [(actor, one) for actor, events in stream.by_actor().items() for one in events if one.event in names]


def plan_of(event: StreamEvent) -> str:
    plan = event.properties["plan"]
    if isinstance(plan, bool):
        return "true"
    # What equal texts and numbers are.
    return NULL if plan in (None, "") else {"1.0": "1", "1": "1"}.get(str(plan), str(plan))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[str, str, datetime, Stream]:
    return draw(places(properties=properties(), names=("a", "a", "b"), max_events=40))


@MANY
@given(
    world=worlds(),
    shown=st.sampled_from(SHOWN),
    week_start=st.sampled_from([0, 1]),
    length=st.integers(0, 20),
)
def test_every_data_point(
    clickhouse: ModuleType,
    world: tuple[str, str, datetime, Stream],
    shown: tuple[str, bool],
    week_start: int,
    length: int,
) -> None:
    zone, interval, begun, stream = world
    math, cumulative = shown
    team_id = store(stream)
    since, until = begun, begun + timedelta(days=length)
    node = {
        "kind": "TrendsQuery", "interval": interval, **dated(since, until),
        "series": series("a", math=math, math_property="amount"),
        "trendsFilter": {"display": "ActionsLineGraphCumulative" if cumulative else "ActionsLineGraph"},
    }  # fmt: skip
    runner = TrendsRunner(node, context(team_id, zone=zone, week_start=week_start))
    (found,) = runner.run()["results"]
    expected = expected_points(
        runner, considered(stream, {"a"}), math, interval, zone, week_start, cumulative=cumulative
    )
    assert found["data"] == pytest.approx(expected)
    assert found["count"] == pytest.approx(expected[-1] if cumulative else sum(expected))
    assert len(found["days"]) == len(found["labels"]) == len(found["data"])


def expected_points(
    runner: TrendsRunner, events: Events, math: str, interval: str, zone: str, week_start: int, *, cumulative: bool
) -> list[float]:
    spans = runner.variants[0].spans
    counted = []
    back = {"weekly_active": 6, "monthly_active": 29}.get(math, 0)
    if (math, interval) in {("weekly_active", "week"), ("weekly_active", "month"), ("monthly_active", "month")}:
        back = 0
    for span in spans:
        first = span.since if not back else days_earlier(span.since, back, zone)
        counted.append([one for one in events if first <= one[1].timestamp <= span.until])
    if not cumulative:
        return [twin(some, math) for some in counted]
    # The same actors, once, for those that are counted at all; running totals of everything else.
    if math == "dau" or (math in {"weekly_active", "monthly_active"} and not back):
        return [len({actor for some in counted[: place + 1] for actor, _ in some}) for place in range(len(counted))]
    totals = [twin(some, math) for some in counted]
    return [sum(totals[: place + 1]) for place in range(len(totals))]


@FEWER
@given(world=worlds(), math=st.sampled_from(MATHS), total=st.booleans(), limit=st.integers(1, 3))
def test_breakdowns(
    clickhouse: ModuleType, world: tuple[str, str, datetime, Stream], math: str, limit: int, *, total: bool
) -> None:
    zone, interval, begun, stream = world
    team_id = store(stream)
    node = {
        "kind": "TrendsQuery", "interval": interval, **dated(begun, begun + timedelta(days=12)),
        "series": series(None, math=math, math_property="amount"),
        "trendsFilter": {"display": "BoldNumber" if total else "ActionsLineGraph"},
        "breakdownFilter": {"breakdown": "plan", "breakdown_limit": limit},
    }  # fmt: skip
    runner = TrendsRunner(node, context(team_id, zone=zone))
    answer = runner.run()
    spans = runner.variants[0].spans
    back = {"weekly_active": 6, "monthly_active": 29}.get(math, 0)
    if not total and (math, interval) in {
        ("weekly_active", "week"),
        ("weekly_active", "month"),
        ("monthly_active", "month"),
    }:
        back = 0
    events = considered(stream, {"a", "b", "c"})
    reach = [(days_earlier(one.since, back, zone) if back else one.since, one.until) for one in spans]
    if total:
        reach = [reach[-1]] if back else [(spans[0].since, spans[-1].until)]
    inside = [one for one in events if reach[0][0] <= one[1].timestamp <= reach[-1][1]]
    counts: dict[str, int] = defaultdict(int)
    for _, event in inside:
        counts[plan_of(event)] += 1
    ranked = sorted((value for value in counts if value != NULL), key=lambda value: (-counts[value], value))
    stays = {*ranked[:limit], NULL}

    def shown(event: StreamEvent) -> str:
        return plan_of(event) if plan_of(event) in stays else OTHER

    expected = {
        value: [
            twin([one for one in inside if shown(one[1]) == value and first <= one[1].timestamp <= last], math)
            for first, last in reach
        ]
        for value in {shown(event) for _, event in inside}
    }
    found = {one["breakdown_value"]: [one["aggregated_value"]] if total else one["data"] for one in answer["results"]}
    assert set(found) == set(expected)
    for value, numbers in expected.items():
        assert found[value] == pytest.approx(numbers)
    assert answer["hasMore"] is (OTHER in expected)
    values = [one["breakdown_value"] for one in answer["results"]]
    assert values[len(values) - len({NULL, OTHER} & set(values)) :] == [v for v in (NULL, OTHER) if v in values]
    assert all(one["label"] == one["breakdown_value"] for one in answer["results"])


@FEWER
@given(world=worlds(), math=st.sampled_from(["total", "dau", "weekly_active"]), broken=st.booleans())
def test_who_is_behind_a_data_point(
    clickhouse: ModuleType, world: tuple[str, str, datetime, Stream], math: str, *, broken: bool
) -> None:
    """persons/trends lists as many actors as a data point of actors counts, whose values add up to one of events."""
    zone, interval, begun, stream = world
    team_id = store(stream)
    node = {
        "kind": "TrendsQuery", "interval": interval, **dated(begun, begun + timedelta(days=6)),
        "series": series("a", math=math),
    }  # fmt: skip
    if broken:
        node["breakdownFilter"] = {"breakdown": "plan"}
    asked = context(team_id, zone=zone)
    runner = TrendsRunner(node, asked)
    spans = runner.variants[0].spans
    for item in runner.run()["results"]:
        for span, found in zip(spans, item["data"], strict=True):
            params = {
                "events": [{"id": "a", "math": math}], "entity_order": 0, "explicit_date": True,
                "date_from": span.since.isoformat(), "date_to": span.until.isoformat(),
            }  # fmt: skip
            if broken:
                params |= {"breakdown": "plan", "breakdown_value": item["breakdown_value"]}
            if math == "weekly_active" and interval in {"week", "month"}:
                params["events"] = [{"id": "a", "math": "dau"}]
            rows = trends_page(read_trends(Parameters(params), asked.project, now=asked.now), limit=100, offset=0)
            assert found == (sum(row.value or 0 for row in rows) if math == "total" else len(rows))
