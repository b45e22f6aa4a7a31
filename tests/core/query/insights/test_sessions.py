"""Properties of sessions in breakdowns and filters: HogQL's values, what is refused, and how little is read."""

# ruff: noqa: S608 values are bound

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from events.filters.grammar import read_filters
from events.hogql.context import Context
from events.hogql.tables.sessions import SESSIONS
from events.insights.breakdowns import Dimension, Values, columns_of, valued
from events.insights.entities import Entity, EventMatch
from events.insights.funnel_query import Breakdown, FunnelQuery
from events.insights.funnel_series import funnel_sql
from events.insights.source import EventScope, Source
from events.insights.statement import Statement
from tests.core.insights.asking import Capture, configure
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, column, refusal
from tests.core.query.insights.support import series
from tests.events.hogql.tables import reading

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-03"}}
NULL = "$$_posthog_breakdown_null_$$"
KEYS = [name for name, field in SESSIONS.fields(Context(team_id=0)) if field.type.kind != "Array"]
ROWS = 200_000
GRANULE = 8192


@pytest.fixture
def visits(capture: Capture) -> None:
    """Ann comes by a search and orders, Ben by a campaign and leaves, Cem's order is of no session."""
    search = {"$session_id": "0190a000-0000-7000-8000-000000000001"}
    campaign = {"$session_id": "s2"}
    first = {**search, "$current_url": "https://shop.com/start", "$referring_domain": "www.google.com"}
    capture("ann", "$pageview", timestamp=NOON, properties=first)
    capture("ann", "order", timestamp=NOON + 61 * timedelta(seconds=1), properties=search)
    capture("ann", "order", timestamp=NOON + HOUR, properties={**search, "$current_url": "https://shop.com/paid"})
    came = {"$current_url": "https://shop.com/sale?utm_source=news", "utm_source": "news", "utm_medium": "email"}
    capture("ben", "order", timestamp=NOON + DAY, properties={**campaign, **came, "$web_vitals_LCP_value": 12.5})
    capture("cem", "order", timestamp=NOON + HOUR)


def counts(api: Api, by: dict[str, Any], **node: Any) -> dict[Any, float]:
    found = answer(api, "TrendsQuery", **{"series": series("order"), **MAY, **node}, breakdownFilter=by)["results"]
    return {str(one.get("breakdown_value")): one["count"] for one in found}


@pytest.mark.parametrize("key", KEYS)
def test_every_property_has_the_values_that_hogql_gives(api: Api, visits: None, key: str) -> None:
    query = f"""select toString(session.`{key}`) as value, count() from events
        where event = 'order' and timestamp >= '2024-05-01' and timestamp < '2024-05-04' group by value"""
    rows = answer(api, "HogQLQuery", query=query)["results"]
    assert counts(api, {"breakdown": key, "breakdown_type": "session"}) == {
        value or NULL: count for value, count in rows
    }
    funnel = answer(
        api, "FunnelsQuery", series=series("order"), **MAY,
        breakdownFilter={"breakdown": key, "breakdown_type": "session"},
        funnelsFilter={"breakdownAttributionType": "all_events"},
    )["results"]  # fmt: skip
    assert {steps[0]["breakdown_value"][0] for steps in funnel} == {value or "" for value, _ in rows}
    for value, count in rows:
        if value:
            wanted = [{"type": "session", "key": key, "value": value}]
            table = answer(api, "EventsQuery", select=["uuid"], event="order", after="all", properties=wanted)
            assert len(table["results"]) == count


