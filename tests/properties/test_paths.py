"""Paths over random streams of events: parameters as on the wire, and the SQL gives what plain loops give."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from core.insights.parameters import Parameters
from core.insights.paths import read_path
from core.insights.project import InsightProject
from events.insights.paths import paths_page
from tests.support import funnel_oracle
from tests.support.event_streams import DISTINCT_IDS, Stream, store, streams
from tests.support.funnel_oracle import Divided, Funnel, Wanted
from tests.support.paths_oracle import Question, Step, actors, paths_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse"), pytest.mark.timeout(900)]

run = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
BEGIN = datetime(2024, 3, 28, tzinfo=UTC)
NOW = datetime(2024, 5, 1, tzinfo=UTC)
NAMES = ("$pageview", "$pageview", "$screen", "a", "b", "...", "$other")
URLS = ["/", "/a", "/a/", "/b", "/b//", "/c/1", "/c/22/", "/%_\\", "é/", '"\n😀/', "", None, 7, True]
RULES = [
    ("[0-9]+", "<id>"),
    ("^/(.)/.*", r"/\1"),
    ("/", "\\\\"),
    ("(a)|(b)", r"\2\1\0"),
    ("a", "b"),
    ("^$", "nothing"),
]
GROUPINGS = ["/c/*", "*2", "/", "%", "_", "a", "*", "\\", "/*/", "/a*/a"]

pages = st.fixed_dictionaries(
    {},
    optional={
        '"$current_url': st.just("/key"),
        "$set": st.just({"$current_url": "/nested", "$screen_name": "nested"}),
        "$current_url": st.sampled_from(URLS),
        "$screen_name": st.sampled_from(["home", "a", "/b/", None]),
        "$session_id": st.sampled_from(["s1", "s2"]),
        "$window_id": st.just("w"),
        "plan": st.sampled_from(["x", "y"]),
    },
)
items = st.sampled_from(["/", "/a", "/b", "/c/1", "a", "b", "home", "$screen", "$other", "<id>", "...", "é", "", "/a/"])
moments = st.integers(0, 30 * 24).map(lambda hours: BEGIN + timedelta(hours=hours))


def crowded(names: Sequence[str]) -> st.SearchStrategy[Stream]:
    """Draw streams in which few distinct ids have many events, half of them within some hours."""
    each = [streams(names=names, properties=pages, days=days) for days in (0, 0, 0, 10)]
    return st.builds(joined, *each).filter(lambda stream: len(stream.events) > 5)


def joined(first: Stream, *others: Stream) -> Stream:
    events = {one.uuid: one for stream in (first, *others) for one in stream.events}
    few = dict(zip(DISTINCT_IDS, (*DISTINCT_IDS[:2], *DISTINCT_IDS[:2], *DISTINCT_IDS[4:]), strict=True))
    kept = [replace(one, distinct_id=few[one.distinct_id]) for one in events.values()]
    return replace(
        first,
        events=tuple(one if one.distinct_id in first.reborn else replace(one, generation=0) for one in kept),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Draw everything but points and keys; one part is often left out, so that there are paths."""
    whole = Question(
        since=draw(st.sampled_from([BEGIN - timedelta(days=40), BEGIN - timedelta(days=40), None])) or draw(moments),
        until=draw(st.sampled_from([BEGIN + timedelta(days=80), BEGIN + timedelta(days=80), None])) or draw(moments),
        step_limit=draw(st.sampled_from([1, 2, 3, 4, 5, 5, 9])),
    )
    parts = draw(st.sets(st.sampled_from(["chosen", "excluded", "grouped", "cleaned"]), max_size=2))
    if "chosen" in parts:
        types = draw(st.lists(st.sampled_from(["$pageview", "$screen", "custom_event"]), max_size=3, unique=True))
        names = draw(st.lists(st.sampled_from(["a", "$pageview", "$other"]), max_size=2, unique=True))
        whole = replace(whole, include_event_types=types)
        whole = whole if "custom_event" in types else replace(whole, include_custom_events=names)
    if "excluded" in parts:
        excluded = st.sampled_from(["$pageview", "$screen", "a", "/a", "/c/1"])
        whole = replace(whole, exclude_events=draw(st.lists(excluded, max_size=2)))
    if "grouped" in parts:
        whole = replace(whole, path_groupings=draw(st.lists(st.sampled_from(GROUPINGS), max_size=2)))
    if "cleaned" in parts:
        whole = replace(whole, cleaning=draw(st.lists(st.sampled_from(RULES), max_size=3)))
    return whole


