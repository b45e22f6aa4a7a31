"""Persisted folders over HTTP: read the request, call one function, answer."""

from core.api.views import TeamViewSet


class PersistedFolderViewSet(TeamViewSet):
    """Where the calling user keeps things in this project."""
