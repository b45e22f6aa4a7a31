"""ActorsQuery over the data points of insights, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest

from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, MINUTE, NOON, answer, column, refusal

pytestmark = pytest.mark.usefixtures("clickhouse")
KIND = "ActorsQuery"
DATES = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-05"}}


def trend(**more: Any) -> dict[str, Any]:
    series = [{"kind": "EventsNode", "event": "buy"}]
    return {"kind": "TrendsQuery", "series": series, "interval": "day", **DATES, **more}


def actors(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "InsightActorsQuery", "source": source, "day": "2024-05-02", **more}


@pytest.fixture
def shop(capture: Capture) -> dict[str, str]:
    """On one day Ann buys three times, Ben once and Cleo twice; the persons' UUIDs by name."""
    found = {}
    for name, times in (("ann", 3), ("ben", 1), ("cleo", 2)):
        for number in range(times):
            person = capture(name, "buy", timestamp=NOON + number * MINUTE, set={"email": f"{name}@example.org"})
        found[name] = str(person.uuid)
    capture("dan", "buy", timestamp=NOON + DAY)
    return found


def test_the_actors_of_a_day_the_busiest_first(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, KIND, source=actors(trend()), select=["actor", "event_count", "id"])
    assert [(row[1], row[2]) for row in found["results"]] == [(3, shop["ann"]), (2, shop["cleo"]), (1, shop["ben"])]
    assert column(found)[0]["distinct_ids"] == ["ann"]
    assert (found["missing_actors_count"], found["hasMore"], found["limit"]) == (0, False, 100)
    assert found["columns"] == ["actor", "event_count", "id"]


def test_the_default_columns(api: Api, shop: dict[str, str]) -> None:
    found = answer(api, KIND, source=actors(trend()))
    assert found["columns"] == ["person", "id", "created_at", "person.$delete"]
    assert [row[3] for row in found["results"]] == [1, 1, 1]
    assert column(found, 2)[0] == column(found)[0]["created_at"]


def test_display_names_are_listed_and_ordered_alike(api: Api, shop: dict[str, str], capture: Capture) -> None:
    capture("cleo", "see", timestamp=NOON, set={"email": None, "$email": "", "name": [1, 2]})
    eve = str(capture("eve", "buy", timestamp=NOON).uuid)
    select = ["person_display_name -- Person", "event_count"]
    found = answer(api, KIND, source=actors(trend()), select=select)
    names = {shop["ann"]: "ann@example.org", shop["ben"]: "ben@example.org", shop["cleo"]: "[1, 2]", eve: eve}
    assert {row[0]["id"]: row[0]["display_name"] for row in found["results"]} == names
    assert column(found, 1) == [3, 2, 1, 1]
    assert found["types"][0] == "Tuple(String, String)"
    ordered = answer(api, KIND, source=actors(trend()), select=select, orderBy=["person_display_name ASC"])
    assert {row[0]["id"] for row in ordered["results"]} == names.keys()
    listed = [row[0]["display_name"] for row in ordered["results"]]
    assert listed == sorted(listed)
    assert ordered["types"][0] == found["types"][0]


def test_pages(api: Api, shop: dict[str, str]) -> None:
    pages = [answer(api, KIND, source=actors(trend()), select=["id"], limit=2, offset=offset) for offset in (0, 2)]
    assert [column(page) for page in pages] == [[shop["ann"], shop["cleo"]], [shop["ben"]]]
    assert [page["hasMore"] for page in pages] == [True, False]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"search": "cleo@"}, ["cleo"]),
        ({"properties": [{"key": "email", "value": "^[ab]", "operator": "regex", "type": "person"}]}, ["ann", "ben"]),
        ({"orderBy": ["event_count ASC"]}, ["ben", "cleo", "ann"]),
        ({"orderBy": ["properties.email DESC"], "limit": 2}, ["cleo", "ben"]),
        (
            {"select": ["id", "properties.email", "event_count"], "orderBy": ["event_count DESC"]},
            ["ann", "cleo", "ben"],
        ),
    ],
)
def test_actors_are_searched_filtered_and_ordered(
    api: Api, shop: dict[str, str], more: dict[str, Any], expected: list[str]
) -> None:
    found = answer(api, KIND, source=actors(trend()), **{"select": ["id", "event_count"], **more})
    names = {uuid: name for name, uuid in shop.items()}
    listed = [names[uuid] for uuid in column(found)]
    assert listed == expected if "orderBy" in more else sorted(listed) == expected
    assert all(row[-1] == {"ann": 3, "ben": 1, "cleo": 2}[names[row[0]]] for row in found["results"])


def test_persons_that_are_no_more_are_their_ids(api: Api, shop: dict[str, str]) -> None:
    from core.persons.models import Person

    Person.objects.for_team(api.team.id).get(uuid=shop["cleo"]).delete()
    found = answer(api, KIND, source=actors(trend()), select=["actor", "created_at", "event_count"])
    assert found["results"][1] == [{"id": shop["cleo"]}, None, 2]
    assert found["missing_actors_count"] == 1


