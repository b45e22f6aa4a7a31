"""The Django project as an app, for its commands, templates and checks."""

from django.apps import AppConfig


class PersonsApiConfig(AppConfig):
    """Registers the system checks."""

    name = "persons_api"

    def ready(self) -> None:
        """Import the checks, which register themselves."""
        from persons_api import checks  # noqa: F401
