"""The resources as an app, for what follows from a migration."""

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class CoreConfig(AppConfig):
    """Keeps the rows of inline plugins in line with the handlers, from one start of the server to the next."""

    name = "core"

    def ready(self) -> None:
        """Connect the signal, which `migrate` sends, and a flush of the database too."""
        post_migrate.connect(_plugins_sync, sender=self)


def _plugins_sync(*, apps: Apps = apps, **_: Any) -> None:  # noqa: ANN401 Django's signature
    """Bring the rows up to date, unless the database was only migrated to before there were any.

    A migration gives the models of its time, a flush gives none.
    """
    try:
        apps.get_model("core", "Plugin")
    except LookupError:
        return
    from core.plugins.handlers.inline import inline_plugins_sync

    inline_plugins_sync()
