"""The command line of `manage.py`: what whoever runs it can mend is told in one line, all else by its traceback."""

import logging
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

from events.errors import StoreUnavailable

_TRACEBACK: Final = "--traceback"
_DRIVERS: Final = ("psycopg.pool", "urllib3.connectionpool", "clickhouse_connect.driver._backend.http_sync")
"""Loggers that tell of every attempt to connect, some with a traceback; the command says how it ended."""
_AWAY: Final = ("08", "57P")
"""Beginnings of Postgres' codes for a connection that failed, and for a server that stops or starts."""
_CONNECTING: Final = "error connecting in"


class _Attempts(logging.Filter):
    """Keeps why the last connection to Postgres failed, in place of a log line per attempt."""

    reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what is told at the end in one line."""
        if record.levelno > logging.WARNING:
            return True
        if record.getMessage().startswith(_CONNECTING):
            told = record.getMessage().partition(": ")[2].strip()
            # libpq adds lines with advice, and tells again which server it asked for what.
            self.reason = told.splitlines()[0].rpartition(" failed: ")[2] if told else ""
        return False


def run(arguments: Sequence[str]) -> None:
    """Run one management command; end with code 1 and one line when a setting is wrong or a store is away.

    Django's `--traceback` shows the whole error instead.
    """
    if _TRACEBACK in arguments:
        execute_from_command_line([*arguments])
        return
    attempts = _Attempts()
    for name in _DRIVERS:
        logging.getLogger(name).addFilter(attempts)
    try:
        execute_from_command_line([*arguments])
    except ImproperlyConfigured as error:
        _fail(str(error))
    except OperationalError as error:
        if not _is_away(error):
            raise
        reason = f" ({attempts.reason})" if attempts.reason else ""
        _fail(f"PostgreSQL does not answer at {_place()}{reason}: is `manage.py up` running, or is DATABASE_URL right?")
    except StoreUnavailable:
        _fail("ClickHouse does not answer: is `manage.py up` running, or is CLICKHOUSE_URL right?")


def _is_away(error: OperationalError) -> bool:
    """Tell a server that cannot be reached, which names no code, from one that refuses a statement."""
    code = getattr(error.__cause__, "sqlstate", None)
    return code is None or code.startswith(_AWAY)


def _place() -> str:
    from django.conf import settings

    database: dict[str, Any] = settings.DATABASES["default"]
    host, port = database["HOST"] or "localhost", database["PORT"] or "5432"
    return host if host.startswith("/") else f"{host}:{port}"


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"{' '.join(message.split())}\n")
    sys.exit(1)
