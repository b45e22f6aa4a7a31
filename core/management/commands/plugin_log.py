"""`manage.py plugin_log`: append lines to the logs of plugin configs."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, transaction

from core.outbox.services import outbox_drain
from core.plugins.logs.reading import LinesRefusedError, read_lines
from core.plugins.logs.services import PluginLog, logs_append
from core.tenancy.holding import TeamGoneError, team_hold
from events.errors import EventStoreError


class Command(BaseCommand):
    """Append all lines, or none when one of them is wrong."""

    requires_system_checks = ()
    help = (
        "Appends lines to the logs of plugin configs: all of them, or none when one is wrong. Whether a project has "
        "the plugin and the config is not asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare --json."""
        parser.add_argument(
            "--json",
            required=True,
            metavar="LINES",
            help='an array of {"team_id", "plugin_id", "plugin_config_id", "source" (SYSTEM, PLUGIN, CONSOLE), "type" '
            '(DEBUG, LOG, INFO, WARN, ERROR), "message", "timestamp" (ISO 8601; now when left out)}; - reads it from '
            "standard input",
        )

    def handle(self, *_args: object, json: str, **_options: object) -> None:
        """Run."""
        try:
            lines = read_lines(sys.stdin.read() if json == "-" else json)
            _append(lines)
        except UnicodeDecodeError as error:
            message = "standard input is no UTF-8"
            raise CommandError(message) from error
        except LinesRefusedError as error:
            raise CommandError(str(error)) from error
        except (OperationalError, InterfaceError) as error:
            message = "Postgres is away; nothing was appended"
            raise CommandError(message) from error
        self.stdout.write(f"{len(lines):,} line{'' if len(lines) == 1 else 's'} appended")
        self._tell_old(lines)
        try:
            outbox_drain()
        except (EventStoreError, OperationalError, InterfaceError):
            self.stderr.write("A store is away: the worker of `manage.py up` carries them into ClickHouse later.")

    def _tell_old(self, lines: Sequence[PluginLog]) -> None:
        days = settings.PLUGIN_LOG_RETENTION_DAYS
        since = datetime.now(UTC) - timedelta(days=days)
        if old := sum(line.timestamp is not None and line.timestamp < since for line in lines):
            self.stderr.write(f"{old:,} of them are older than {days} days (PLUGIN_LOG_RETENTION_DAYS) and soon gone")


def _append(lines: Sequence[PluginLog]) -> None:
    with transaction.atomic():
        for team_id in sorted({line.team_id for line in lines}):
            try:
                team_hold(team_id)
            except TeamGoneError as error:
                message = f"there is no project {team_id}"
                raise CommandError(message) from error
        logs_append(lines)
