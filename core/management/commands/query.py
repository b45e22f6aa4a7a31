"""Runs one HogQL query on a project's data and prints the answer."""

import csv
import io
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from core.api.errors import ApiError
from core.api.json import dumps
from core.query.bodies import QueryRequest
from core.query.calculation import Asker, calculated, question_of
from core.tenancy.context import TEAM_COLUMNS, TeamContext, team_from_row
from core.tenancy.statements import execute

FORMATS = ("table", "json", "csv")
PIPE_WIDTH = 200
_TEAM = f"SELECT {TEAM_COLUMNS} FROM core_team t WHERE t.id = %s AND t.deleted_at IS NULL"  # noqa: S608
_ONLY_TEAM = f"SELECT {TEAM_COLUMNS} FROM core_team t WHERE t.deleted_at IS NULL ORDER BY t.id LIMIT 2"  # noqa: S608


class Command(BaseCommand):
    """`manage.py query "select event, count() from events group by event" --team 1`."""

    help = "Run a HogQL query on a project's data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what to ask, of whom, and how to print it."""
        parser.add_argument("query", help="HogQL, or - for what standard input holds")
        parser.add_argument("--team", "--project", type=int, help="id of the project; needed where there are several")
        parser.add_argument("--format", choices=FORMATS, default="table")
        parser.add_argument("--explain", action="store_true", help="print ClickHouse's SQL and its plan, and no rows")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 Django's options
        """Run and print."""
        del args
        text = sys.stdin.read() if options["query"] == "-" else options["query"]
        node = {"kind": "HogQLQuery", "query": text, "explain": options["explain"]}
        asker = Asker(_team(options["team"]), user_id=0, sees_sql=True)
        try:
            answer = calculated(question_of(asker, QueryRequest(node=node, name="manage.py query"))).answer
        except ApiError as error:
            raise CommandError(described(text, error)) from error
        except KeyboardInterrupt:
            raise CommandError("The query was stopped.") from None
        if options["explain"]:
            self._explain(answer)
        else:
            getattr(self, f"_{options['format']}")(answer)

    def _explain(self, answer: Mapping[str, Any]) -> None:
        self.stdout.write(f"{answer['hogql']}\n\n{answer['clickhouse']}\n\n" + "\n".join(answer["explain"]))

    def _table(self, answer: Mapping[str, Any]) -> None:
        table = Table(*answer["columns"], header_style="bold")
        for row in answer["results"]:
            table.add_row(*map(_cell, row))
        count = len(answer["results"])
        is_terminal = self.stdout.isatty()
        text = io.StringIO()
        console = Console(
            file=text,
            width=None if is_terminal else PIPE_WIDTH,
            force_terminal=is_terminal,
            markup=False,
            highlight=False,
        )
        console.print(table)
        console.print(f"{count} row{'' if count == 1 else 's'}{', and more' if answer['hasMore'] else ''}")
        self.stdout.write(text.getvalue(), ending="")

    def _json(self, answer: Mapping[str, Any]) -> None:
        self.stdout.write(dumps(answer, indent=True).decode())

    def _csv(self, answer: Mapping[str, Any]) -> None:
        rows: Sequence[Sequence[Any]] = answer["results"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(answer["columns"])
        writer.writerows([_cell(value) for value in row] for row in rows)
        self.stdout.write(text.getvalue(), ending="")


def described(text: str, error: ApiError) -> str:
    """Return an error's text, with the line that it is about and a caret under the place."""
    metadata: Any = (error.extra or {}).get("hogql_metadata")
    if metadata is None or metadata["errors"][0]["start"] is None:
        return error.detail
    start = metadata["errors"][0]["start"]
    start = min(start, len(text))
    begin = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start)
    line = text[begin : len(text) if end < 0 else end]
    stop = metadata["errors"][0]["end"] or start
    width = max(1, min(stop, begin + len(line)) - start)
    # Tabs stay tabs, so that the caret stands under its place.
    lead = "".join("\t" if one == "\t" else " " for one in line[: start - begin])
    return f"{error.detail}\n\n  {line}\n  {lead}{'^' * width}"


def _team(team_id: int | None) -> TeamContext:
    rows = execute(_ONLY_TEAM) if team_id is None else execute(_TEAM, [team_id])
    if len(rows) > 1:
        raise CommandError("There are several projects: say which one with --team.")
    team = team_from_row(rows[0]) if rows else None
    if team is None:
        raise CommandError("There is no such project.")
    return team


def _cell(value: Any) -> str:  # noqa: ANN401 any JSON value
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()
