"""Plugins, how projects configure them, and what they are to deliver and to do."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.utils import timezone

from core.tenancy.fields import StoredJSONField
from core.tenancy.managers import TeamScopedModel


class Plugin(models.Model):
    """A plugin of an organization, or, as `inline`, of the server itself: then a Python handler carries it out.

    `capabilities` is `{"methods": [...], "jobs": [...], "scheduled_tasks": [...]}`, each absent where there are none.
    `url` has no query part; what stood there may be a private token and is kept encrypted in `encrypted_query`.
    """

    class Type(models.TextChoices):
        """Where the code came from, as PostHog names it."""

        LOCAL = "local"
        CUSTOM = "custom"
        REPOSITORY = "repository"
        SOURCE = "source"
        INLINE = "inline"

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        "core.Organization", null=True, blank=True, on_delete=models.CASCADE, related_name="plugins"
    )
    plugin_type = models.CharField(max_length=16, choices=Type.choices)
    is_global = models.BooleanField(default=False)
    is_preinstalled = models.BooleanField(default=False)
    is_stateless = models.BooleanField(default=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    url = models.CharField(max_length=800, null=True, blank=True)  # noqa: DJ001 null is what the API answers
    encrypted_query = models.BinaryField(null=True, blank=True)
    icon = models.CharField(max_length=800, null=True, blank=True)  # noqa: DJ001 null is what the API answers
    config_schema = StoredJSONField(default=list)
    tag = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 null is what the API answers
    latest_tag = models.CharField(max_length=800, null=True, blank=True)  # noqa: DJ001 null is what the API answers
    latest_tag_checked_at = models.DateTimeField(null=True, blank=True)
    archive = models.BinaryField(null=True, blank=True)
    capabilities = StoredJSONField(default=dict)
    metrics = StoredJSONField(default=dict)
    public_jobs = StoredJSONField(default=dict)
    log_level = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """An organization installs a URL once; an inline plugin is there once."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                "organization", "url", condition=models.Q(url__isnull=False), name="plugin_url_unique"
            ),
            models.UniqueConstraint(
                "url", condition=models.Q(organization__isnull=True, url__isnull=False), name="plugin_inline_unique"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["id"], name="plugin_global_idx", condition=models.Q(is_global=True))]

    def __str__(self) -> str:
        return self.name


class PluginSourceFile(models.Model):
    """One file of a plugin; `transpiled` is what browsers run, made by a compiler that the operator configured."""

    class Status(models.TextChoices):
        """How far the compilation came."""

        LOCKED = "LOCKED"
        TRANSPILED = "TRANSPILED"
        ERROR = "ERROR"

    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="source_files", db_index=False)
    filename = models.CharField(max_length=200)
    source = models.TextField(blank=True, default="")
    status = models.CharField(max_length=20, choices=Status.choices, null=True, blank=True)  # noqa: DJ001 null: not begun
    transpiled = models.TextField(null=True, blank=True)  # noqa: DJ001 null: not compiled
    error = models.TextField(null=True, blank=True)  # noqa: DJ001 null: no error
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """A plugin has a file once."""

        constraints: ClassVar = [models.UniqueConstraint("plugin", "filename", name="plugin_source_file_unique")]

    def __str__(self) -> str:
        return self.filename


class PluginConfig(TeamScopedModel):
    """How a project uses a plugin. `encrypted_config` is a JSON object, all of it encrypted (core.encryption)."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    plugin = models.ForeignKey(Plugin, on_delete=models.CASCADE, related_name="configs")
    enabled = models.BooleanField(default=False)
    order = models.IntegerField()
    encrypted_config = models.BinaryField()
    name = models.CharField(max_length=400, null=True, blank=True)  # noqa: DJ001 null is what the API takes
    description = models.CharField(max_length=1000, null=True, blank=True)  # noqa: DJ001 null is what the API takes
    deleted = models.BooleanField(default=False)
    filters = StoredJSONField(null=True, blank=True)
    web_token = models.CharField(max_length=64, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TeamScopedModel.Meta):
        """Lists go by order, then by plugin."""

        indexes: ClassVar = [models.Index(fields=["team", "order", "plugin", "id"], name="plugin_config_list_idx")]

    def __str__(self) -> str:
        return f"config {self.id} of plugin {self.plugin_id}"


class PluginAttachment(TeamScopedModel):
    """A file in a config, encrypted; `file_size` is that of the file."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+")
    plugin_config = models.ForeignKey(
        PluginConfig, on_delete=models.CASCADE, related_name="attachments", db_index=False
    )
    key = models.CharField(max_length=200)
    content_type = models.CharField(max_length=200)
    file_name = models.CharField(max_length=200)
    file_size = models.PositiveIntegerField()
    encrypted_contents = models.BinaryField()

    class Meta(TeamScopedModel.Meta):
        """A config has one file under a key."""

        constraints: ClassVar = [models.UniqueConstraint("plugin_config", "key", name="plugin_attachment_unique")]

    def __str__(self) -> str:
        return self.file_name


