"""Plugins, the configs that projects have of them, and their work. What is stored encrypted is never read here.

Nor are the events that wait for destinations and the ids of their persons: persons and events have no pages.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.plugins.models import (
    Plugin,
    PluginAttachment,
    PluginConfig,
    PluginDelivery,
    PluginDestination,
    PluginJob,
)
from persons_api.admin.base import OperatorAdmin, as_json, counted, link_to_list
from persons_api.admin.site import site

COUNTED_MOST: Final = 10_000
"""How many events that wait are counted; a queue can be much longer."""


def _link_to_config(config_id: int) -> SafeString:
    address = reverse("admin:core_pluginconfig_change", args=[config_id])
    return format_html('<a class="text-primary-600 underline" href="{}">config {}</a>', address, config_id)


class RelatedAdmin(OperatorAdmin):
    """Reads related rows in the same statement, without their deferred columns."""

    related: ClassVar[Sequence[str]] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Join what names a row."""
        return super().get_queryset(request).select_related(*self.related)


@admin.register(Plugin, site=site)
class PluginAdmin(RelatedAdmin):
    """Installed plugins, and those of the server itself; organizations change theirs through the API."""

    related = ("organization",)
    deferred = ("encrypted_query", "archive")
    deferred_in_lists = ("config_schema", "capabilities", "metrics", "public_jobs", "description")
    narrowed_by = ("organization__id__exact",)
    list_display = ("name", "id", "plugin_type", "organization", "is_global", "tag", "configs", "updated_at")
    list_filter = ("plugin_type", "is_global")
    search_fields = ("name", "=id")
    ordering = ("-id",)
    fields = (
        "id", "name", "description", "plugin_type", "organization", "is_global", "is_preinstalled", "address", "tag",
        "latest_tag", "configs", "schema", "what_it_can", "jobs", "created_at", "updated_at",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plugin]:
        """Count configs in the same statement."""
        rows = PluginConfig.unscoped.filter(plugin=OuterRef("pk")).order_by().values("plugin")
        count = Coalesce(Subquery(rows.annotate(found=Count("pk")).values("found")), 0)
        return cast("QuerySet[Plugin]", super().get_queryset(request).annotate(config_count=count))

    @admin.display(description="URL")
    def address(self, plugin: Plugin) -> str:
        """Return the URL without its query part, which may be a private token."""
        return (plugin.url or "-").partition("?")[0]

    @admin.display(ordering="config_count")
    def configs(self, plugin: Any) -> SafeString:  # noqa: ANN401 annotated
        """Link to the configs."""
        narrowed = {"plugin__id__exact": plugin.pk}
        return link_to_list("pluginconfig", counted(plugin.config_count, "config"), narrowed)

    @admin.display(description="config schema")
    def schema(self, plugin: Plugin) -> SafeString:
        """Show the fields of a config."""
        return as_json(plugin.config_schema)

    @admin.display(description="capabilities")
    def what_it_can(self, plugin: Plugin) -> SafeString:
        """Show methods, jobs and scheduled tasks."""
        return as_json(plugin.capabilities)

    @admin.display(description="public jobs")
    def jobs(self, plugin: Plugin) -> SafeString:
        """Show the jobs that the API starts."""
        return as_json(plugin.public_jobs)


@admin.register(PluginConfig, site=site)
class PluginConfigAdmin(RelatedAdmin):
    """How projects use plugins. The values of a config are encrypted whole, and not decrypted for this page."""

    related = ("plugin", "team")
    deferred = ("encrypted_config", "web_token", "filters", "plugin__encrypted_query", "plugin__archive")
    narrowed_by = ("plugin__id__exact", "team__id__exact")
    list_display = ("id", "shown_name", "plugin", "team", "enabled", "deleted", "order", "updated_at")
    list_filter = ("enabled", "deleted")
    search_fields = ("=id", "name", "plugin__name")
    ordering = ("-id",)
    fields = (
        "id", "shown_name", "description", "plugin", "team", "enabled", "deleted", "order", "values", "files",
        "destination_link", "jobs", "dead_letters", "created_at", "updated_at",
    )  # fmt: skip

    @admin.display(description="name", ordering="name")
    def shown_name(self, config: PluginConfig) -> str:
        """Return the config's own name, or its plugin's."""
        return config.name or config.plugin.name

    @admin.display(description="config")
    def values(self, config: PluginConfig) -> str:
        """Say why nothing is shown."""
        del config
        return "Stored encrypted; only the project's members see it, without its secrets."

    @admin.display(description="attachments")
    def files(self, config: PluginConfig) -> str:
        """Name the keys of the files and their sizes."""
        rows = PluginAttachment.objects.for_team(config.team_id).filter(plugin_config_id=config.pk)
        found = rows.order_by("key").values_list("key", "file_size")[:100]
        return ", ".join(f"{key} ({counted(size, 'byte')})" for key, size in found) or "-"

    @admin.display(description="destination")
    def destination_link(self, config: PluginConfig) -> SafeString:
        """Link to what is delivered for it."""
        return link_to_list("plugindestination", "destination", {"plugin_config__id__exact": config.pk})

    def jobs(self, config: PluginConfig) -> SafeString:
        """Link to the jobs."""
        return link_to_list("pluginjob", "jobs", {"plugin_config__id__exact": config.pk})

    @admin.display(description="dead letters")
    def dead_letters(self, config: PluginConfig) -> SafeString:
        """Link to the events that were given up."""
        return _link_to_letters(config.team_id, config.pk, "dead letters")


