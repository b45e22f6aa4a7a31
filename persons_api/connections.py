"""Web threads keep their pooled connection between requests: giving it back costs more than a look-up by key."""

from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections


def close_broken_connections(**_: object) -> None:
    """Give back a connection that failed or was left inside a transaction; keep the others."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred or connection.in_atomic_block or not connection.autocommit:
            connection.close_if_unusable_or_obsolete()


def keep_connections() -> None:
    """Replace Django's closing of connections around each request."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_finished.connect(close_broken_connections)
