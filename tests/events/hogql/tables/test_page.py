"""The page of docs on tables is what its generator prints."""

from pathlib import Path

from django.conf import settings

from events.hogql.tables.page import page
from events.hogql.tables.registry import TABLES


def test_the_page_is_current() -> None:
    stored = (Path(settings.BASE_DIR) / "docs" / "hogql_tables.md").read_text(encoding="utf-8")
    assert stored == page(), "run python -m events.hogql.tables.page > docs/hogql_tables.md"


def test_every_table_is_on_it() -> None:
    text = page()
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == [
        "Whose an event is",
        *TABLES,
        "numbers(n), numbers(start, n)",
    ]
