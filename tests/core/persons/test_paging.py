"""Pages by cursor: what they hold against a plain sorted list, and while others write."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.persons import listing
from core.persons.deleting import PersonGoneError, person_delete
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.listing import PersonFilter, person_page
from core.persons.models import Person, PersonDistinctId
from core.persons.paging import Cursor, CursorError, Place
from core.persons.services import PersonRef
from core.tenancy.models import Team
from events.filters.grammar import read_filters
from tests.core.persons.conftest import Api

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
PLACES = st.builds(
    Place,
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
)
RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make_persons(team: Team, moments: list[int], **fields: Any) -> list[Person]:
    """Persons created so many seconds after NOW, in the list's order."""
    made = Person.objects.for_team(team.id).bulk_create(
        Person(team=team, uuid=uuid4(), created_at=NOW + timedelta(seconds=moment), **fields) for moment in moments
    )
    return sorted(made, key=lambda person: (-person.created_at.timestamp(), person.uuid.int))


def walk(api: Api, url: str | None, link: str = "next") -> Iterator[dict[str, Any]]:
    while url:
        body = api.client.get(url).json()
        yield body
        url = body[link]


@settings(deadline=None)
@given(place=PLACES, backward=st.booleans())
def test_a_cursor_is_read_as_it_was_written(place: Place, *, backward: bool) -> None:
    cursor = Cursor(place, backward=backward)
    assert Cursor.read(cursor.text()) == cursor


@settings(deadline=None)
@given(st.text(max_size=40) | PLACES.map(lambda place: Cursor(place).text()[:-1] + "!"))
def test_nothing_else_is_a_cursor(text: str) -> None:
    with pytest.raises(CursorError):
        Cursor.read(text)


@pytest.mark.parametrize("text", ["x", "A" * 34, "YX________8AAAAAAAAAAAAAAAAAAAAAAA", "\x00", "é" * 34])
def test_a_bad_cursor_is_refused(api: Api, text: str) -> None:
    answer = api.get(cursor=text)
    assert (answer.status_code, answer.json()["attr"]) == (400, "cursor")


def test_links_keep_every_other_parameter(api: Api, team: Team) -> None:
    make_persons(team, list(range(5)), properties={"plan": "a&b"})
    params = {
        "limit": "2",
        "offset": "1",
        "properties": '[{"key":"plan","value":"a&b"}]',
        "zzz": "é",
        "include_total": "",
    }
    first = api.get(**params).json()
    assert "offset" not in first["next"]
    second = api.client.get(first["next"]).json()
    assert first["count"] == second["count"] == 5
    assert [len(body["results"]) for body in (first, second)] == [2, 2]
    assert "zzz=%C3%A9" in first["next"]
    assert second["next"] is None


@RELAXED
@given(moments=st.lists(st.integers(0, 3), max_size=14), limit=st.integers(1, 5), filtered=st.booleans())
def test_walks_forth_and_back_see_the_sorted_list(
    api: Api, team: Team, *, moments: list[int], limit: int, filtered: bool
) -> None:
    Person.objects.for_team(team.id).delete()
    wanted = [str(person.uuid) for person in make_persons(team, moments, properties={"plan": "pro"})]
    if filtered:
        make_persons(team, moments, properties={"plan": "free"})
    query = f"?limit={limit}" + ('&properties=[{"key":"plan","value":"pro"}]' if filtered else "")

    forth = list(walk(api, api.url(query)))

    pages = [[item["id"] for item in body["results"]] for body in forth]
    assert [key for page in pages for key in page] == wanted
    assert all(len(page) == limit for page in pages[:-1])
    assert forth[0]["previous"] is None
    back = list(walk(api, forth[-1]["previous"], "previous"))
    assert [[item["id"] for item in body["results"]] for body in reversed(back)] == pages[:-1]
    for number, body in enumerate(reversed(back)):
        assert api.client.get(body["next"]).json()["results"] == forth[number + 1]["results"]


def test_clients_that_count_offsets_see_everyone_once(api: Api, team: Team) -> None:
    wanted = [str(person.uuid) for person in make_persons(team, [0] * 7 + [1] * 4)]
    seen: list[str] = []
    while True:
        results = api.get(limit=4, offset=len(seen)).json()["results"]
        seen += [item["id"] for item in results]
        if len(results) < 4:
            break
    assert seen == wanted


def test_an_offset_page_goes_on_by_cursor_and_back_by_offset(api: Api, team: Team) -> None:
    wanted = [str(person.uuid) for person in make_persons(team, [0] * 6)]
    page = api.get(limit=2, offset=2).json()
    assert [item["id"] for item in api.client.get(page["next"]).json()["results"]] == wanted[4:]
    assert [item["id"] for item in api.client.get(page["previous"]).json()["results"]] == wanted[:2]


