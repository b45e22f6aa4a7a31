"""Every statement of the corpus on the real engine, as the query user: its rows, or the error that it gets."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import orjson
import pytest
import yaml

from events import client
from events.asking import Asked
from events.errors import QueryMistake
from events.hogql.compile import compile_query
from events.hogql.errors import HogQLError
from events.hogql.parser import parse_select
from events.hogql.printer import print_hogql
from events.hogql.substitution import limited, substitute
from tests.events.hogql.corpus.world import CANARY, CANARY_NUMBER, CONTEXT, FILLED, TEAM, fill

FOLDER: Final = Path(__file__).parent
FILES: Final = sorted(FOLDER.glob("*.yaml"))
LEAST: Final = 300


@pytest.fixture(scope="module")
def world(clickhouse_schema: None) -> Iterator[ModuleType]:
    """The store with the rows of both projects."""
    fill(client)
    yield client
    for table in FILLED:
        client.command("TRUNCATE TABLE {name:Identifier}", {"name": table.value})


def entries(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text("utf-8"))
    return found


def test_the_corpus_is_large_enough() -> None:
    names = [entry.get("name", entry["hogql"]) for file in FILES for entry in entries(file)]
    assert len(names) >= LEAST
    assert len(names) == len(set(names)), "two statements have one name"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_statements(file: Path, world: ModuleType, subtests: pytest.Subtests) -> None:
    for entry in entries(file):
        with subtests.test(entry.get("name", entry["hogql"])):
            check(entry)


def check(entry: dict[str, Any]) -> None:
    """Run an entry: `hogql`, `values`, `context` (changes of CONTEXT); `rows` or `error`, `columns`, `types`, `at`."""
    if "error" in entry:
        check_error(entry)
        return
    names, found = run(entry)
    text = orjson.dumps(found.rows).decode()
    assert CANARY not in text
    assert str(CANARY_NUMBER) not in text
    if entry.get("sorted", False):
        assert sorted(found.rows, key=repr) == sorted(entry["rows"], key=repr)
    else:
        assert found.rows == entry["rows"]
    if "columns" in entry:
        assert list(names) == entry["columns"]
    if "types" in entry:
        assert [kind for _, kind in found.columns] == entry["types"]


def check_error(entry: dict[str, Any]) -> None:
    with pytest.raises((HogQLError, QueryMistake)) as raised:
        run(entry)
    message = getattr(raised.value, "message", str(raised.value))
    assert entry["error"] in message
    assert CANARY not in message
    if "at" in entry:
        assert isinstance(raised.value, HogQLError)
        assert entry["hogql"][raised.value.start : raised.value.end] == entry["at"]


def run(entry: dict[str, Any]) -> tuple[tuple[str, ...], Asked]:
    query = substitute(parse_select(entry["hogql"]), values=entry.get("values", {}), variables={}, filters=None)
    found = limited(query, default=100, maximum=50_000)
    # What is printed is the same statement.
    assert print_hogql(parse_select(print_hogql(found.query))) == print_hogql(found.query)
    compiled = compile_query(found.query, replace(CONTEXT, **entry.get("context", {})))
    asked = client.ask(
        compiled.sql,
        compiled.parameters,
        team_id=TEAM,
        query_id="corpus",
        seconds=20,
        memory_mb=1024,
        max_rows=50_001,
        max_bytes=16 * 1024**2,
    )
    return compiled.columns, asked