def test_bins_of_durations(api: Api, visits: None) -> None:
    by = {"breakdown": "$session_duration", "breakdown_type": "session", "breakdown_histogram_bin_count": 2}
    assert counts(api, by) == {"[0.0,3600.01]": 3, NULL: 1}
    several = {"breakdowns": [
        {"property": "$session_duration", "type": "session", "histogram_bin_count": 1},
        {"property": "$channel_type", "type": "session"},
    ]}  # fmt: skip
    assert counts(api, several) == {
        "['[0.0,3600.01]', 'Organic Search']": 2, "['[0.0,3600.01]', 'Email']": 1, str([NULL, NULL]): 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"key": "$entry_pathname", "value": "/start"}, 1),
        ({"key": "$entry_pathname", "value": "/START"}, 0),
        ({"key": "$entry_pathname", "operator": "icontains", "value": "/S"}, 2),
        ({"key": "$entry_pathname", "operator": "is_not_set"}, 0),
        ({"key": "$entry_utm_source", "operator": "is_not_set"}, 1),
        ({"key": "$entry_utm_source", "operator": "is_not", "value": "news"}, 1),
        ({"key": "$is_bounce", "value": ["false"]}, 1),
        ({"key": "$start_timestamp", "operator": "is_date_after", "value": "2024-05-02"}, 1),
        ({"key": "$session_duration", "operator": "gt", "value": 3599}, 1),
    ],
)
def test_filters_of_the_table_of_sessions(api: Api, visits: None, wanted: dict[str, Any], expected: int) -> None:
    query = "select session_id from sessions where {filters}"
    filters = [{"type": "session", **wanted}]
    assert len(column(answer(api, "HogQLQuery", query=query, filters={"properties": filters}))) == expected
    either = {"type": "OR", "values": [{"type": "session", "key": "$channel_type", "value": "Email"}, *filters]}
    both = column(answer(api, "HogQLQuery", query=query, filters={"properties": either}))
    assert expected <= len(both) <= expected + 1
    assert "s2" in both


MOMENTS = [
    "2024-05-02T12:00:00Z", "2024-05-02T12:00:00.000000Z", "2024-05-02 12:00:00", "2024-05-02 12:00:00.000",
    "2024-05-02 12:00:00.000000", "2024-05-02T14:00:00+02:00", "1714651200", 1714651200,
]  # fmt: skip


@pytest.mark.parametrize("value", MOMENTS, ids=range(len(MOMENTS)))
@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo"])
def test_moments_are_compared_and_not_their_texts(api: Api, visits: None, value: str | int, zone: str) -> None:
    configure(api, timezone=zone)
    for operator, expected in (("exact", ["ann"]), ("is_not", ["ben", "cem"])):
        given = ["2020-01-01", value, "nonsense"]
        wanted = [{"type": "session", "key": "$start_timestamp", "operator": operator, "value": given}]
        assert _who(api, wanted) == expected
        query = "select distinct_id from sessions where {filters}"
        found = column(answer(api, "HogQLQuery", query=query, filters={"properties": wanted}))
        # Cem's order is of none.
        assert found == expected[:1]


def test_the_end_of_a_session(api: Api, visits: None) -> None:
    wanted = {"type": "session", "key": "$end_timestamp", "value": "2024-05-02T13:00:00Z"}
    assert _who(api, [wanted]) == ["ann"]
    assert _who(api, [{**wanted, "operator": "is_not"}]) == ["ben", "cem"]
    assert _who(api, [{**wanted, "value": "2024-05-02T12:00:00Z"}]) == []


def _who(api: Api, properties: list[dict[str, Any]]) -> list[str]:
    found = answer(api, "EventsQuery", select=["distinct_id"], event="order", after="all", properties=properties)
    return sorted(set(column(found)))


@pytest.mark.parametrize(
    "value", ["2024-05-02T12:00:00.000001Z", "2024-05-02", "noon", "", "2024-05-02T12:00:00-03:00"]
)
def test_other_moments_and_what_is_none(api: Api, visits: None, value: str) -> None:
    wanted = {"type": "session", "key": "$start_timestamp", "value": value}
    assert counts(api, {}, properties=[wanted]) == {"None": 0}
    assert counts(api, {}, properties=[{**wanted, "operator": "is_not"}]) == {"None": 4}


