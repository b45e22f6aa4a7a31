"""The published shapes of plugins. Rows never pass through these."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from core.plugins.models import Plugin


@extend_schema_field(
    {
        "oneOf": [
            {"type": "array", "items": {"type": "object", "additionalProperties": {}}},
            {"type": "object", "additionalProperties": {}},
        ]
    }
)
class ConfigSchemaField(serializers.JSONField):
    """A list of fields, each with its `key`, or an object of fields by key."""


class PluginSerializer(serializers.Serializer[Any]):
    """A plugin that an organization sees."""

    id = serializers.IntegerField(read_only=True)
    plugin_type = serializers.ChoiceField(
        choices=Plugin.Type.choices, read_only=True, help_text="`inline` plugins are carried out by this server itself."
    )
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    url = serializers.CharField(read_only=True, allow_null=True, help_text="Without its query part.")
    icon = serializers.CharField(max_length=800, required=False, allow_null=True, allow_blank=True)
    config_schema = ConfigSchemaField(
        required=False, help_text="The fields of configs: `key`, `name`, `type`, `required`, `secret`, `default` ..."
    )
    tag = serializers.CharField(
        max_length=200, required=False, allow_null=True, allow_blank=True, help_text="The version."
    )
    latest_tag = serializers.CharField(read_only=True, allow_null=True)
    is_global = serializers.BooleanField(
        required=False, help_text="Whether every organization of the server sees it; needs the access level ROOT."
    )
    organization_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="Null for plugins of the server itself."
    )
    organization_name = serializers.CharField(read_only=True, allow_null=True)
    capabilities = serializers.DictField(
        read_only=True,
        help_text="`methods`, `jobs` and `scheduled_tasks` that its code exports, each where there are any.",
    )
    metrics = serializers.DictField(required=False)
    public_jobs = serializers.DictField(required=False, help_text="The jobs that may be started, with their payloads.")
    hog_function_migration_available = serializers.BooleanField(read_only=True, help_text="Always false.")


class PluginChange(PluginSerializer):
    """What may be changed of a plugin; the archive of a new version replaces its files."""

    archive = serializers.FileField(
        write_only=True, required=False, help_text="zip or tgz, in a multipart body; for a plugin without a URL."
    )


class PluginInstall(PluginChange):
    """A plugin to install: from source text, an uploaded archive, a repository, or a folder of the server."""

    plugin_type = serializers.ChoiceField(
        choices=["source", "custom", "repository", "local"],
        required=False,
        help_text="`custom` unless told: an uploaded `archive`, or a `url`.",
    )
    url = serializers.CharField(
        max_length=2000,
        required=False,
        allow_null=True,
        help_text="Of a repository on GitHub or GitLab, of an npm package, or `file:` with the path of a folder.",
    )
    source = serializers.CharField(  # type: ignore[assignment]  # a field of this name, which the class does not keep
        write_only=True, required=False, allow_blank=True, help_text="`index.ts` of a `source` plugin."
    )


@extend_schema_serializer(many=False)
class PaginatedPluginList(serializers.Serializer[Any]):
    """A page of plugins."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PluginSerializer(many=True)


PLUGIN_SOURCES: Final = {"type": "object", "additionalProperties": {"type": "string"}}
"""The texts of files by their names."""
PLUGIN_SOURCE_CHANGES: Final = {
    "application/json": {"type": "object", "additionalProperties": {"type": "string", "nullable": True}}
}
"""Texts by the names of files; null removes a file."""
