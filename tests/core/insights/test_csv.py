"""Actors as a table."""

import csv
from typing import Any

import pytest

from core.insights import csv as tables
from core.outbox.services import outbox_drain
from tests.core.insights.asking import MAY, NOON, Capture, asked, steps, texts
from tests.core.persons.conftest import Api

pytestmark = pytest.mark.usefixtures("clickhouse")
VIEW = {"events": steps("view"), "funnel_step": 1}


def table(answer: Any) -> list[dict[str, str]]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8"), answer.content
    return list(csv.DictReader(b"".join(answer).decode().splitlines()))


@pytest.fixture
def two(capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON, set={"email": "ann@example.org", "a": {"b": [1, {"c": None}]}, "on": True})
    capture("ben", "view", timestamp=NOON, set={"text": 'a,"b"\nc', "empty": {}})


@pytest.mark.usefixtures("two")
def test_a_row_for_each_actor(api: Api) -> None:
    rows = {row["distinct_ids.0"]: row for row in table(asked(api, **VIEW, format="csv"))}
    assert list(rows["ann"]) == sorted(rows["ann"])
    assert (rows["ann"]["properties.a.b.0"], rows["ann"]["properties.on"]) == ("1", "True")
    assert (rows["ben"]["properties.email"], rows["ben"]["properties.a.b.0"]) == ("", "")
    assert {"id", "uuid", "type", "name", "created_at", "is_identified", "value_at_data_point"} <= set(rows["ben"])
    assert "properties.empty" not in rows["ben"]


@pytest.mark.usefixtures("two")
def test_text_with_line_ends_is_quoted(api: Api) -> None:
    body = b"".join(asked(api, **VIEW, format="csv")).decode()
    assert '"a,""b""\nc"' in body


@pytest.mark.usefixtures("two")
def test_by_the_header_accept(api: Api) -> None:
    outbox_drain()
    answer = api.client.get(api.url("/funnel/"), texts({**MAY, **VIEW, "limit": 1}), headers={"accept": "text/csv"})
    assert len(table(answer)) == 1
    posted = api.client.generic(
        "POST", api.url("/funnel/?format=csv"), b'{"events": [{"id": "none"}], "funnel_step": 1}', "application/json"
    )
    assert (posted.status_code, b"".join(posted)) == (200, b"")


@pytest.mark.usefixtures("two")
def test_a_refusal_is_json(api: Api) -> None:
    answer = asked(api, events=steps("view"), format="csv")
    assert (answer.status_code, answer.json()["attr"]) == (400, "funnel_step")


@pytest.mark.usefixtures("two")
def test_too_many_columns(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_COLUMNS", 12)
    answer = asked(api, **VIEW, format="csv")
    assert (answer.status_code, answer.json()["attr"]) == (400, "format")


def test_groups_have_their_columns(api: Api, capture: Capture) -> None:
    capture("a", "$groupidentify", properties={"$group_type": "org", "$group_key": "x", "$group_set": {"name": "X"}})
    capture("ann", "view", timestamp=NOON, properties={"$groups": {"org": "x"}})
    (row,) = table(asked(api, **VIEW, aggregation_group_type_index=0, format="csv"))
    assert (row["type"], row["group_key"], row["properties.name"]) == ("group", "x", "X")
