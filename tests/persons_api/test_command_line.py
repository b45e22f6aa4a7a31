"""What `manage.py` says when a setting is wrong or a store is away: one line, and no password in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from persons_api.embedded.stores import URL_NAMES
from tests.support.processes import REPOSITORY

NOWHERE = "postgresql://mia:geheim@127.0.0.1:1/shop"


def manage(*words: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if name not in {*URL_NAMES, "PORT"}}
    return subprocess.run(
        [sys.executable, "manage.py", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
        env={**kept, "PERSONS_API_DATA_DIR": str(folder), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("command", ["up", "check", "provision", "migrate", "run_deletions"])
def test_a_wrong_setting_is_told_in_one_line_that_names_it(tmp_path: Path, command: str) -> None:
    done = manage(command, folder=tmp_path, RATE_LIMIT_BURST="10")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("RATE_LIMIT_BURST: expected a number from 1 to 100000")
    assert line.endswith("got '10'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("LOG_LEVEL", "loud"),
        ("PERSONS_API_PRODUCTION", "1"),
        ("DATABASE_URL", "mysql://geheim@127.0.0.1/x"),
    ],
)
def test_every_kind_of_wrong_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    done = manage("up", folder=tmp_path, **{name: value})
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert ("SECRET_KEY" if name == "PERSONS_API_PRODUCTION" else name) in line
    assert "geheim" not in line


@pytest.mark.parametrize("command", ["provision", "run_deletions", "import_events", "load_demo"])
def test_a_database_that_is_away_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    words = (command, "/dev/null") if command == "import_events" else (command,)
    done = manage(*words, folder=tmp_path, DATABASE_URL=NOWHERE)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line == (
        "PostgreSQL does not answer at 127.0.0.1:1 (Connection refused): "
        "is `manage.py up` running, or is DATABASE_URL right?"
    )


def test_a_server_that_was_never_started_is_named_by_its_folder(tmp_path: Path) -> None:
    done = manage("provision", folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"PostgreSQL does not answer at {tmp_path}/run (No such file or directory): is `manage.py")


def test_clickhouse_that_is_away_is_told_in_one_line(tmp_path: Path) -> None:
    done = manage("migrate_events", folder=tmp_path, CLICKHOUSE_URL="http://mia:geheim@127.0.0.1:1/x")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "event store is not available" in line


def test_djangos_flag_shows_the_whole_error(tmp_path: Path) -> None:
    wrong = manage("provision", "--traceback", folder=tmp_path, RATE_LIMIT_BURST="10")
    away = manage("provision", "--traceback", folder=tmp_path, DATABASE_URL=NOWHERE)
    for done, last in ((wrong, "ImproperlyConfigured: RATE_LIMIT_BURST"), (away, "OperationalError")):
        assert done.returncode == 1
        assert "Traceback (most recent call last)" in done.stderr
        assert last in done.stderr.splitlines()[-1]


def test_a_defect_keeps_its_traceback(tmp_path: Path) -> None:
    commands = tmp_path / "broken" / "management" / "commands"
    commands.mkdir(parents=True)
    (tmp_path / "broken" / "__init__.py").touch()
    (commands / "fail.py").write_text(
        "from django.core.management.base import BaseCommand\n"
        "from django.db import OperationalError\n"
        "from psycopg.errors import DeadlockDetected\n\n\n"
        "class Command(BaseCommand):\n"
        "    def add_arguments(self, parser):\n"
        "        parser.add_argument('kind')\n\n"
        "    def handle(self, *args, kind, **options):\n"
        "        if kind == 'deadlock':\n"
        "            raise OperationalError('deadlock detected') from DeadlockDetected()\n"
        "        raise ValueError('a defect')\n"
    )
    (tmp_path / "broken_settings.py").write_text(
        "from persons_api.settings import *\n\nINSTALLED_APPS = [*INSTALLED_APPS, 'broken']\n"
    )
    for kind, told in (("value", "ValueError: a defect"), ("deadlock", "OperationalError: deadlock detected")):
        done = manage("fail", kind, folder=tmp_path, DJANGO_SETTINGS_MODULE="broken_settings", PYTHONPATH=str(tmp_path))
        assert done.returncode == 1
        assert "Traceback (most recent call last)" in done.stderr
        assert done.stderr.splitlines()[-1].endswith(told)
