import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.test import override_settings

from core.api import streaming
from core.persons.flattening import flattened
from core.persons.models import Person, PersonDistinctId
from core.tenancy.models import Team
from events.errors import QueryTimeout
from tests.core.persons.conftest import Api, make_api
from tests.factories import make_team

pytestmark = pytest.mark.django_db(transaction=True)

DOCUMENTS: list[dict[str, Any]] = [
    {"email": "ann@x.y", "plan": "a,b", "beta": True, "seats": 7},
    {"email": "", "name": 'quo"te', "beta": False, "tags": ["x", {"deep": None}], "note": "two\nlines"},
    {"tags": {"0": "zero", "-1": "minus", "y": [1.5, []]}, "beta": "yes", "seats": {"a": 1}, "a.b": 1, "a": {"b": 2}},
    {"beta": None, "name": True, "": "empty key", "formula": "=1+1", "percent %s": "%"},
    {},
]


@pytest.fixture
def team() -> Team:
    return make_team()


@pytest.fixture
def api(team: Team) -> Api:
    return make_api(team)


@pytest.fixture
def persons(team: Team) -> list[Person]:
    return [make_person(team, document, number) for number, document in enumerate(DOCUMENTS)]


def make_person(team: Team, properties: dict[str, Any], number: int = 0) -> Person:
    person = Person.objects.for_team(team.id).create(
        team=team, uuid=uuid4(), properties=properties, created_at=datetime(2024, 1, 1 + number % 28, tzinfo=UTC)
    )
    for distinct_id in [str(uuid4()), f"chosen-{person.id}"][: number % 3]:
        PersonDistinctId.objects.for_team(team.id).create(team=team, person=person, distinct_id=distinct_id)
    return person


def body_of(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def table(answer: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body_of(answer).decode(), newline="")))


def naive_table(items: list[dict[str, Any]]) -> list[list[str]]:
    rows = [dict(flattened(item)) for item in items]
    header = sorted({name for row in rows for name in row})
    lines = [[row.get(name) for name in header] for row in rows]
    return [header, *[["" if cell is None else str(cell) for cell in line] for line in lines]]


def test_the_table_is_the_flattened_list(api: Api, persons: list[Person]) -> None:
    items = api.get().json()["results"]
    answer = api.get(format="csv", limit=1, offset=3)

    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "Content-Disposition" not in answer
    found, wanted = table(answer), naive_table(items)
    assert found[0] == wanted[0]
    clash = found[0].index("properties.a.b")
    for row, expected in zip(found[1:], wanted[1:], strict=True):
        assert row[clash] in {expected[clash], "1"}  # two paths of one person share this column
        assert row[:clash] + row[clash + 1 :] == expected[:clash] + expected[clash + 1 :]


def test_the_table_has_a_line_per_person_and_pythons_words(api: Api, team: Team) -> None:
    make_person(team, {"b": True, "n": None, "e": [], "f": "=cmd()"}, 2)
    header, row = table(api.get("/", format="csv"))
    assert [name for name in header if name.startswith("properties")] == [
        "properties.b",
        "properties.f",
        "properties.n",
    ]
    cells = dict(zip(header, row, strict=True))
    assert (cells["properties.b"], cells["properties.n"], cells["properties.f"]) == ("True", "", "=cmd()")
    assert (cells["is_identified"], cells["type"], cells["last_seen_at"]) == ("False", "person", "")
    assert cells["distinct_ids.0"].startswith("chosen-")
    assert cells["name"] == cells["distinct_ids.0"]
    assert cells["id"] == cells["uuid"]


def test_a_display_name_that_is_a_document_and_very_wide_tables_are_made_all_the_same(api: Api, team: Team) -> None:
    make_person(team, {"email": {"first": "a"}})
    make_person(team, {f"key {number}": number for number in range(2_000)}, 1)
    answer = api.get(format="csv")
    assert table(answer) == naive_table(api.get().json()["results"])


def test_too_wide_a_table_is_refused(api: Api, team: Team) -> None:
    make_person(team, {f"k{number}": number for number in range(10_001)})
    answer = api.get(format="csv")
    assert (answer.status_code, answer.json()["attr"]) == (400, "format")


