"""Logs of plugin configs over HTTP: read the request, run one query, answer."""

from core.api.views import TeamViewSet


class PluginLogViewSet(TeamViewSet):
    """What a config's plugin, and this server about it, have to say."""