def all_paths(stream: Stream, question: Question) -> list[list[Step]]:
    return [path for actor, events in stream.by_actor().items() for path in paths_of(actor, events, question)]


def completed(data: st.DataObject, stream: Stream, question: Question) -> Question:
    """Draw points and keys, mostly such as there are."""
    longest = sorted(all_paths(stream, replace(question, step_limit=99)), key=len)[-1:]
    there = [step.item for path in longest for step in path if step.item]
    first, last = sorted(data.draw(st.tuples(st.integers(0, 8), st.integers(0, 8))))
    points = (there[first % len(there)], there[last % len(there)]) if there else (None, None)
    drawn = data.draw(st.sampled_from([(None, None), (None, None), (1, None), (None, 1), (1, 1), (2, 2)]))
    some_point = items.filter(bool)
    start, end = (
        None if how is None else there_point if how == 1 and there_point else data.draw(some_point)
        for how, there_point in zip(drawn, points, strict=True)
    )
    question = replace(question, start_point=start, end_point=end)
    keys = [[f"{place}_{step.item}" for place, step in enumerate(path, 1)] for path in all_paths(stream, question)]
    pairs, lasts = [pair for each in keys for pair in pairwise(each)], [each[-1] for each in keys]
    made = st.builds(lambda place, item: f"{place}_{item}", st.integers(0, 6), items)
    some = st.one_of(made, st.sampled_from(["x", "01_a", "1", "_a", "1_a"]))
    how = data.draw(st.sampled_from(["none", "pair", "pair", "start", "end", "last", "last", "any"]))
    if how == "any":
        start_key, end_key = data.draw(st.tuples(st.none() | some, st.none() | some))
        return replace(
            question, path_start_key=start_key, path_end_key=end_key, path_dropoff_key=data.draw(st.none() | some)
        )
    if how == "last" and lasts:
        return replace(
            question, path_dropoff_key=data.draw(st.sampled_from(lasts)), path_end_key=data.draw(st.none() | some)
        )
    if how in {"pair", "start", "end"} and pairs:
        start_key, end_key = data.draw(st.sampled_from(pairs))
        question = replace(question, path_start_key=start_key if how != "end" else None)
        return replace(question, path_end_key=end_key if how != "start" else None)
    return question


def wire(question: Question) -> dict[str, Any]:
    assert question.since
    assert question.until
    rules = [{"regex": pattern, "alias": alias} for pattern, alias in question.cleaning]
    names = (
        "include_event_types", "include_custom_events", "exclude_events", "start_point", "end_point", "step_limit",
        "path_groupings", "path_start_key", "path_end_key", "path_dropoff_key",
    )  # fmt: skip
    given = {name: list(value) if isinstance(value := getattr(question, name), tuple) else value for name in names}
    dates = {"date_from": question.since.isoformat(), "date_to": question.until.isoformat(), "explicit_date": True}
    return {**given, **dates, "path_replacements": True, "local_path_cleaning_filters": rules[1:]}


def answer(
    stream: Stream, question: Question, more: Mapping[str, Any] | None = None, zone: str = "UTC"
) -> dict[str, list[tuple[datetime, int, str]]]:
    rules = tuple({"regex": pattern, "alias": alias} for pattern, alias in question.cleaning[:1])
    project = InsightProject(team_id=store(stream), timezone=zone, path_cleaning_filters=rules)
    query = read_path(Parameters({**wire(question), **(more or {})}), project, now=NOW)
    rows = paths_page(query, limit=100, offset=0, recordings=True)
    assert [row.actor for row in rows] == sorted(row.actor for row in rows)
    assert paths_page(query, limit=1, offset=1) == [replace(row, events=()) for row in rows[1:2]]
    return {
        row.actor: [(one.timestamp.replace(tzinfo=UTC), one.uuid.int, one.session_id) for one in row.events]
        for row in rows
    }


def expected(stream: Stream, question: Question) -> dict[str, list[tuple[datetime, int, str]]]:
    return {
        actor: sorted((one.timestamp, one.uuid.int, str(one.properties.get("$session_id", ""))) for one in events)
        for actor, events in actors(stream, question).items()
    }


