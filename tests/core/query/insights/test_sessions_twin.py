"""Breakdowns and filters by session over HTTP, against events that carry what their session should be."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.core.persons.conftest import Api
from tests.core.query.asking import answer, sent
from tests.core.query.insights.support import series
from tests.support.session_worlds import CANARY, KEYS, SINCE, UNTIL, Visit, stored, twin_key, visits

pytestmark = pytest.mark.usefixtures("clickhouse")
SOME = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DATES = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
OTHER = "$$_posthog_breakdown_other_$$"
TEXTS = st.sampled_from(["https://a.com/x", "/x", "/", "007", "7", "1", "true", "0", "news", ""])
FILTERS = st.one_of(
    st.fixed_dictionaries({"operator": st.sampled_from(["exact", "is_not"]), "value": TEXTS | st.lists(TEXTS)}),
    st.fixed_dictionaries(
        {"operator": st.sampled_from(["icontains", "not_icontains", "regex", "not_regex"]),
         "value": st.sampled_from(["a.com", "x", "7", "00", "^/", "$"])}
    ),
    st.fixed_dictionaries(
        {"operator": st.sampled_from(["gt", "lte"]), "value": st.sampled_from([0, 1, 9, 3600, 86_400])}
    ),
    st.fixed_dictionaries({"operator": st.just("between"), "value": st.just([1, 90_000])}),
    st.fixed_dictionaries({"operator": st.sampled_from(["is_set", "is_not_set"])}),
)  # fmt: skip
LONG = [
    Visit("s1", "order", "id 0", SINCE, None, None),
    Visit("s1", "order", "id 1", UNTIL, "https://a.com/x/", None),
    Visit("s1", "pay", "id 1", UNTIL.replace(day=2), "https://b.org/007", "news"),
]
# What lies more than a day beyond either end does not count.
FAR = [
    Visit("s1", "$pageview", "id 0", SINCE - timedelta(hours=25), "https://a.com/", None),
    Visit("s1", "order", "id 0", SINCE, "https://b.org/007", "007"),
    Visit("s1", "pay", "id 0", UNTIL + timedelta(hours=25), "https://a.com/x/", None),
]


def both(api: Api, kind: str, node: dict[str, Any], swapped: dict[str, Any]) -> list[Any]:
    """Return the results of two questions that should have the same; nothing of the stranger is in them."""
    first, second = (answer(api, kind, **one) for one in (node, swapped))
    assert CANARY not in str(first)
    assert first["results"] == second["results"]
    assert first.get("hasMore") == second.get("hasMore")
    found: list[Any] = first["results"]
    return found


def by_session(key: str, *, several: bool, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a breakdown by a property of sessions, and by its twin."""
    asked = ((key, "session"), (twin_key(key), "event"))
    if not several:
        first, second = ({"breakdown": name, "breakdown_type": kind, **more} for name, kind in asked)
        return first, second
    limit = {"breakdown_limit": more.pop("breakdown_limit")}
    own = {name.removeprefix("breakdown_"): value for name, value in more.items()}
    first, second = (
        {"breakdowns": [{"property": name, "type": kind, **own}, {"property": "who", "type": "event"}], **limit}
        for name, kind in asked
    )
    return first, second


@SOME
@given(
    found=visits(), key=st.sampled_from(KEYS), math=st.sampled_from(["total", "dau", "unique_session"]),
    total=st.booleans(), limit=st.integers(1, 4), several=st.booleans(), tidy=st.booleans(),
    bins=st.sampled_from([None, 2, 3]),
)  # fmt: skip
@example(found=LONG, key="$session_duration", math="total", total=False, limit=3, several=False, tidy=False, bins=None)
@example(found=LONG, key="$session_duration", math="total", total=False, limit=3, several=False, tidy=False, bins=2)
@example(found=LONG, key="$entry_current_url", math="dau", total=True, limit=3, several=True, tidy=True, bins=None)
@example(found=FAR, key="$entry_current_url", math="total", total=False, limit=3, several=False, tidy=False, bins=None)
@example(found=FAR, key="$end_current_url", math="total", total=False, limit=3, several=False, tidy=False, bins=None)
def test_trends_and_who_is_behind_them(
    api: Api,
    stranger: Api,
    found: list[Visit],
    *,
    key: str,
    math: str,
    total: bool,
    limit: int,
    several: bool,
    tidy: bool,
    bins: int | None,
) -> None:
    world = stored(found, team_id=api.team.id, stranger_id=stranger.team.id)
    # Cutting a text that is a number, such as 1.0, is for no one.
    more: dict[str, Any] = {"breakdown_limit": limit, "breakdown_normalize_url": tidy and "url" in key}
    if bins is not None and key in {"$session_duration", "$pageview_count"}:
        more = {"breakdown_limit": limit, "breakdown_histogram_bin_count": bins}
    own, twin = by_session(key, several=several, **more)
    node = {
        "series": series(world.order, math=math), **DATES,
        "trendsFilter": {"display": "BoldNumber" if total else "ActionsLineGraph"},
    }  # fmt: skip
    results = both(api, "TrendsQuery", {**node, "breakdownFilter": own}, {**node, "breakdownFilter": twin})
    source = {"kind": "TrendsQuery", **node}
    for item in results:
        if OTHER in item["breakdown_value"] and bins is not None:
            continue
        days = [None] if total else [day for day, number in zip(item["days"], item["data"], strict=True) if number]
        for day in days:
            point = {"breakdown": item["breakdown_value"], **({"day": day} if day else {})}
            rows = both(
                api, "InsightActorsQuery", {"source": {**source, "breakdownFilter": own}, **point},
                {"source": {**source, "breakdownFilter": twin}, **point},
            )  # fmt: skip
            number = item["aggregated_value"] if day is None else item["data"][item["days"].index(day)]
            if math != "unique_session":
                assert number == (sum(row[1] for row in rows) if math == "total" else len(rows))


