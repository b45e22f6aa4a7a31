"""The published shapes of logs. Rows never pass through these."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.plugins.logs.services import LogSource, LogType


class PluginLogEntry(serializers.Serializer[Any]):
    """A line about a plugin config."""

    id = serializers.UUIDField()
    team_id = serializers.IntegerField()
    plugin_id = serializers.IntegerField()
    plugin_config_id = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    source = serializers.ChoiceField(  # type: ignore[assignment]  # DRF fields have an attribute of this name
        choices=list(LogSource),
        help_text="Who speaks: SYSTEM is the server, PLUGIN the plugin's life cycle, CONSOLE the plugin itself.",
    )
    type = serializers.ChoiceField(choices=list(LogType))
    message = serializers.CharField()
    instance_id = serializers.UUIDField(help_text="The server process that wrote the line.")


@extend_schema_serializer(many=False)
class PaginatedPluginLogEntryList(serializers.Serializer[Any]):
    """A page of a config's log, newest first."""

    count = serializers.IntegerField(help_text="How many lines match, on all pages.")
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PluginLogEntry(many=True)
