"""Every writable field by the tables: what is taken is answered and logged, what is not changes nothing."""

from typing import Any

import pytest

from core.projects.serializers import ProjectSerializer
from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.core.projects.fields_table import REFUSED, TAKEN
from tests.core.projects.helpers import PREFIXES, log_of, path_of, whole

WRITABLE = {name for name, field in ProjectSerializer().fields.items() if not field.read_only}
OF_PROJECT = {"name", "product_description"}


def without_time(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "updated_at"}


def test_tables_name_every_writable_field() -> None:
    assert set(TAKEN) == set(REFUSED) == WRITABLE


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_values_are_taken_answered_and_logged(cast: Cast, name: str) -> None:
    before = whole(cast)
    entries = 0
    for value in TAKEN[name]:
        shown = before[name]
        answer = parsed(cast.as_owner()("PATCH", path_of(cast.team), {name: value}))
        assert answer[name] == value
        assert without_time(answer) == {**without_time(before), name: value}
        assert without_time(whole(cast)) == without_time(answer)
        entries += shown != value
        before = answer
    log = log_of(cast)
    assert len(log) == entries
    for entry in log:
        assert (entry["scope"], entry["activity"]) == ("Project" if name in OF_PROJECT else "Team", "updated")
        assert [change["field"] for change in entry["detail"]["changes"]] == [name]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_other_values_are_refused_and_change_nothing(cast: Cast, name: str) -> None:
    before = whole(cast)
    other = "anonymize_ips" if name != "anonymize_ips" else "session_recording_opt_in"
    for value, code, below in REFUSED[name]:
        response = cast.as_owner()("PATCH", path_of(cast.team), {other: True, name: value})
        status, kind, found, detail, attr = problem(response)
        assert (status, kind, found, attr) == (400, "validation_error", code, name + below), str(value)[:100]
        assert len(detail) < 500
        response = cast.as_owner()("POST", "/api/projects/", {name: value})
        assert (response.status_code, problem(response)[4]) == (400, name + below), str(value)[:100]
    assert whole(cast) == before
    assert log_of(cast) == []
    assert parsed(cast.as_owner().get("/api/projects/"))["count"] == 2


@pytest.mark.parametrize("prefix", PREFIXES)
def test_whole_object_sent_back_by_put_changes_nothing(cast: Cast, prefix: str) -> None:
    body = {name: values[0] for name, values in TAKEN.items()}
    stored = parsed(cast.as_owner()("PATCH", path_of(cast.team, prefix), body))
    assert {name: stored[name] for name in body} == body
    logged = len(log_of(cast))
    assert logged == 2
    echoed = parsed(cast.as_owner()("PUT", path_of(cast.team, prefix), stored))
    assert without_time(echoed) == without_time(stored)
    assert len(log_of(cast)) == logged


def test_fresh_project_sent_back_by_put_changes_nothing(cast: Cast) -> None:
    made = parsed(cast.as_owner()("POST", "/api/projects/", {}))
    path = f"/api/projects/{made['id']}/"
    assert without_time(parsed(cast.as_owner()("PUT", path, made))) == without_time(made)
    assert [entry["activity"] for entry in parsed(cast.as_owner().get(f"{path}activity/"))["results"]] == ["created"]


def test_every_value_may_be_given_at_creation(cast: Cast) -> None:
    body = {name: values[0] for name, values in TAKEN.items()}
    made = parsed(cast.as_owner()("POST", "/api/projects/", body))
    assert {name: made[name] for name in body} == body