def test_actors_of_a_moment(api: Api, capture: Capture) -> None:
    configure(api, timezone="America/Sao_Paulo")
    for number in range(2):
        moment = NOON + number * timedelta(microseconds=250)
        capture(f"p{number}", "order", timestamp=moment, properties={"$session_id": f"s{number}"})
    by = {"breakdown": "$start_timestamp", "breakdown_type": "session"}
    found = counts(api, by)
    assert sorted(found.values()) == [1, 1]
    source = {"kind": "TrendsQuery", "series": series("order"), **MAY, "breakdownFilter": by}
    for value in found:
        listed = answer(api, "InsightActorsQuery", source=source, day="2024-05-02", series=0, breakdown=value)
        assert len(listed["results"]) == 1


def test_bins_that_are_none(api: Api, visits: None) -> None:
    by = {"breakdown": "$session_duration", "breakdown_type": "session", "breakdown_histogram_bin_count": 2}
    source = {"kind": "TrendsQuery", "series": series("order"), **MAY, "breakdownFilter": by}
    for value in ("[0,1e400]", "[nan,1]", "[0,NaN]", "[-inf,3]", "[1980,0]", "[1]", "[1,2,3]", "x"):
        status, _, detail, _ = refusal(
            api, "InsightActorsQuery", source=source, day="2024-05-02", series=0, breakdown=value
        )
        assert (status, detail) == (400, "The value of a histogram's bin is `[low,high]`."), value


def test_the_largest_filter_is_a_statement_that_clickhouse_reads(api: Api, visits: None) -> None:
    wanted = {"type": "session", "key": "$channel_type", "operator": "regex", "value": "^Org"}
    filters = {"properties": {"type": "OR", "values": [wanted] * 50}}
    for table in ("sessions", "events"):
        query = f"select count() from {table} where {{filters}}"
        assert column(answer(api, "HogQLQuery", query=query, filters=filters)) == [1 if table == "sessions" else 3]
    assert counts(api, {}, properties=filters["properties"]) == {"None": 2}


@pytest.mark.parametrize("kind", ["LifecycleQuery", "StickinessQuery", "RetentionQuery"])
def test_filters_of_other_insights(api: Api, visits: None, kind: str) -> None:
    node: dict[str, Any] = {"series": series("order")}
    if kind == "RetentionQuery":
        entity = {"id": "order"}
        node = {"retentionFilter": {"targetEntity": entity, "returningEntity": entity, "period": "Day"}}
    wanted = {"type": "session", "key": "$entry_pathname", "value": "/start"}
    own, none = (
        answer(api, kind, **node, **MAY, properties=[one])["results"] for one in (wanted, {**wanted, "value": "/no"})
    )
    assert _total(own) == 1
    assert _total(none) == 0


def _total(results: Sequence[Any]) -> float:
    """Return how many actors came at first."""
    return sum(sum(one["data"]) if "data" in one else one["values"][0]["count"] for one in results
               if one.get("status") in (None, "new"))  # fmt: skip


@pytest.mark.parametrize(
    ("key", "hint"),
    [("entry_pathname", "$entry_pathname"), ("$sesion_duration", "$session_duration"), ("nope", None), ("$urls", None),
     ("`) FROM system.tables --", None), ("x" * 300, None), ("\0", None)],
)  # fmt: skip
def test_unknown_properties_are_named(api: Api, key: str, hint: str | None) -> None:
    wanted = [{"type": "session", "key": key, "value": 1}]
    by = {"breakdown": key, "breakdown_type": "session"}
    several = {"breakdowns": [{"property": key, "type": "session"}]}
    given: dict[str, Any] = {"series": series("order"), **MAY}
    for kind, node, attr in (
        ("TrendsQuery", {**given, "breakdownFilter": by}, "query__breakdownFilter__breakdown"),
        ("TrendsQuery", {**given, "breakdownFilter": several}, "query__breakdownFilter__breakdowns__0__property"),
        ("FunnelsQuery", {**given, "breakdownFilter": by}, "breakdown"),
        ("FunnelsQuery", {**given, "breakdownFilter": several}, "breakdown"),
        ("TrendsQuery", {**given, "properties": wanted}, "properties"),
        ("EventsQuery", {"select": ["uuid"], "properties": wanted}, "query__properties__0"),
        ("HogQLQuery", {"query": "select 1 from events where {filters}", "filters": {"properties": wanted}},
         "query__filters__properties__0"),
        ("HogQLQuery", {"query": "select 1 from sessions where {filters}", "filters": {"properties": wanted}},
         "query__filters__properties__0"),
    ):  # fmt: skip
        status, _, detail, found = refusal(api, kind, **node)
        assert (status, (found or "").endswith(attr)) == (400, True), (kind, found, detail)
        assert "DB::" not in detail
        if "\0" not in key:
            assert "Sessions have no property" in detail
            assert repr(key)[1:50] in detail
            assert ("Perhaps you meant" in detail) is (hint is not None)
            assert hint is None or f"'{hint}'" in detail