@run
@given(stream=crowded(NAMES), question=questions(), data=st.data())
def test_paths_are_those_of_plain_loops(stream: Stream, question: Question, data: st.DataObject) -> None:
    question = completed(data, stream, question)
    wanted = expected(stream, question)
    event(f"{len(wanted)} actors")
    assert answer(stream, question) == wanted


@st.composite
def funnels(draw: st.DrawFn) -> tuple[Funnel, int]:
    """Draw a funnel, and the `funnel_step` asked for."""
    steps = [Wanted(frozenset({name}), name) for name in draw(st.lists(st.sampled_from("aab"), min_size=1, max_size=3))]
    window = draw(st.sampled_from([(30, "minute"), (1, "hour"), (2, "day"), (1, "week"), (1, "month")]))
    order = draw(st.sampled_from(["ordered", "ordered", "strict", "unordered"]))
    numbers = [number for number in range(-len(steps), len(steps) + 1) if number not in (-1, 0)]
    plans = st.builds(Divided, keys=st.just(("plan",)), attribution=st.sampled_from(["first_touch", "all_events"]))
    funnel = Funnel(
        steps=tuple(steps),
        order=order,
        window=window,
        breakdown=draw(st.one_of(st.none(), st.none(), plans)),
        since=BEGIN - timedelta(days=40),
        until=BEGIN + timedelta(days=80),
        zone="Europe/Berlin",
    )
    return funnel, draw(st.sampled_from(numbers))


def funnel_wire(funnel: Funnel, number: int) -> dict[str, Any]:
    assert funnel.since
    assert funnel.until
    divided = funnel.breakdown
    return {
        "events": [{"id": step.id, "type": "events", "order": order} for order, step in enumerate(funnel.steps)],
        "funnel_order_type": funnel.order,
        "funnel_window_interval": funnel.window[0],
        "funnel_window_interval_unit": funnel.window[1],
        "funnel_viz_type": "trends",
        "funnel_step": number,
        "date_from": funnel.since.isoformat(),
        "date_to": funnel.until.isoformat(),
        "explicit_date": True,
        **({"breakdown": list(divided.keys), "breakdown_attribution_type": divided.attribution} if divided else {}),
    }


def stretches_of(
    stream: Stream, funnel: Funnel, number: int, part: str, *, open_end: bool
) -> dict[str, tuple[datetime | None, datetime | None]]:
    """Return from when to when the events of each funnel actor count (section 11, 10)."""
    chains: dict[str, list[tuple[int, list[datetime]]]] = {}
    for (actor, _), (steps, times) in funnel_oracle.answer(funnel, stream).items():
        chains.setdefault(actor, []).append((steps, times))
    found: dict[str, tuple[datetime | None, datetime | None]] = {}
    for actor, each in chains.items():
        steps, times = min(each, key=lambda chain: (-chain[0], chain[1][0]))
        if not (steps >= number if number > 0 else steps == -number - 1):
            continue
        at = abs(number) - (1 if number > 0 else 2)
        if part == "funnel_path_after_step":
            found[actor] = (times[at], None)
        elif part == "funnel_path_between_steps":
            found[actor] = (times[at - 1], times[at])
        else:
            found[actor] = (None, funnel_oracle.end_of_window(funnel, times[at]) if open_end else times[at])
    return found


@run
@given(
    stream=crowded(("a", "a", "b", "$pageview")),
    question=questions(),
    asked=funnels(),
    part=st.sampled_from(["funnel_path_before_step", "funnel_path_between_steps", "funnel_path_after_step"]),
    own_step=st.sampled_from([None, 1, -2]),
    data=st.data(),
)
def test_funnel_paths_are_those_of_plain_loops(
    stream: Stream, question: Question, asked: tuple[Funnel, int], part: str, own_step: int | None, data: st.DataObject
) -> None:
    funnel, number = asked
    if part == "funnel_path_between_steps" and number in (1, -2):
        part = "funnel_path_after_step"
    open_end = part == "funnel_path_before_step" and own_step == -2
    question = replace(
        question,
        stretches=stretches_of(stream, funnel, number, part, open_end=open_end),
        opens=lambda before, at: at >= funnel_oracle.end_of_window(funnel, before),
    )
    question = completed(data, stream, question)
    wanted = expected(stream, question)
    event(f"{len(wanted)} actors")
    more = {"funnel_paths": part, "funnel_filter": funnel_wire(funnel, number), "funnel_step": own_step}
    assert answer(stream, question, more, zone=funnel.zone) == wanted
