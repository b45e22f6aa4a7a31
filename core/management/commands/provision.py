"""`manage.py provision`: an organization, a project, a user and a new personal API key."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from core.access.scopes import is_scope
from core.access.throttles import rates_checked
from core.api.errors import Invalid
from core.api.json import dumps
from core.plugins.levels import PluginsAccessLevel
from core.tenancy.models import Level
from core.users.provisioning import Provisioned, Wish, provision

MAX_LABEL = 40
MAX_ORGANIZATION_NAME = 64
MAX_PROJECT_NAME = 200


class Command(BaseCommand):
    """Finds what is there (organization by name, project by name in it, user by e-mail) and makes the rest."""

    help = (
        "Make or find an organization, a project and a user, and print a new personal API key. "
        "The key is shown only here."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Everything has a default."""
        parser.add_argument("--organization", default="Default organization", metavar="NAME")
        parser.add_argument("--project", default="Default project", metavar="NAME")
        parser.add_argument("--email", default="admin@example.org")
        parser.add_argument("--password", default=None, help="for logging in; without one only keys work")
        parser.add_argument(
            "--level",
            choices=["member", "admin", "owner", "1", "8", "15"],
            help="in the organization (owner for new members; existing ones stay as they are)",
        )
        parser.add_argument("--label", default="provisioned", help="name of the key")
        parser.add_argument(
            "--scopes", default="*", metavar="LIST", help="comma-separated, such as person:read,query:read"
        )
        parser.add_argument("--scoped-teams", default="", metavar="LIST", help="comma-separated project ids")
        parser.add_argument(
            "--scoped-organizations", default="", metavar="LIST", help="comma-separated organization ids"
        )
        parser.add_argument(
            "--session-recording", choices=["on", "off"], help="whether the project's browsers record sessions"
        )
        parser.add_argument(
            "--operator", action="store_true", help="make the user an operator, who may use /admin/ (give a --password)"
        )
        parser.add_argument(
            "--rate-limit",
            action="append",
            metavar="NAME=RATE",
            help="a limit of this project alone, such as burst=1000/minute or burst=none; may be given again; "
            "all that are given replace those it has",
        )
        parser.add_argument(
            "--plugins-access-level",
            choices=[*(level.name for level in PluginsAccessLevel), *(str(int(level)) for level in PluginsAccessLevel)],
            help="what the organization may do with plugins: nothing, configure, install, or make them global as well "
            "(ROOT for new organizations; existing ones stay as they are)",
        )
        parser.add_argument("--json", action="store_true", help="print exactly one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 Django's signature
        """Do it and print the outcome."""
        del args
        try:
            made = provision(wish=_read_wish(options))
        except Invalid as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            self.stdout.write(dumps(asdict(made)).decode())
        else:
            self._tell(made)

    def _tell(self, made: Provisioned) -> None:
        self.stdout.write(
            f"Organization      {made.organization_id}\n"
            f"Project           {made.project_id}\n"
            f"Project token     {made.api_token}\n"
            f"User              {made.email} (id {made.user_id})\n"
            f"Personal API key  {made.personal_api_key}\n"
            "Keep the personal API key: it is not shown again."
        )


def _read_wish(options: dict[str, Any]) -> Wish:
    scopes = _words(options["scopes"])
    for scope in scopes:
        if not is_scope(scope):
            message = f"--scopes: unknown scope {scope!r}; use * or names such as person:read"
            raise CommandError(message)
    if not scopes:
        message = "--scopes: at least one scope is needed"
        raise CommandError(message)
    try:
        validate_email(options["email"])
    except ValidationError as error:
        message = f"--email: {options['email']!r} is not an e-mail address"
        raise CommandError(message) from error
    return Wish(
        organization=_text(options, "organization", MAX_ORGANIZATION_NAME),
        project=_text(options, "project", MAX_PROJECT_NAME),
        email=options["email"],
        password=options["password"],
        level=_level(options["level"]),
        label=_text(options, "label", MAX_LABEL),
        scopes=scopes,
        scoped_teams=_numbers(options["scoped_teams"]),
        scoped_organizations=_words(options["scoped_organizations"]),
        operator=options["operator"],
        rate_limits=_rate_limits(options["rate_limit"]),
        plugins_access_level=_plugins_access_level(options["plugins_access_level"]),
        session_recording=None if (asked := options["session_recording"]) is None else asked == "on",
    )


def _text(options: dict[str, Any], name: str, longest: int) -> str:
    text = str(options[name]).strip()
    if not 1 <= len(text) <= longest:
        message = f"--{name}: give 1 to {longest} characters"
        raise CommandError(message)
    return text


def _level(text: str | None) -> Level | None:
    if text is None:
        return None
    return Level(int(text)) if text.isdecimal() else Level[text.upper()]


def _plugins_access_level(text: str | None) -> PluginsAccessLevel | None:
    if text is None:
        return None
    return PluginsAccessLevel(int(text)) if text.isdecimal() else PluginsAccessLevel[text]


def _rate_limits(given: list[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    wanted = {name: rate for name, _, rate in (word.strip().partition("=") for word in given)}
    try:
        return rates_checked(wanted)
    except ValueError as error:
        message = f"--rate-limit: {error}"
        raise CommandError(message) from error


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError as error:
        message = "--scoped-teams: expected comma-separated project ids"
        raise CommandError(message) from error