@pytest.mark.parametrize("first", ["1900-01-01", "all", "2024-05-03"])
def test_ends_of_time(api: Api, visits: None, first: str) -> None:
    dates = {"dateRange": {"date_from": first, "date_to": "2024-05-03" if first != "1900-01-01" else "2299-12-31"}}
    by = {"breakdown": "$entry_pathname", "breakdown_type": "session"}
    found = answer(api, "FunnelsQuery", series=series("order"), **dates, breakdownFilter=by)["results"]
    values = {steps[0]["breakdown_value"][0] for steps in found}
    assert values == ({"/sale"} if first == "2024-05-03" else {"/start", "/sale", ""})


@pytest.fixture
def half_a_year(clickhouse: ModuleType) -> int:
    """200,000 events of a team over six months, ten in a session."""
    clickhouse.command(
        f"""
        INSERT INTO events (uuid, event, properties, timestamp, team_id, distinct_id, created_at, person_id,
            person_created_at, person_properties, person_mode, generation)
        SELECT generateUUIDv4(), concat('e', toString(number % 7)),
            concat('{{"$session_id":"s', toString(intDiv(number, 10)), '","$current_url":"https://a.com/', toString(
            number % 10), '"}}'), toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(number * 77),
            7, concat('d', toString(number % 5000)), now64(6), toUUID('00000000-0000-0000-0000-000000000001'), now64(6),
            '{{}}', 'full', 0
        FROM numbers({ROWS})""",
        seconds=200,
    )
    clickhouse.command("OPTIMIZE TABLE events FINAL", seconds=200)
    return 7


@pytest.mark.parametrize("asked", ["trends", "funnels", "filter"])
def test_only_events_of_the_range_and_a_day_around_it_are_read(
    half_a_year: int, asked: str, clickhouse: ModuleType
) -> None:
    statement = Statement()
    since = datetime(2024, 3, 10, tzinfo=UTC)
    wanted = read_filters([{"type": "session", "key": "$entry_pathname", "value": "/0"}], scope="event")
    scope = EventScope(half_a_year, since, since + 2 * DAY, "UTC", filter=wanted if asked == "filter" else None)
    source = Source(scope, statement)
    entity = Entity("e3", "events", (EventMatch("e3"),))
    if asked == "trends":
        values = Values((Dimension("session", "$entry_pathname"),))
        sql = valued(values, source, source.select(columns_of(values, source), entities=[entity]), ["actor"])
        sql = f"SELECT count() FROM ({sql}) WHERE value = ['/0']"
    elif asked == "funnels":
        divided = Breakdown("session", ("$entry_pathname",))
        sql = f"SELECT count() FROM ({funnel_sql(FunnelQuery(scope, (entity,), breakdown=divided), source)})"
    else:
        sql = f"SELECT count() FROM ({source.select({}, entities=[entity])})"
    found = reading.ask(clickhouse, sql, statement.parameters)
    assert found.rows[0][0] > 0
    # Events are read to count them and to choose values, each time with their sessions.
    assert found.rows_read <= 4 * GRANULE < ROWS / 4
