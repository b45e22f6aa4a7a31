"""One child of `manage.py up`: migrates both stores and makes the first project, with a single start of Django."""

import io
import os
import sys

import django
import orjson
from django.core.management import call_command, get_commands

MADE = b"made: "


def main() -> None:
    """Migrate; on the first start print the new project as the last line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
    django.setup()
    from core.tenancy.models import Organization

    call_command("migrate", verbosity=0, interactive=False)
    call_command("migrate_events", verbosity=0)
    if "provision" in get_commands() and not Organization.objects.exists():
        answer = io.StringIO()
        call_command("provision", "--json", stdout=answer)
        made = orjson.loads(answer.getvalue().strip().splitlines()[-1])
        sys.stdout.buffer.write(MADE + orjson.dumps(made) + b"\n")


if __name__ == "__main__":
    main()
