"""PathsQuery against its oracle, and who is behind each edge."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query.runners.insights.actors import actor_rows
from core.query.runners.insights.paths import PathsRunner
from tests.core.query.insights.support import context
from tests.support.event_streams import Stream, StreamEvent, store, streams
from tests.support.paths_oracle import Question, Step, paths_of

pytestmark = pytest.mark.usefixtures("db", "clickhouse")
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BEGIN = datetime(2024, 3, 28, tzinfo=UTC)
SINCE, UNTIL = BEGIN - timedelta(days=40), BEGIN + timedelta(days=80)
PAGES = st.fixed_dictionaries({"$current_url": st.sampled_from(["/", "/a", "/a/", "/b"])})


@st.composite
def crowded(draw: st.DrawFn) -> Stream:
    """Draw a stream in which two persons have many events, most of them some minutes apart."""
    stream = draw(streams(max_events=1))
    moves = st.tuples(
        st.sampled_from(["$pageview", "$pageview", "a", "b", "c"]), PAGES, st.sampled_from(["id 0", "id 1", "id 1"]),
        st.sampled_from([0, 1, 7, 29, 29, 29, 29, 30]),
    )  # fmt: skip
    at, events = BEGIN, []
    drawn = draw(st.lists(moves, min_size=5, max_size=40))
    # ClickHouse keeps one of two events that have all in common but their time.
    uuids = draw(st.lists(st.uuids(), min_size=len(drawn), max_size=len(drawn), unique=True))
    for uuid, (name, properties, who, minutes) in zip(uuids, drawn, strict=True):
        at += timedelta(minutes=minutes)
        events.append(StreamEvent(uuid, name, who, at, properties))
    return replace(stream, events=tuple(events), moved={}, reborn=frozenset())


def moment(path: list[Step], place: int) -> datetime:
    event: StreamEvent | None = path[place].event
    # What is left out happens when the item before it did.
    return event.timestamp if event is not None else moment(path, place - 1)


@MANY
@given(
    stream=crowded(),
    limit=st.integers(2, 5),
    points=st.sampled_from([(None, None), ("/a", None), (None, "b"), ("/a", "b"), ("a", "/"), ("/", "a")]),
    edges=st.sampled_from([1000, 1000, 3]),
    least=st.sampled_from([None, 2]),
)
def test_edges(
    clickhouse: ModuleType,
    stream: Stream,
    limit: int,
    points: tuple[str | None, str | None],
    edges: int,
    least: int | None,
) -> None:
    start, end = points
    asked = context(store(stream))
    node: dict[str, Any] = {
        "kind": "PathsQuery",
        "dateRange": {"date_from": SINCE.isoformat(), "date_to": UNTIL.isoformat(), "explicitDate": True},
        "pathsFilter": {
            "stepLimit": limit, "startPoint": start, "endPoint": end, "edgeLimit": edges, "minEdgeWeight": least
        },
    }  # fmt: skip
    question = Question(since=SINCE, until=UNTIL, step_limit=limit, start_point=start, end_point=end)
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    people: dict[tuple[str, str], set[str]] = defaultdict(set)
    for actor, events in stream.by_actor().items():
        for path in paths_of(actor, events, question):
            for place, (one, other) in enumerate(pairwise(path)):
                edge = f"{place + 1}_{one.item}", f"{place + 2}_{other.item}"
                took[edge].append((moment(path, place + 1) - moment(path, place)).total_seconds() * 1000)
                people[edge].add(actor)
    found = PathsRunner(node, asked).run()["results"]
    shown = {(one["source"], one["target"]): one for one in found}
    assert len(shown) == len(found)
    heavy = {edge for edge, times in took.items() if len(times) >= (least or 1)}
    reached: set[str] = set()
    for place in range(1, limit + 1):
        reached |= {one for one, _ in heavy if one.startswith(f"{place}_") and (place == 1 or one in reached)}
        reached |= {other for one, other in heavy if one in reached and one.startswith(f"{place}_")}
    if edges == 1000:
        assert set(shown) == {edge for edge in heavy if edge[0] in reached}
    assert len(found) <= edges
    assert [one["value"] for one in found] == sorted((one["value"] for one in found), reverse=True)
    for edge, one in shown.items():
        assert one["value"] == len(took[edge])
        assert one["average_conversion_time"] == pytest.approx(sum(took[edge]) / len(took[edge]), abs=1e-3)
        keyed = {**node, "pathsFilter": {**node["pathsFilter"], "pathStartKey": edge[0], "pathEndKey": edge[1]}}
        rows = actor_rows({"kind": "InsightActorsQuery", "source": keyed}, asked).rows
        assert {row.actor for row in rows} == people[edge]