def test_a_page_behind_the_last_person_is_empty_and_leads_back(api: Api, team: Team) -> None:
    wanted = make_persons(team, [0, 1, 2])
    end = Cursor(Place(wanted[-1].created_at, wanted[-1].uuid)).text()
    page = api.get(limit=2, cursor=end).json()
    assert (page["results"], page["next"]) == ([], None)
    back = api.client.get(page["previous"]).json()
    assert [item["id"] for item in back["results"]] == [str(person.uuid) for person in wanted[1:]]


@pytest.mark.parametrize("scanned", [1, 2, 5, 1000])
def test_every_plan_of_a_filter_gives_the_same_pages(team: Team, monkeypatch: pytest.MonkeyPatch, scanned: int) -> None:
    monkeypatch.setattr(listing, "SCANNED_ROWS", scanned)
    monkeypatch.setattr(listing, "MOST_SCANNED_ROWS", 12)
    random = Random(scanned)  # noqa: S311 only an order
    for plan in ("pro", "free", "free", "team"):
        make_persons(team, [random.randrange(4) for _ in range(9)], properties={"plan": plan, "name": f"{plan} user"})
    everyone = sorted(
        Person.objects.for_team(team.id), key=lambda person: (-person.created_at.timestamp(), person.uuid.int)
    )
    wanted = [str(person.uuid) for person in everyone if person.properties["plan"] == "pro"]
    for chosen in (
        PersonFilter(properties=read_filters([{"key": "plan", "value": "pro"}])),
        PersonFilter(properties=read_filters([{"key": "plan", "value": "^pro$", "operator": "regex"}])),
        PersonFilter(search="PRO us"),
    ):
        seen: list[str] = []
        cursor: Cursor | None = None
        while True:
            page = person_page(team_id=team.id, wanted=chosen, limit=4, cursor=cursor)
            seen += [row[1] for row in page.rows]
            ends = listing.places(page)
            if not page.after or ends is None:
                break
            cursor = Cursor(ends[1])
        assert seen == wanted
        offset = person_page(team_id=team.id, wanted=chosen, limit=3, offset=4)
        assert [row[1] for row in offset.rows] == wanted[4:7]


class Churn:
    """Threads that create and delete persons until told to stop."""

    def __init__(self, team: Team, threads: int) -> None:
        self.team, self.stop, self.errors = team, threading.Event(), list[BaseException]()
        self.changes = 0
        self.threads = [threading.Thread(target=self._run, args=[number]) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(120)

    def _run(self, number: int) -> None:
        random, mine = Random(number), list[str]()  # noqa: S311 only an order
        try:
            while not self.stop.is_set():
                if len(mine) < 5 or random.random() < 0.5:
                    mine.append(f"churn-{number}-{uuid4()}")
                    moment = NOW + timedelta(seconds=random.randrange(10))
                    event = NewEvent(uuid=uuid4(), event="$set", distinct_id=mine[-1], timestamp=moment,
                                     properties={}, set={"plan": "pro"})  # fmt: skip
                    events_ingest(team=IngestTeam(self.team.id), events=[event])
                else:
                    self._delete(mine.pop(random.randrange(len(mine))))
                self.changes += 1
        except BaseException as error:  # noqa: BLE001 shown by the test
            self.errors.append(error)
        finally:
            connection.close()

    def _delete(self, distinct_id: str) -> None:
        row = PersonDistinctId.objects.for_team(self.team.id).select_related("person").get(distinct_id=distinct_id)
        ref = PersonRef(team=IngestTeam(self.team.id), organization_id=self.team.organization_id, id=row.person_id,
                        uuid=UUID(str(row.person.uuid)), by_user_id=None)  # fmt: skip
        try:
            person_delete(person=ref, keep_person=False, delete_events=False, delete_recordings=False)
        except PersonGoneError:
            self.errors.append(AssertionError("somebody else deleted it"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["", '&properties=[{"key":"plan","value":"pro"}]'])
def test_who_is_there_throughout_is_seen_exactly_once_while_others_come_and_go(
    transactional_db: None, api: Api, team: Team, query: str
) -> None:
    staying = {
        str(person.uuid) for person in make_persons(team, [n % 10 for n in range(150)], properties={"plan": "pro"})
    }
    disturbed = 0
    with Churn(team, 8) as churn:
        # A walk may be over before the threads have their connections.
        for _ in range(50):
            before = churn.changes
            seen = [item["id"] for body in walk(api, api.url(f"?limit=7{query}")) for item in body["results"]]
            assert len(seen) == len(set(seen))
            assert staying <= set(seen)
            disturbed += churn.changes > before
            if disturbed == 3 or churn.errors:
                break
    assert not churn.errors
    assert disturbed == 3
