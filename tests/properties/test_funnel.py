"""Funnels over random streams of events: the SQL gives what plain loops give."""
# ruff: noqa: S608 values are bound

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from events.filters.grammar import Filter, read_filters
from events.insights.entities import Entity, EventMatch
from events.insights.funnel import (
    Breakdown,
    Entrance,
    Exclusion,
    FunnelQuery,
    Reached,
    Window,
    funnel_page,
    funnel_sql,
)
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.support.event_streams import DISTANCES, DISTINCT_IDS, PERSONS, TICK, Stream, StreamEvent, store, streams
from tests.support.funnel_oracle import Divided, Funnel, Value, Wanted, answer, end_of_window, matched, starts_of

pytestmark = [pytest.mark.usefixtures("clickhouse"), pytest.mark.timeout(900)]

run = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]
UNITS = {"minute": [0, 1, 30], "hour": [1, 24, 47], "day": [1, 3, 14], "week": [1, 2], "month": [1, 2]}
ACTIONS: dict[int, frozenset[str]] = {1: frozenset("ab"), 2: frozenset()}
# Soon after it the clocks of Berlin change, and a month later is shorter.
SPRING = datetime(2024, 3, 28, tzinfo=UTC)
# One or two months later are the end of February and the day whose clocks change.
WINTER = datetime(2024, 1, 28, tzinfo=UTC)

properties = st.fixed_dictionaries(
    {},
    optional={
        "plan": st.sampled_from(["x", "x", "y/", "y", "", None, 1, True, "é'\\"]),
        "tier": st.sampled_from(["1", "2", "/?#"]),
        "$group_0": st.sampled_from(["acme", "née", ""]),
    },
)
conditions = st.sampled_from(
    [
        frozenset[tuple[str, str]](),
        frozenset(),
        frozenset(),
        frozenset({("plan", "x")}),
        frozenset({("plan", "x"), ("tier", "1")}),
    ]
)


def wanted(names: str = "aaabbc*12") -> st.SearchStrategy[Wanted]:
    """Draw a step: an event's name, `*` for any, or the number of an action."""

    def made(name: str, asked: frozenset[tuple[str, str]]) -> Wanted:
        if name == "*":
            return Wanted(None, None, asked)
        return Wanted(ACTIONS[int(name)], int(name), asked) if name.isdigit() else Wanted(frozenset(name), name, asked)

    return st.builds(made, st.sampled_from(names), conditions)


@st.composite
def funnels(draw: st.DrawFn, order: str, begin: datetime, *, breakdown: bool = False, entrance: bool = False) -> Funnel:
    simple = st.tuples(*(st.just(Wanted(frozenset(name), name)) for name in "abc"))
    plain = st.sampled_from("aab").map(lambda name: Wanted(frozenset(name), name))
    lists = [st.lists(one, min_size=1, max_size=4).map(tuple) for one in (plain, wanted())]
    steps = draw(st.one_of(simple, *lists))
    unit = draw(st.sampled_from(sorted(UNITS)))
    exclusions = ()
    if len(steps) > 1 and order != "strict":
        ranges = [(one, two) for two in range(1, len(steps)) for one in range(two)]
        between = st.sampled_from(ranges) if order == "ordered" else st.just((0, len(steps) - 1))
        pairs = draw(st.lists(st.tuples(wanted("ccdda"), between), max_size=2))
        exclusions = tuple((entity, *places) for entity, places in pairs)
    since = st.integers(-2, 5).map(lambda days: begin + timedelta(days=days))
    until = st.integers(5, 40).map(lambda days: begin + timedelta(days=days))
    zone = draw(st.sampled_from(ZONES))
    return Funnel(
        steps=steps,
        order=order,
        window=(draw(st.sampled_from(UNITS[unit])), unit),
        exclusions=exclusions,
        breakdown=draw(divisions(len(steps))) if breakdown else None,
        entrance=draw(entrances(zone, begin)) if entrance else None,
        since=draw(st.one_of(st.none(), since)),
        until=draw(st.one_of(st.none(), until)),
        zone=zone,
        everything=draw(st.sampled_from([*[frozenset[tuple[str, str]]()] * 3, frozenset({("plan", "x")})])),
        group=draw(st.sampled_from([None, None, None, "$group_0"])),
    )


@st.composite
def divisions(draw: st.DrawFn, steps: int) -> Divided:
    return Divided(
        keys=draw(st.sampled_from([("plan",), ("plan",), ("plan", "tier"), ("tier",)])),
        attribution=draw(st.sampled_from(["first_touch", "last_touch", "all_events", "step"])),
        of_person=draw(st.booleans()),
        step=draw(st.integers(0, steps - 1)),
        limit=draw(st.sampled_from([1, 2, 25])),
        urls=draw(st.booleans()),
    )


