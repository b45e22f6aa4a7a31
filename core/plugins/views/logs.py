"""Logs of plugin configs over HTTP: read the request, run one query, answer."""

from typing import Final

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from core.api.errors import Forbidden
from core.api.params import read_id
from core.api.views import Answer, TeamViewSet
from core.plugins.levels import PluginsAccessLevel
from core.plugins.logs.parameters import PARAMETERS, read_question
from core.plugins.logs.queries import log_page
from core.plugins.logs.serializers import PaginatedPluginLogEntryList

TOO_LOW: Final = "Your organization's plugin access level is insufficient."


class PluginLogViewSet(TeamViewSet):
    """What a config's plugin, and this server about it, have to say."""

    @extend_schema(parameters=PARAMETERS, responses=PaginatedPluginLogEntryList)
    def list(self, request: Request, plugin_config_id: str, **_: object) -> Answer:
        """List the lines of a config, newest first.

        A config that the project does not have has no lines. Lines are there a moment after they were written,
        and go after PLUGIN_LOG_RETENTION_DAYS, 7 unless the server is set up otherwise.
        """
        if self.organization.plugins_access_level < PluginsAccessLevel.CONFIG:
            raise Forbidden(TOO_LOW)
        config_id = read_id(plugin_config_id)
        question = read_question(request.query_params, team_id=self.team.id, plugin_config_id=config_id)
        window = self.window()
        lines, count = log_page(question, limit=window.limit, offset=window.offset)
        return self.page_response(window, lines, count=count)