@admin.register(PluginJob, site=site)
class PluginJobAdmin(RelatedAdmin):
    """Jobs that the API started. Their payloads are encrypted, and not shown."""

    related = ("team", "created_by")
    deferred = ("encrypted_payload",)
    narrowed_by = ("plugin_config__id__exact",)
    list_display = ("created_at", "type", "operation", "state", "config", "team", "attempts", "last_error")
    list_filter = ("state",)
    search_fields = ("=id", "type")
    ordering = ("-created_at", "id")
    fields = (
        "id", "type", "operation", "state", "config", "team", "created_by", "attempts", "next_attempt_at",
        "last_error", "created_at", "started_at", "finished_at",
    )  # fmt: skip

    @admin.display(ordering="plugin_config_id")
    def config(self, job: PluginJob) -> SafeString:
        """Link to the config, which is not read."""
        return _link_to_config(job.plugin_config_id)


@admin.register(PluginDestination, site=site)
class PluginDestinationAdmin(RelatedAdmin):
    """Where captured events are delivered to, and how the event that is next fares."""

    related = ("team",)
    narrowed_by = ("plugin_config__id__exact", "team__id__exact")
    list_display = (
        "config", "team", "is_active", "attempts", "failing_since", "next_attempt_at", "last_delivered_at",
        "last_error",
    )  # fmt: skip
    list_filter = ("is_active",)
    search_fields = ("=plugin_config__id", "=team__id")
    search_help_text = "A config's id, or a project's"
    ordering = ("-plugin_config_id",)
    fields = (
        "config", "team", "is_active", "waiting", "dead_letters", "attempts", "failing_since", "next_attempt_at",
        "last_delivered_at", "last_error",
    )  # fmt: skip

    @admin.display(ordering="plugin_config_id")
    def config(self, destination: PluginDestination) -> SafeString:
        """Link to the config, which is not read."""
        return _link_to_config(destination.plugin_config_id)

    @admin.display(description="events that wait")
    def waiting(self, destination: PluginDestination) -> str:
        """Say how many events wait, COUNTED_MOST at most."""
        return _count(destination, is_dead=False)

    @admin.display(description="dead letters")
    def dead_letters(self, destination: PluginDestination) -> SafeString:
        """Link to the events that were given up."""
        count = _count(destination, is_dead=True)
        return _link_to_letters(destination.team_id, destination.plugin_config_id, count)


@admin.register(PluginDelivery, site=site)
class DeadLetterAdmin(OperatorAdmin):
    """Events that were given up, without the events themselves. A job of the config delivers them once more."""

    deferred = ("payload", "distinct_id")
    narrowed_by = ("team__id__exact", "plugin_config_id__exact")
    list_display = ("id", "config", "team_id", "event", "captured_at", "dead_at", "attempts", "error")
    search_fields = ("=plugin_config_id", "=team__id")
    search_help_text = "A config's id, or a project's"
    ordering = ("-id",)
    fields = ("id", "config", "team_id", "event", "event_uuid", "captured_at", "dead_at", "attempts", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PluginDelivery]:
        """Leave those out that still wait."""
        return cast("QuerySet[PluginDelivery]", super().get_queryset(request).filter(dead_at__isnull=False))

    @admin.display(ordering="plugin_config_id")
    def config(self, delivery: PluginDelivery) -> SafeString:
        """Link to the config."""
        return _link_to_config(delivery.plugin_config_id)

    @admin.display(description="team id")
    def team_id(self, delivery: PluginDelivery) -> int:
        """Return the project's id."""
        return delivery.team_id


def _count(destination: PluginDestination, *, is_dead: bool) -> str:
    rows = PluginDelivery.objects.for_team(destination.team_id).filter(
        plugin_config_id=destination.plugin_config_id, dead_at__isnull=not is_dead
    )
    count = rows[: COUNTED_MOST + 1].count()
    return f"more than {COUNTED_MOST:,} events" if count > COUNTED_MOST else counted(count, "event")


def _link_to_letters(team_id: int, config_id: int, text: str) -> SafeString:
    narrowed = {"team__id__exact": team_id, "plugin_config_id__exact": config_id}
    return link_to_list("plugindelivery", text, narrowed)
