"""`manage.py query`: a table, JSON, CSV, a plan, and errors with a caret under their place."""

import csv
import io
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command

from core.tenancy.models import Team
from tests.factories import make_team

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse", "valkey")]


def run(text: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("query", text, stdout=out, **options)
    return out.getvalue()


def test_a_table(team: Team, capture: Callable[..., None]) -> None:
    capture("click", count=2)
    capture("$pageview")
    shown = run("select event, count() as times from events group by event order by event")
    assert "event" in shown
    assert "times" in shown
    lines = shown.splitlines()
    assert any("click" in line and "2" in line for line in lines)
    assert lines[-1] == "2 rows"
    assert run("select number from numbers(300)").splitlines()[-1] == "100 rows, and more"
    assert "[bold]" in run("select '[bold]'")


def test_json_and_csv(team: Team) -> None:
    text = "select 'a,b' as x, null as y, [1, 2] as z"
    assert orjson.loads(run(text, format="json"))["results"] == [["a,b", None, [1, 2]]]
    assert list(csv.reader(io.StringIO(run(text, format="csv")))) == [["x", "y", "z"], ["a,b", "", "[1,2]"]]


def test_a_plan(team: Team) -> None:
    shown = run("select count() from events", explain=True)
    assert "SELECT count() FROM events LIMIT 100" in shown
    assert "team_id = {team_id:Int64}" in shown
    assert "Read" in shown


def test_a_caret_stands_under_the_mistake(team: Team) -> None:
    with pytest.raises(CommandError) as raised:
        run("select 1,\n\tfoo, 2\nfrom events")
    lines = str(raised.value).splitlines()
    assert "foo" in lines[0]
    assert lines[-2:] == ["  \tfoo, 2", "  \t^^^"]


def test_what_clickhouse_refuses_has_no_caret(team: Team) -> None:
    with pytest.raises(CommandError) as raised:
        run("select intDiv(1, number) from numbers(2)")
    assert "^" not in str(raised.value)


def test_the_project_must_be_clear(team: Team) -> None:
    other = make_team()
    with pytest.raises(CommandError, match="several projects"):
        run("select 1")
    assert "1 row" in run("select 1", team=other.id)
    with pytest.raises(CommandError, match="no such project"):
        run("select 1", team=999_999)