def test_suffix_filters_and_accept(api: Api, persons: list[Person]) -> None:
    asked: list[tuple[str, dict[str, str], str]] = [
        (".csv", {"email": "ann@x.y"}, "*/*"),
        ("", {"email": "ann@x.y"}, "text/csv"),
        ("", {"search": "ANN@", "format": "csv"}, "application/json"),
    ]
    for path, params, accept in asked:
        answer = api.client.get(api.url(path), params, headers={"accept": accept})
        assert answer.status_code == 200
        assert len(table(answer)) == 2
    assert body_of(api.get(email="nobody", format="csv")) == b""


def test_one_person_as_a_table(api: Api, persons: list[Person]) -> None:
    answer = api.get(f"/{persons[0].uuid}", format="csv")
    header, row = csv.reader(io.StringIO(answer.content.decode(), newline=""))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert dict(zip(header, row, strict=True))["id"] == str(persons[0].id)


def test_lines_are_the_list_items_whatever_the_paging(api: Api, persons: list[Person]) -> None:
    wanted = api.get().json()["results"]
    for answer in (
        api.get(format="ndjson", limit=2),
        api.client.get(api.url(), headers={"accept": "application/x-ndjson"}),
    ):
        assert answer["Content-Type"] == "application/x-ndjson"
        assert [orjson.loads(line) for line in body_of(answer).splitlines()] == wanted
    assert len(body_of(api.get(format="ndjson", search="ann@")).splitlines()) == 1


def test_errors_are_json_and_formats_exist_only_where_they_are(api: Api, persons: list[Person]) -> None:
    for params in ({"format": "csv", "properties": "{"}, {"format": "ndjson", "properties": "{"}):
        answer = api.get(**params)
        assert (answer.status_code, answer.json()["attr"]) == (400, "properties")
    for path, format_ in (("", "xml"), (f"/{persons[0].id}", "ndjson")):
        answer = api.get(path, format=format_)
        assert (answer.status_code, answer.json()["attr"]) == (400, "format")


def test_the_stranger_gets_nothing(api: Api, persons: list[Person]) -> None:
    stranger = make_api(make_team())
    assert body_of(stranger.get(format="csv")) == body_of(stranger.get(format="ndjson")) == b""
    assert stranger.client.get(api.url(), {"format": "csv"}).status_code == 403


def test_head_has_the_type_and_no_body(api: Api, persons: list[Person]) -> None:
    answer = api.client.head(api.url(), {"format": "csv"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert body_of(answer) == b""


def test_more_exports_than_slots_are_asked_to_come_back(api: Api, persons: list[Person]) -> None:
    running = [api.get(format="ndjson") for _ in range(2)]
    refused = api.get(format="ndjson")
    assert (refused.status_code, refused["Retry-After"]) == (503, "2")
    for answer in running:
        answer.close()
    again = api.get(format="ndjson")
    assert len(body_of(again).splitlines()) == len(persons)


def numbers(connection: psycopg.Connection[Any]) -> Iterator[bytes]:
    with connection.cursor(name="numbers") as cursor:
        cursor.execute("SELECT n FROM generate_series(1, 100) n")
        for (number,) in cursor:
            yield b"%d\n" % number


class Clock:
    """A clock that goes on when it is told to: no pause is longer than meant because the machine is slow."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(streaming, "time", made)
    return made


def test_a_reader_who_stalls_loses_its_connection_and_its_slot(transactional_db: None, clock: Clock) -> None:
    with override_settings(EXPORT_STALL_SECONDS=0.2):
        export = streaming.Export(numbers)
        assert next(export) == b"1\n"
        clock.now += 0.3
        assert export._ended.wait(60)  # noqa: SLF001 nothing else tells of it before somebody reads on
        with pytest.raises(TimeoutError):
            next(export)
    assert b"".join(streaming.Export(numbers)).endswith(b"100\n")


def test_a_busy_reader_is_not_taken_for_a_stalled_one(transactional_db: None, clock: Clock) -> None:
    with override_settings(EXPORT_STALL_SECONDS=0.4):
        export = streaming.Export(numbers)
        for _ in range(8):
            next(export)
            clock.now += 0.3
            # Meanwhile it is looked after.
            time.sleep(0.15)
        assert len(list(export)) == 92


def test_a_statement_that_takes_too_long_is_a_timeout(transactional_db: None) -> None:
    def sleeping(connection: psycopg.Connection[Any]) -> Iterator[bytes]:
        connection.execute("SELECT pg_sleep(5)")
        yield b""

    with override_settings(EXPORT_MAX_SECONDS=1), pytest.raises(QueryTimeout):
        streaming.Export(sleeping)
