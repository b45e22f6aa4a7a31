"""Correlations over random streams of events: the SQL gives what plain loops give."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from events.insights.correlation import Correlation, correlation_page
from events.insights.funnel import Reached
from tests.properties.test_funnel import SPRING, WINTER, entity, funnels, properties, query_of, reaches, run, wanted
from tests.support.correlation_oracle import Correlated, actors, final_events
from tests.support.event_streams import DISTINCT_IDS, Stream, store, streams
from tests.support.funnel_oracle import Funnel, Wanted

pytestmark = [pytest.mark.usefixtures("clickhouse"), pytest.mark.timeout(900)]

type Converted = bool | None

STEPS = st.one_of(
    *[st.just(Reached.step(1))] * 4,
    st.sampled_from([-3, -2, 0, 2, 3]).map(Reached.step),
    st.frozensets(st.integers(0, 4)).map(Reached.steps),
)
CONVERTED = st.sampled_from([None, None, None, None, True, False])
ANYTHING = st.one_of(st.just(Wanted(None, None)), st.just(Wanted(frozenset("d"), "d")), wanted("cddddd***12"))


def joined(parts: tuple[Stream, ...]) -> Stream:
    """Return the events of several streams under few distinct ids of the first: more of them meet."""
    first = parts[0]
    events = {}
    for one in (one for part in parts for one in part.events):
        distinct_id = DISTINCT_IDS[DISTINCT_IDS.index(one.distinct_id) % 3]
        generation = one.generation if distinct_id in first.reborn else 0
        events[one.uuid] = replace(one, distinct_id=distinct_id, generation=generation)
    return replace(first, events=tuple(events.values()))


def crowds(begin: datetime) -> st.SearchStrategy[Stream]:
    one = streams(names=("a", "a", "b", "c", "d"), properties=properties, person_properties=properties, begin=begin)
    return st.tuples(*[one] * 5).map(joined)


@st.composite
def travels(draw: st.DrawFn) -> tuple[Stream, Funnel]:
    """Draw a stream, and any funnel over its days or one that many enter."""
    order = draw(st.sampled_from(["ordered", "ordered", "strict", "unordered"]))
    begin = draw(st.sampled_from([SPRING, WINTER]))
    stream = draw(crowds(begin))
    funnel = draw(funnels(order, begin, breakdown=draw(st.booleans())))
    if draw(st.integers(0, 5)) == 0:
        return stream, funnel
    names = draw(st.sampled_from(["ab", "ab", "abb", "aa", "bc", "ba"]))
    return stream, replace(
        funnel,
        steps=tuple(Wanted(frozenset(name), name) for name in names),
        window=draw(st.sampled_from([(2, "month"), (14, "day"), (2, "month"), (3, "day"), (1, "hour")])),
        exclusions=(),
        breakdown=None if funnel.breakdown is None else replace(funnel.breakdown, step=0),
        since=None,
        until=draw(st.sampled_from([None, None, funnel.until])),
        everything=frozenset(),
        group=draw(st.sampled_from([None, None, None, funnel.group])),
    )


@run
@given(
    travels(),
    STEPS,
    ANYTHING,
    CONVERTED,
)
def test_who_did_an_event_on_the_way(
    case: tuple[Stream, Funnel], which: Reached, did: Wanted, converted: Converted
) -> None:
    stream, funnel = case
    asked = Correlated(funnel, reaches(which), did, converted)
    expected = actors(asked, stream)
    event("somebody" if expected else "nobody")
    query = Correlation(query_of(funnel, store(stream)), which, entity(did), converted)
    assert [row.actor for row in correlation_page(query, limit=100, offset=0)] == expected


@run
@given(travels(), STEPS, CONVERTED)
def test_who_travelled_at_all(case: tuple[Stream, Funnel], which: Reached, converted: Converted) -> None:
    stream, funnel = case
    asked = Correlated(funnel, reaches(which), None, converted)
    expected = actors(asked, stream)
    event("somebody" if expected else "nobody")
    query = Correlation(query_of(funnel, store(stream)), which, None, converted)
    assert [row.actor for row in correlation_page(query, limit=100, offset=0)] == expected


@run
@given(
    travels(),
    st.one_of(st.none(), ANYTHING),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_pages_and_final_events(case: tuple[Stream, Funnel], did: Wanted | None, limit: int, offset: int) -> None:
    which = Reached.step(1)
    stream, funnel = case
    asked = Correlated(funnel, reaches(which), did)
    query = Correlation(query_of(funnel, store(stream)), which, None if did is None else entity(did))
    rows = correlation_page(query, limit=limit, offset=offset, recordings=True)
    assert [row.actor for row in rows] == actors(asked, stream)[offset : offset + limit]
    expected = {} if funnel.order == "unordered" else final_events(asked, stream)
    event("with events" if any(row.events for row in rows) else "without events")
    for row in rows:
        found = [(one.timestamp.replace(tzinfo=UTC), one.uuid.int) for one in row.events]
        assert found == expected.get(row.actor, [])