class PluginJob(TeamScopedModel):
    """A job that somebody started through the API; `encrypted_payload` is a JSON object."""

    class State(models.TextChoices):
        """Where the job stands; `skipped` is one that nothing on this server can carry out."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        SKIPPED = "skipped"
        STOPPED = "stopped"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+")
    plugin_config = models.ForeignKey(PluginConfig, on_delete=models.CASCADE, related_name="jobs")
    type = models.CharField(max_length=200)
    operation = models.CharField(max_length=20, default="start")
    encrypted_payload = models.BinaryField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=400, blank=True, default="")
    created_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(TeamScopedModel.Meta):
        """Those that are due are found by time."""

        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                name="plugin_job_due_idx",
                condition=models.Q(state__in=("queued", "running")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} ({self.state})"


class PluginDestination(TeamScopedModel):
    """A config to which captured events are delivered, and how its oldest waiting event fares.

    While `is_active`, events that are captured are queued as PluginDelivery rows. `attempts` is about the event that
    is next, `failing_since` is the first failure after which the receiver took nothing, `is_slow` says that it takes
    its time; whoever delivers holds the row's lock.
    """

    plugin_config = models.OneToOneField(
        PluginConfig, primary_key=True, on_delete=models.CASCADE, related_name="destination"
    )
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    is_active = models.BooleanField(default=True)
    attempts = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.CharField(max_length=400, blank=True, default="")
    is_slow = models.BooleanField(default=False, db_default=False)
    last_delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta(TeamScopedModel.Meta):
        """Capture asks which a team has, the worker which are due."""

        indexes: ClassVar = [
            models.Index(fields=["team"], name="plugin_destination_team_idx"),
            models.Index(
                fields=["next_attempt_at"], name="plugin_destination_due_idx", condition=models.Q(is_active=True)
            ),
        ]

    def __str__(self) -> str:
        return f"destination {self.plugin_config_id}"


class PluginDelivery(TeamScopedModel):
    """One event that waits for one config, or, once `dead_at` is set, that was given up (a dead letter).

    `payload` is JSON text of the event as handlers get it. The id gives the order of delivery. There are no foreign
    keys, because capture writes these: an uninstall and the deletion of a project remove them. `alone` is one that is
    to be sent by itself, because it was among others that could not be delivered together.
    """

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(
        "core.Team", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    plugin_config_id = models.BigIntegerField()
    distinct_id = models.TextField()
    generation = models.PositiveIntegerField()
    event_uuid = models.UUIDField()
    event = models.TextField()
    payload = models.TextField()
    captured_at = models.DateTimeField()
    alone = models.BooleanField(default=False)
    dead_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=400, blank=True, default="")

    class Meta(TeamScopedModel.Meta):
        """The queue of a config in order; its dead letters by the time of their death."""

        verbose_name_plural = "plugin deliveries"
        indexes: ClassVar = [
            models.Index(fields=["team", "plugin_config_id", "dead_at", "id"], name="plugin_delivery_idx")
        ]

    def __str__(self) -> str:
        return f"{self.event} for config {self.plugin_config_id}"


class PluginDeliveryCount(TeamScopedModel):
    """How many events of a config were delivered, and given up, in the ten minutes that begin at `bucket`."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(
        "core.Team", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, db_index=True
    )
    plugin_config_id = models.BigIntegerField()
    bucket = models.DateTimeField()
    delivered = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    failed_attempts = models.PositiveBigIntegerField(default=0)

    class Meta(TeamScopedModel.Meta):
        """One row for a config and time."""

        constraints: ClassVar = [
            models.UniqueConstraint("plugin_config_id", "bucket", name="plugin_delivery_count_unique")
        ]

    def __str__(self) -> str:
        return f"config {self.plugin_config_id} at {self.bucket:%Y-%m-%d %H:%M}"
