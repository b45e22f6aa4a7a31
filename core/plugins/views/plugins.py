"""Plugins of an organization over HTTP: read the request, call one function, answer."""

from core.api.views import ApiViewSet


class PluginViewSet(ApiViewSet):
    """Plugins that the organization can configure: its own, those of the server, and global ones."""