@st.composite
def entrances(draw: st.DrawFn, zone: str, begin: datetime) -> tuple[datetime, datetime]:
    """Draw a day of a zone."""
    day = (begin + timedelta(days=draw(st.integers(0, 12)))).date()
    edges = [datetime(one.year, one.month, one.day, tzinfo=ZoneInfo(zone)) for one in (day, day + timedelta(days=1))]
    return edges[0].astimezone(UTC), edges[1].astimezone(UTC)


def asked(properties: frozenset[tuple[str, str]]) -> Filter | None:
    return read_filters([{"key": key, "value": text} for key, text in sorted(properties)], scope="event")


def entity(step: Wanted) -> Entity:
    names: list[str | None] = [None] if step.names is None else sorted(step.names)
    return Entity(
        type="actions" if isinstance(step.id, int) else "events",
        id=step.id,
        matches=tuple(EventMatch(name) for name in names),
        filter=asked(step.properties),
    )


def query_of(funnel: Funnel, team_id: int) -> FunnelQuery:
    given: Divided | None = funnel.breakdown
    entrance = funnel.entrance
    count, unit = funnel.window
    return FunnelQuery(
        scope=EventScope(
            team_id=team_id,
            since=funnel.since,
            until=funnel.until,
            timezone=funnel.zone,
            filter=asked(funnel.everything),
            group_type_index=None if funnel.group is None else 0,
        ),
        steps=tuple(map(entity, funnel.steps)),
        order=funnel.order,  # type: ignore[arg-type]
        window=Window(count, unit),  # type: ignore[arg-type]
        exclusions=tuple(Exclusion(entity(one), begin, end) for one, begin, end in funnel.exclusions),
        breakdown=None
        if given is None
        else Breakdown(
            type="person" if given.of_person else "event",
            keys=given.keys,
            attribution=given.attribution,  # type: ignore[arg-type]
            step=given.step,
            limit=given.limit,
            normalize_url=given.urls,
        ),
        entrance=None if entrance is None else Entrance(entrance[0], "day"),
    )


def found(query: FunnelQuery) -> dict[tuple[str, Value], tuple[int, list[datetime]]]:
    statement = Statement()
    sql = funnel_sql(query, Source(query.scope, statement))
    value = ", value" if query.breakdown is not None else ", NULL"
    rows = statement.rows(f"SELECT toString(actor), steps, times{value} FROM ({sql})")
    answers = {
        (actor, None if own is None else tuple(own)): (steps, [time.replace(tzinfo=UTC) for time in times])
        for actor, steps, times, own in rows
    }
    assert len(answers) == len(rows)
    return answers


ORDERS = ("ordered", "strict", "unordered")


@st.composite
def cases(draw: st.DrawFn, *orders: str, breakdown: bool = False, entrance: bool = False) -> tuple[Stream, Funnel]:
    """Draw a funnel and a stream on its days: a wide one, or (more telling) one person's few events at few moments."""
    begin = draw(st.sampled_from([SPRING, WINTER]))
    funnel = draw(funnels(draw(st.sampled_from(orders)), begin, breakdown=breakdown, entrance=entrance))
    if draw(st.integers(0, 2)):
        stream = draw(crowds(funnel, begin))
    else:
        names = ("a", "a", "b", "c", "d")
        stream = draw(streams(names=names, properties=properties, person_properties=properties, begin=begin))
    return stream, draw(with_exact_window(stream, funnel))


@st.composite
def crowds(draw: st.DrawFn, funnel: Funnel, begin: datetime) -> Stream:
    """Draw a chain of the funnel's steps and a few events more, often at one moment or just a window apart."""
    base = begin + timedelta(hours=draw(st.integers(0, 90)), minutes=draw(st.sampled_from([0, 30])))
    if funnel.window[1] == "month":
        ends = [end_of_window(replace(funnel, window=(count, "month")), base) for count in (1, 2)]
        moments = [base, *(end + TICK * tick for end in ends for tick in (-1, 0, 1))]
    else:
        unit = draw(st.sampled_from(DISTANCES[1:]))
        moments = [base + unit * place for place in range(6)]
    rest = sorted(draw(st.sampled_from(moments)) for _ in funnel.steps[1:])
    entities = [*funnel.steps, *(entity for entity, _, _ in funnel.exclusions)]
    noise = draw(st.lists(st.tuples(st.sampled_from(entities), st.sampled_from(moments)), max_size=4))
    chosen = [*zip(funnel.steps, [base, *rest], strict=True), *noise]
    # Most are what their entity asks for.
    everything = st.just({"plan": "x", "tier": "1", "$group_0": "acme"})
    given = st.one_of(properties, everything, properties if funnel.breakdown is not None else everything)
    # ClickHouse keeps one of two events that have all in common but their time.
    uuids = draw(st.lists(st.uuids(), min_size=len(chosen), max_size=len(chosen), unique=True))
    events = tuple(
        StreamEvent(
            uuid=uuid,
            event=draw(st.sampled_from([*sorted(entity.names or "d") * 9, "d"])),
            distinct_id=draw(st.sampled_from(DISTINCT_IDS[:2])),
            timestamp=moment,
            properties=draw(given),
        )
        for uuid, (entity, moment) in zip(uuids, chosen, strict=True)
    )
    return Stream(
        events=events,
        moved=dict.fromkeys(DISTINCT_IDS, PERSONS[0]),
        reborn=frozenset(),
        created_at=dict.fromkeys(PERSONS, begin),
        person_properties={person: draw(properties) for person in PERSONS},
    )


