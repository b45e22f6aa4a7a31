"""Plugin configs over HTTP, under each family's own name: read the request, call one function, answer."""

from core.api.views import TeamViewSet


class PluginConfigViewSet(TeamViewSet):
    """How the project uses plugins: all configs."""


class DestinationConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that get captured events."""


class FrontendAppConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that run in browsers."""


class TransformationConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that change events while they are captured."""


class ImportAppConfigViewSet(PluginConfigViewSet):
    """Configs of plugins that fetch data by themselves."""
