"""Stores of the whole run, and the fixtures that hand them to tests clean."""

import os
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import django
import hypothesis
import pytest
from django.conf import settings as django_settings

from tests.support.stores import StoresOfTheRun

# Before anything reads Django's settings: they take the stores' URLs from the environment.
if django_settings.configured:
    raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: with it pytest-django reads settings before the stores run")
_stores = StoresOfTheRun()
_stores.begin()
os.environ["DJANGO_SETTINGS_MODULE"] = "persons_api.settings"
# Here and not in a hook: conftest files further down import models before hooks run.
django.setup()
# Workers of xdist inherit this environment, and in them pytest-django would read settings before this file runs.
del os.environ["DJANGO_SETTINGS_MODULE"]
PATIENCE_SECONDS = 60
# How long an example takes says nothing of the code on a busy machine.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_unconfigure() -> None:
    _stores.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the authorization matrix and the random queries recorded, in whichever process they ran."""
    totals: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            counted = ("authorization_", "tenancy_")
            totals.update({name: value for name, value in report.user_properties if name.startswith(counted)})
    if totals["tenancy_statements"]:
        ran, returned = totals["tenancy_ran"], totals["tenancy_returned"]
        terminalreporter.write_line(
            f"random queries: {totals['tenancy_statements']:,}, {ran:,} of them ran, {returned:,} returned rows"
        )
    if totals["authorization_combinations"]:
        combinations, unexpected = totals["authorization_combinations"], totals["authorization_unexpected"]
        line = f"authorization matrix: {combinations:,} combinations, {unexpected:,} unexpected answers"
        terminalreporter.write_line(line, green=not unexpected, red=bool(unexpected))


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """Wait for stores on a busy machine: requests give them up after fractions of a second, and go on without."""
    from core import redis_store
    from core.access import windows
    from core.insights import cache
    from core.query import store
    from persons_api import health

    deadlines = {
        windows: ("CONNECT_SECONDS", "ANSWER_SECONDS"),
        redis_store: ("CONNECT_SECONDS",),
        cache: ("ANSWER_SECONDS",),
        store: ("ANSWER_SECONDS",),
        health: ("TIMEOUT_SECONDS",),
    }
    with pytest.MonkeyPatch.context() as patched:
        for module, names in deadlines.items():
            for name in names:
                patched.setattr(module, name, PATIENCE_SECONDS)
        pool: dict[str, Any] = django_settings.DATABASES["default"]["OPTIONS"]["pool"]  # type: ignore[index]  # a dict
        patched.setitem(pool, "timeout", PATIENCE_SECONDS)
        yield


@pytest.fixture(scope="session")
def clickhouse_schema() -> None:
    from django.core.management import call_command

    call_command("migrate_events", verbosity=0)


@pytest.fixture
def clickhouse(clickhouse_schema: None) -> Iterator[ModuleType]:
    """The `events.client` module on this worker's database, all tables empty."""
    from events import client

    yield client
    filled = client.query(
        "SELECT name FROM system.tables"
        " WHERE database = currentDatabase() AND total_rows > 0 AND name != 'schema_migrations'"
    )
    for (name,) in filled.rows:
        client.command("TRUNCATE TABLE {name:Identifier}", {"name": name})


@pytest.fixture
def valkey() -> Iterator[object]:
    """A Redis client on this worker's database number, empty."""
    import redis
    from django.conf import settings

    with redis.Redis.from_url(settings.REDIS_URL) as connection:
        connection.flushdb()
        yield connection
        connection.flushdb()