@SOME
@given(
    found=visits(), key=st.sampled_from(KEYS), tidy=st.booleans(), several=st.booleans(), limit=st.integers(1, 3),
    attribution=st.sampled_from(["first_touch", "last_touch", "all_events", "step"]),
)  # fmt: skip
def test_funnels_and_who_is_behind_them(
    api: Api,
    stranger: Api,
    found: list[Visit],
    *,
    key: str,
    tidy: bool,
    several: bool,
    limit: int,
    attribution: str,
) -> None:
    world = stored(found, team_id=api.team.id, stranger_id=stranger.team.id)
    more: dict[str, Any] = {"breakdown_limit": limit, "breakdown_normalize_url": tidy and not several}
    node = {
        "series": series(world.order, world.pay), **DATES,
        "funnelsFilter": {"breakdownAttributionType": attribution, "breakdownAttributionValue": 0},
    }  # fmt: skip
    nodes = []
    for kind, names in (("session", [key, "$pageview_count"]), ("event", [f"text {key}", "text $pageview_count"])):
        by: dict[str, Any] = {"breakdown": names[0], "breakdown_type": kind}
        if several:
            by = {"breakdowns": [{"property": name, "type": kind} for name in names]}
        nodes.append({**node, "breakdownFilter": {**by, **more}})
    own, twin = nodes
    for steps in both(api, "FunnelsQuery", own, twin):
        for number, step in enumerate(steps, 1):
            point = {"funnelStep": number, "funnelStepBreakdown": step["breakdown_value"]}
            rows = both(
                api, "FunnelsActorsQuery", {"source": {"kind": "FunnelsQuery", **own}, **point},
                {"source": {"kind": "FunnelsQuery", **twin}, **point},
            )  # fmt: skip
            assert len(rows) == step["count"]


@SOME
@given(found=visits(), wanted=st.lists(st.tuples(st.sampled_from(KEYS), FILTERS), min_size=1, max_size=3),
       joined=st.sampled_from(["AND", "OR"]))  # fmt: skip
@example(found=FAR, wanted=[("$entry_utm_source", {"operator": "icontains", "value": "00"})], joined="AND")
@example(found=FAR, wanted=[("$end_current_url", {"operator": "exact", "value": "https://a.com/x/"})], joined="AND")
def test_filters(
    api: Api, stranger: Api, found: list[Visit], wanted: list[tuple[str, dict[str, Any]]], joined: str
) -> None:
    world = stored(found, team_id=api.team.id, stranger_id=stranger.team.id)
    own, twin = (
        {"type": joined, "values": [{"type": kind, "key": name(key), **asked} for key, asked in wanted]}
        for kind, name in (("session", str), ("event", twin_key))
    )
    node = {"series": series(world.order), **DATES, "trendsFilter": {"display": "BoldNumber"}}
    (count,) = both(api, "TrendsQuery", {**node, "properties": own}, {**node, "properties": twin})
    of_series = {**node, "series": series(world.order, properties=[own["values"][0]])}
    both(api, "TrendsQuery", of_series, {**node, "series": series(world.order, properties=[twin["values"][0]])})
    table = {
        "select": ["uuid"], "event": world.order, "orderBy": ["timestamp"],
        "after": "2024-04-30T23:59:59.999999Z", "before": "2024-05-04T00:00:00Z",
    }  # fmt: skip
    inside = {"dateRange": {"date_from": "2024-05-01T00:00:00Z", "date_to": "2024-05-04T00:00:00Z"}}
    query = "select uuid from events where event = {order} and {filters} order by timestamp"
    statement = {"query": query, "values": {"order": world.order}}
    rows = both(
        api, "HogQLQuery", {**statement, "filters": {**inside, "properties": own}},
        {**statement, "filters": {**inside, "properties": twin}},
    )  # fmt: skip
    assert len(rows) == count["aggregated_value"]
    assert both(api, "EventsQuery", {**table, "properties": own}, {**table, "properties": twin}) == rows


def test_the_stranger_sees_the_canary(api: Api, stranger: Api) -> None:
    """What the tests above look for is there to be found."""
    stored(LONG, team_id=api.team.id, stranger_id=stranger.team.id)
    node = {"series": series("$pageview"), **DATES,
            "breakdownFilter": {"breakdown": "$entry_current_url", "breakdown_type": "session"}}  # fmt: skip
    assert CANARY in sent(stranger, {"kind": "TrendsQuery", **node}).content.decode()
