"""The published shapes of plugin configs. Rows never pass through these."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.plugins.configs.bodies import MAX_DESCRIPTION, MAX_NAME, MAX_ORDER, MIN_ORDER
from core.plugins.serializers import PluginSerializer


class PluginConfig(serializers.Serializer[Any]):
    """How the project uses a plugin."""

    id = serializers.IntegerField(read_only=True)
    plugin = serializers.IntegerField(help_text="Id of the plugin; ignored in changes.")
    enabled = serializers.BooleanField(required=False, help_text="Whether the plugin works for the project.")
    order = serializers.IntegerField(
        min_value=MIN_ORDER, max_value=MAX_ORDER, help_text="Configs are listed, and transform events, in this order."
    )
    config = serializers.DictField(
        required=False,
        help_text=(
            "The values of the plugin's `config_schema`. Secrets are masked; sent back masked, null or not at all"
            " they stay. An empty text clears one. Forms carry this as JSON text."
        ),
    )
    error = serializers.CharField(
        read_only=True, allow_null=True, help_text="Null, unless the config cannot be decrypted. Failures are logged."
    )
    team_id = serializers.IntegerField(read_only=True)
    plugin_info = PluginSerializer(
        read_only=True, allow_null=True, help_text="The plugin; null in lists and rearrangements."
    )
    delivery_rate_24h = serializers.FloatField(
        read_only=True,
        allow_null=True,
        help_text=(
            "The share of events of the last 24 hours that were delivered, of those that were or were given up."
            " Null where there were none, and in answers to changes."
        ),
    )
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    name = serializers.CharField(
        max_length=MAX_NAME, required=False, allow_null=True, allow_blank=True, help_text="The plugin's, unless given."
    )
    description = serializers.CharField(
        max_length=MAX_DESCRIPTION,
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="The plugin's, unless given.",
    )
    deleted = serializers.BooleanField(
        required=False, help_text="Whether lists leave the config out; a deleted one is switched off."
    )


@extend_schema_serializer(many=False)
class PaginatedPluginConfigList(serializers.Serializer[Any]):
    """A page of plugin configs."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PluginConfig(many=True)


class PluginConfigOrders(serializers.Serializer[Any]):
    """The new places of configs."""

    orders = serializers.DictField(
        child=serializers.IntegerField(min_value=MIN_ORDER, max_value=MAX_ORDER),
        required=False,
        help_text="`order` by the id of the config. Ids of none that is switched on are passed over.",
    )


class PluginConfigJob(serializers.Serializer[Any]):
    """A job that a plugin is asked to do, or to stop doing."""

    type = serializers.CharField(help_text="The job's name, one of the plugin's `public_jobs` if it has any.")
    payload = serializers.DictField(required=False, help_text="What the job is to work with.")
    operation = serializers.ChoiceField(choices=["start", "stop"], required=False, help_text="`start` unless told.")


class PluginConfigJobBody(serializers.Serializer[Any]):
    """A request for a job."""

    job = PluginConfigJob()


class PluginConfigJobStarted(serializers.Serializer[Any]):
    """A job that was queued, or the note that others are to stop."""

    success = serializers.BooleanField()
    job_id = serializers.UUIDField()