def test_the_persons_of_a_funnel(api: Api, capture: Capture) -> None:
    for name, events in (("ann", 2), ("ben", 1)):
        for number, event in enumerate(("see", "buy")[:events]):
            capture(name, event, timestamp=NOON + number * HOUR)
    series = [{"kind": "EventsNode", "event": event} for event in ("see", "buy")]
    funnel = {"kind": "FunnelsQuery", "series": series, "funnelsFilter": {}, **DATES}

    def reached(step: int) -> list[str]:
        source = {"kind": "FunnelsActorsQuery", "source": funnel, "funnelStep": step}
        found = answer(api, KIND, source=source, select=["person", "person_display_name"])
        assert all(name == {"id": person["id"], "display_name": person["id"]} for person, name in found["results"])
        return [person["distinct_ids"][0] for person in column(found)]

    assert (sorted(reached(1)), reached(2), reached(-2)) == (["ann", "ben"], ["ann"], ["ben"])


def test_groups_are_actors_too(api: Api, capture: Capture) -> None:
    about = {"$group_type": "company", "$group_key": "acme", "$group_set": {"name": "Acme", "size": 5}}
    capture("ann", "$groupidentify", timestamp=NOON, properties=about)
    about = {"$group_type": "company", "$group_key": "globex", "$group_set": {"name": "Globex", "size": 9}}
    capture("ann", "$groupidentify", timestamp=NOON, properties=about)
    for key in ("acme", "globex", "unknown"):
        capture("ann", "buy", timestamp=NOON, properties={"$groups": {"company": key}})
    series = [{"kind": "EventsNode", "event": "buy", "math": "unique_group", "math_group_type_index": 0}]
    source = actors({**trend(), "series": series})
    found = answer(api, KIND, source=source)
    assert found["columns"] == ["group"]
    keys = {group["id"]: group for group in column(found)}
    assert keys["acme"]["properties"]["name"] == "Acme"
    assert keys["unknown"] == {"id": "unknown"}
    assert found["missing_actors_count"] == 1
    for more in (
        {"search": "acm"},
        {"properties": [{"type": "group", "group_type_index": 0, "key": "size", "value": 5}]},
    ):
        filtered = answer(api, KIND, source=source, select=["group", "properties.name"], **more)
        assert [(row[0]["id"], row[1]) for row in filtered["results"]] == [("acme", "Acme")]
    named = answer(api, KIND, source=source, select=["group", "key"], orderBy=["group DESC"])
    assert [row[0]["id"] for row in named["results"]] == ["globex", "acme", "unknown"]
    wrong = refusal(api, KIND, source=source, properties=[{"type": "person", "key": "x", "value": 1}])
    assert wrong[0::3] == (400, "query__properties")


def test_many_actors_are_ordered(api: Api) -> None:
    events = [
        NewEvent(event="buy", distinct_id=f"p{number}", uuid=uuid4(), timestamp=NOON, properties={})
        for number in range(2_600)
    ]
    events_ingest(team=IngestTeam(api.team.id), events=events)
    asked = {"source": actors(trend()), "select": ["person", "event_count"], "orderBy": ["event_count", "id"]}
    found = answer(api, KIND, **asked, limit=50_000)
    assert {row[0]["distinct_ids"][0] for row in found["results"]} == {one.distinct_id for one in events}
    assert answer(api, KIND, **asked, limit=1, offset=2_599)["hasMore"] is False


def test_more_actors_than_can_be_looked_at_are_only_listed(
    api: Api, shop: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.query.actor_sources.MAX_ACTORS", 2)
    assert len(answer(api, KIND, source=actors(trend()))["results"]) == 3
    status, _, detail, attr = refusal(api, KIND, source=actors(trend()), search="ann")
    assert (status, attr) == (400, "query__source")
    assert "more than 2 actors" in detail


def test_a_dashboard_reaches_the_insight(api: Api, shop: dict[str, str]) -> None:
    override = {"properties": [{"key": "email", "value": "ben", "operator": "icontains", "type": "person"}]}
    found = answer(api, KIND, source=actors(trend()), select=["id"], override=override)
    assert column(found) == [shop["ben"]]


@pytest.mark.parametrize(
    ("source", "attr"),
    [
        ({"kind": "InsightActorsQuery"}, "query__source__source"),
        ({"kind": "InsightActorsQuery", "source": {"kind": "HogQLQuery"}}, "query__source__source__kind"),
        ({"kind": "FunnelsActorsQuery", "source": trend()}, "query__source__source__kind"),
        (actors(trend(), nope=1), "query__source__nope"),
        (actors(trend(), includeRecordings=1), "query__source__includeRecordings"),
    ],
)
def test_sources_are_checked(api: Api, source: dict[str, Any], attr: str) -> None:
    assert refusal(api, KIND, source=source)[1::2] == ("parse_error", attr)


def test_strangers_see_nothing(stranger: Api, shop: dict[str, str]) -> None:
    assert answer(stranger, KIND, source=actors(trend()))["results"] == []
