"""`manage.py up`: the whole server with one command."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from persons_api import env
from persons_api.embedded.supervisor import Supervisor, UpOptions


class Command(BaseCommand):
    """Starts the stores that have no URL, migrates, and runs web, worker and beat until Ctrl-C."""

    help = __doc__
    # The stores do not run yet, and the children check the system themselves.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Flags; each has an environment variable of the same meaning where other commands need it too."""
        folder, port = settings.DATA_DIR, env.integer("PORT", 8000, maximum=65535)
        parser.add_argument("--data-dir", type=Path, default=folder, help="default: PERSONS_API_DATA_DIR or .data")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=port, help="default: PORT or 8000")
        parser.add_argument("--workers", type=int, default=2, help="web processes")
        parser.add_argument(
            "--no-demo", action="store_true", default=env.boolean("NO_DEMO"), help="start without demo data"
        )

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 parsed words
        """Run until told to stop."""
        wanted = UpOptions(
            data_dir=options["data_dir"].absolute(),
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            demo=not options["no_demo"],
        )
        sys.exit(Supervisor(wanted).run())
