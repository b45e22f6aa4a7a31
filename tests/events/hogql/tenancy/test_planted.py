"""The random queries find a guard or row policies that are missing: each defect is planted here on purpose."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

import pytest

from events.hogql.tables import events as events_table
from events.hogql.tables.registry import TABLES
from events.hogql.tables.source import TableSource
from tests.events.hogql.tenancy import asking
from tests.events.hogql.tenancy.asking import LeakError, Tally, check
from tests.events.hogql.tenancy.queries import question

pytestmark = pytest.mark.usefixtures("worlds")

MOST: Final = 5_000
JOINED: Final[Mapping[str, str]] = {
    "persons": "person.",
    "person_distinct_ids": "pdi.",
    "person_distinct_id_overrides": "override.",
    "groups": "group_0.",
    "sessions": "session.",
}
"""Tables to a piece of the statements that join them of themselves."""


def leaks(piece: str) -> bool:
    """Whether one of the random statements with a piece of text in it shows or counts the other project's rows."""
    random = Random(piece)  # noqa: S311 nothing secret
    found = (question(random) for _ in range(MOST))
    for each in found:
        if piece in each.text:
            try:
                check(each, Tally())
            except LeakError:
                return True
    return False


def without_guard(sql: str) -> str:
    """Return the SQL of a source whose own guard, which is the last one, is gone."""
    head, guard, tail = sql.rpartition("team_id = {team_id:Int64}")
    assert guard
    return f"{head}team_id != 0{tail}"


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_its_guard_is_found(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = TableSource._select  # noqa: SLF001 what is broken here

    def select(source: TableSource, *args: Any) -> str:
        sql = write(source, *args)
        return without_guard(sql) if source.table.name == table else sql

    monkeypatch.setattr(TableSource, "_select", select)
    if TABLES[table].rows:
        monkeypatch.setattr(asking, "answer", without_inner_guards(asking.answer))
    assert leaks(f"from {table} ")


def without_inner_guards(answer: Any) -> Any:
    """Drop the guard of the query that stands for a table's rows, too."""

    def changed(sql: str, parameters: dict[str, Any], **words: Any) -> Any:
        return answer(sql.replace("r.team_id = {team_id:Int64}", "r.team_id != 0"), parameters, **words)

    return changed


@pytest.mark.parametrize("table", JOINED)
def test_a_lazy_join_without_its_guard_is_found(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = TableSource._as_joined  # noqa: SLF001 what is broken here

    def as_joined(source: TableSource, *args: Any) -> str:
        sql = write(source, *args)
        return without_guard(sql) if source.table.name == table else sql

    monkeypatch.setattr(TableSource, "_as_joined", as_joined)
    assert leaks(JOINED[table])


def test_the_overrides_of_persons_without_their_guard_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_table, "_OVERRIDES", without_guard(events_table._OVERRIDES))  # noqa: SLF001
    assert leaks(".person_id as")


def test_row_policies_that_are_off_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asking.answer

    def answer(sql: str, parameters: dict[str, Any], *, app: bool = False, **words: Any) -> Any:
        if app:
            return asked(sql, parameters, app=True, **words)
        with asking.as_the_app():
            return asked(sql, parameters, app=True, **words)

    monkeypatch.setattr(asking, "answer", answer)
    assert leaks("from events ")
