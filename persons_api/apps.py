"""The Django project as an app, for its commands, templates, checks and signals."""

from django.apps import AppConfig


class PersonsApiConfig(AppConfig):
    """Registers the system checks and what follows from signing in."""

    name = "persons_api"

    def ready(self) -> None:
        """Import the checks, which register themselves, and connect the signals."""
        from django.contrib.auth.signals import user_logged_in

        from core.access.sessions import sign_in_note
        from persons_api import checks  # noqa: F401

        user_logged_in.connect(sign_in_note)