def with_exact_window(stream: Stream, funnel: Funnel) -> st.SearchStrategy[Funnel]:
    """Draw the funnel as it is, or with a window that is just long enough for the shortest of somebody's chains."""
    endless = replace(funnel, window=(4000, "day"))
    minute = timedelta(minutes=1)
    exact: set[int] = set()
    for starts in starts_of(endless, stream).values():
        longest = max((len(start.times) for start in starts), default=0)
        lengths = [start.times[-1] - start.moment for start in starts if len(start.times) == longest > 1]
        exact |= {length // minute for length in lengths if length == min(lengths) and not length % minute}
    windows = [funnel.window, *((count, "minute") for count in sorted(exact))]
    return st.sampled_from(windows).map(lambda window: replace(funnel, window=window))


def holds(stream: Stream, funnel: Funnel) -> None:
    expected = answer(funnel, stream)
    event(f"{max((steps for steps, _ in expected.values()), default=0)} steps reached of {len(funnel.steps)}")
    assert found(query_of(funnel, store(stream))) == expected


@run
@given(cases("ordered"))
def test_ordered_funnels(case: tuple[Stream, Funnel]) -> None:
    holds(*case)


@run
@given(cases("strict"))
def test_strict_funnels(case: tuple[Stream, Funnel]) -> None:
    holds(*case)


@run
@given(cases("unordered"))
def test_unordered_funnels(case: tuple[Stream, Funnel]) -> None:
    holds(*case)


@settings(run, max_examples=300)
@given(cases(*ORDERS, breakdown=True))
def test_breakdowns(case: tuple[Stream, Funnel]) -> None:
    holds(*case)


@run
@given(cases(*ORDERS, entrance=True))
def test_starts_of_one_day(case: tuple[Stream, Funnel]) -> None:
    holds(*case)


@run
@given(
    st.sampled_from(ORDERS),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2023, 1, 1), datetime(2024, 12, 31)),  # noqa: DTZ001 of the zone
    st.sampled_from([1, 2, 3, 12]),
    st.sampled_from([-1, 0, 1]),
)
def test_months_of_the_calendar(order: str, zone: str, local: datetime, count: int, ticks: int) -> None:
    """A start at any hour of the zone, and the next step just at the end of the window or beside it."""
    begin = local.replace(minute=30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    steps = tuple(Wanted(frozenset(name), name) for name in "ab")
    funnel = Funnel(steps=steps, order=order, window=(count, "month"), zone=zone)
    moments = {"a": begin, "b": end_of_window(funnel, begin) + TICK * ticks}
    events = [StreamEvent(uuid4(), name, DISTINCT_IDS[0], moment) for name, moment in moments.items()]
    holds(Stream(tuple(events), {}, frozenset(), {}), funnel)


def reaches(which: Reached) -> Callable[[int], bool]:
    if which.custom is not None:
        return which.custom.__contains__
    return lambda steps: which.least <= steps and (which.most is None or steps <= which.most)


@run
@given(
    cases(*ORDERS),
    st.one_of(
        st.sampled_from([-4, -3, -2, 0, 1, 2, 3]).map(Reached.step),
        st.frozensets(st.integers(0, 5)).map(Reached.steps),
        st.builds(Reached.between, st.just(0), st.integers(1, 3), drop_off=st.booleans()),
        st.builds(Reached, least=st.integers(1, 3)),
    ),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_pages_and_matched_events(case: tuple[Stream, Funnel], which: Reached, limit: int, offset: int) -> None:
    stream, funnel = case
    reached = reaches(which)
    actors = {actor for (actor, _), (steps, _) in answer(funnel, stream).items() if reached(steps)}
    rows = funnel_page(query_of(funnel, store(stream)), which, limit=limit, offset=offset, recordings=True)
    assert [row.actor for row in rows] == sorted(actors, key=str.encode)[offset : offset + limit]
    events = matched(funnel, stream, reached, which.matched) if funnel.order != "unordered" else {}
    for row in rows:
        assert [(one.timestamp.replace(tzinfo=UTC), one.uuid.int) for one in row.events] == events.get(row.actor, [])
