"""`funnelAggregateByHogQL` of FunnelsQuery over HTTP: values of the caller's own go through the funnel."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import HOUR, MINUTE, NOON, answer, column, refusal, sent
from tests.core.query.insights.support import series

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-04"}}
SESSION = "properties.$session_id"


@pytest.fixture
def visits(api: Api, capture: Capture, stranger: Api) -> dict[str, str]:
    """Ann sees in s1 and buys in s2; in s3 she begins what Ben ends; Cem has no session. A neighbour has s1 too."""
    found = {}
    for who, event, session, moment in (
        ("ann", "see", "s1", NOON), ("ann", "buy", "s2", NOON + MINUTE), ("ann", "see", "s3", NOON + 2 * MINUTE),
        ("ben", "buy", "s3", NOON + 3 * MINUTE), ("ben", "see", "s4", NOON + HOUR),
        ("ben", "buy", "s4", NOON + 3 * HOUR), ("cem", "see", None, NOON), ("cem", "buy", "", NOON + HOUR),
    ):  # fmt: skip
        properties = {"place": event[0], **({} if session is None else {"$session_id": session})}
        found[who] = str(capture(who, event, timestamp=moment, properties=properties).uuid)
    theirs = [
        NewEvent(
            event=name, distinct_id="ann", uuid=uuid4(), timestamp=NOON + after, properties={"$session_id": session}
        )
        for name, after in (("see", timedelta(0)), ("buy", MINUTE))
        for session in ("s1", "theirs")
    ]
    events_ingest(team=IngestTeam(stranger.team.id), events=theirs)
    return found


def funnel(by: str | None, **node: Any) -> dict[str, Any]:
    shown = {"funnelAggregateByHogQL": by, **node.pop("funnelsFilter", {})}
    return {"kind": "FunnelsQuery", "series": series("see", "buy"), **MAY, "funnelsFilter": shown, **node}


def results(api: Api, by: str | None, **node: Any) -> Any:
    return answer(api, **funnel(by, **node))["results"]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (None, [3, 3]),
        ("person_id", [3, 3]),
        (" person_id ", [3, 3]),
        (SESSION, [3, 2]),
        ("$session_id", [3, 2]),
        ("e.$session_id", [3, 2]),
        ("distinct_id", [3, 3]),
        ("nullIf(upper(properties.$session_id), 'S4')", [2, 1]),
        ("'everybody'", [1, 1]),
        ("concat(properties.$session_id, toString(person_id))", [4, 2]),
        ("if(properties.$session_id = 's3', 1.5, NULL)", [1, 1]),
        ("properties.nothing", [0, 0]),
        ("arrayJoin(['a', 'b'])", [2, 2]),
        ("(SELECT count() FROM events WHERE properties.$session_id = 'theirs')", [1, 1]),
        ("if(distinct_id IN (SELECT distinct_id FROM events WHERE properties.$session_id = 's1'), 'yes', '')", [1, 1]),
    ],
)
def test_steps(api: Api, visits: dict[str, str], by: str | None, expected: list[int]) -> None:
    assert [one["count"] for one in results(api, by)] == expected


def test_times_and_orders_within_a_session(api: Api, visits: dict[str, str]) -> None:
    found = results(api, SESSION)
    assert (found[1]["average_conversion_time"], found[1]["median_conversion_time"]) == (3630, 3630)
    counted = {
        order: [one["count"] for one in results(api, SESSION, funnelsFilter={"funnelOrderType": order})]
        for order in ("strict", "unordered")
    }
    assert counted == {"strict": [3, 2], "unordered": [4, 2]}
    found = results(api, SESSION, funnelsFilter={"funnelWindowInterval": 1, "funnelWindowIntervalUnit": "hour"})
    assert [one["count"] for one in found] == [3, 1]


def test_time_to_convert_and_trends(api: Api, visits: dict[str, str]) -> None:
    found = results(api, SESSION, funnelsFilter={"funnelVizType": "time_to_convert", "binCount": 1})
    assert found == {"bins": [[60, 1], [7200, 1]], "average_conversion_time": 3630, "median_conversion_time": 3630}
    (shown,) = results(api, SESSION, funnelsFilter={"funnelVizType": "trends"})
    assert shown["data"] == [0, 66.67, 0, 0]


def test_a_breakdown(api: Api, visits: dict[str, str]) -> None:
    by = {"breakdownFilter": {"breakdown": "place", "breakdown_type": "event"}}
    found = results(api, SESSION, **by)
    assert {steps[0]["breakdown_value"][0]: [one["count"] for one in steps] for steps in found} == {"s": [3, 2]}
    of_person = {"breakdownFilter": {"breakdown": "name", "breakdown_type": "person"}}
    assert [one["count"] for one in results(api, SESSION, **of_person)[0]] == [3, 2]


def test_groups_win(api: Api, visits: dict[str, str]) -> None:
    found = results(api, SESSION, aggregation_group_type_index=0)
    assert [one["count"] for one in found] == [0, 0]
    assert results(api, "nonsense (", aggregation_group_type_index=0) == found


@pytest.mark.parametrize(
    ("point", "expected"),
    [({"funnelStep": 1}, ["s1", "s3", "s4"]), ({"funnelStep": 2}, ["s3", "s4"]), ({"funnelStep": -2}, ["s1"])],
)
def test_a_funnels_actors_query_lists_the_values(
    api: Api, visits: dict[str, str], point: dict[str, int], expected: list[str]
) -> None:
    found = answer(api, "FunnelsActorsQuery", source=funnel(SESSION), **point)
    assert column(found) == expected
    assert found["types"] == ["String", "Nullable(Float64)"]
    source = {"kind": "FunnelsActorsQuery", "source": funnel(SESSION), **point}
    status, _, detail, attr = refusal(api, "ActorsQuery", source=source)
    assert (status, attr) == (400, "query__source__source__funnelsFilter__funnelAggregateByHogQL")
    assert detail.startswith("Not supported: persons of a funnel")
    of_persons = {**source, "source": funnel(" person_id ")}
    assert len(answer(api, "ActorsQuery", source=of_persons)["results"]) == {1: 3, 2: 3, -2: 0}[point["funnelStep"]]


def test_the_actors_of_a_trend(api: Api, visits: dict[str, str]) -> None:
    source = funnel(SESSION, funnelsFilter={"funnelVizType": "trends"})
    point = {"source": source, "funnelTrendsEntrancePeriodStart": "2024-05-02"}
    for drop_off, expected in ((False, ["s3", "s4"]), (True, ["s1"])):
        assert column(answer(api, "FunnelsActorsQuery", **point, funnelTrendsDropOff=drop_off)) == expected


def test_no_paths_of_such_a_funnel(api: Api, visits: dict[str, str]) -> None:
    paths = {"funnelPathType": "funnel_path_after_step", "funnelSource": funnel(SESSION), "funnelStep": 1}
    status, _, detail, attr = refusal(api, "PathsQuery", pathsFilter={}, funnelPathsFilter=paths, **MAY)
    assert (status, attr) == (400, "query__funnelPathsFilter__funnelSource")
    assert "paths of a funnel of values" in detail


WRONG = [
    ("nope(", None, None),
    ("nope", "Unable to resolve field: nope", (0, 4)),
    ("count()", "Aggregations and window functions cannot be used", (0, 7)),
    ("max(properties.a)", "Aggregations and window functions cannot be used", (0, 17)),
    ("row_number() OVER ()", "Aggregations and window functions cannot be used", (0, 20)),
    ("session.$session_duration", "cannot use fields of other tables", (0, 25)),
    ("(SELECT name FROM system.tables)", "Unknown table `system.tables`", (18, 31)),
    ("(SELECT 1 FROM file('/etc/passwd'))", None, None),
    ("*", "* cannot be used here", (0, 1)),
    ("upper(event AS x)", "An alias cannot be given here", None),
    ("{filters}", "placeholders", None),
    ("event, 1", None, None),
    ("a b", None, None),
    ("event || " * 5000 + "''", None, None),
]


@pytest.mark.parametrize(("by", "message", "place"), WRONG, ids=range(len(WRONG)))
def test_wrong_expressions(api: Api, by: str, message: str | None, place: tuple[int, int] | None) -> None:
    found = sent(api, funnel(by))
    body = found.json()
    assert found.status_code == 400, body
    assert message is None or message in body["detail"]
    assert "DB::" not in body["detail"]
    assert body["attr"].startswith("query__funnelsFilter__funnelAggregateByHogQL")
    if place is not None:
        (problem,) = body["extra"]["hogql_metadata"]["errors"]
        assert (problem["start"], problem["end"]) == place


@pytest.mark.parametrize("by", [7, {}, ["event"]])
def test_what_is_no_text(api: Api, by: Any) -> None:
    assert refusal(api, **funnel(by))[0] == 400


def test_what_only_clickhouse_finds_is_the_callers_mistake(api: Api, visits: dict[str, str]) -> None:
    status, code, detail, _ = refusal(api, **funnel("intDiv(1, length(event) - 3)"))
    assert (status, code, detail) == (400, "illegal_division", "Division by zero.")


def test_no_rows_of_another_project(api: Api, stranger: Api, visits: dict[str, str]) -> None:
    for by in (SESSION, "(SELECT max(properties.$session_id) FROM events)"):
        found = answer(api, "FunnelsActorsQuery", source=funnel(by), funnelStep=1)
        assert "theirs" not in column(found)
        assert "theirs" in column(answer(stranger, "FunnelsActorsQuery", source=funnel(by), funnelStep=1))
