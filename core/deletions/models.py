"""Wishes to erase, the runs that carry them out, and the receipts that prove it."""

from typing import ClassVar
from uuid import uuid4

from django.db import models

from core.tenancy.fields import StoredJSONField
from core.tenancy.managers import TeamScopedModel


class DeletionRequest(TeamScopedModel):
    """A wish to erase events or recordings, with every id that named the person when it was made, or a whole project.

    `distinct_ids` is a list of `{"distinct_id", "generation", "until", "deleted"}`: rows of that life of the id
    that were there at `until` are to go, and what mirrors the id itself too when it was `deleted`. `tombstones`
    is a list of `{"uuid", "version"}`: mirror rows of these persons up to the version are to go. Once verified,
    `receipt` says what was found and removed, and `distinct_ids` are replaced by their hashes. Before that,
    `receipt` holds what earlier runs removed without reaching the end.

    The request for a project outlives the project: it keeps its name and organization, and the UUID of its
    environment in `person_uuid`. Its `receipt` counts by place from the first count on.
    """

    class Kind(models.TextChoices):
        """What is to be erased."""

        EVENTS = "events"
        RECORDINGS = "recordings"
        PROJECT = "project"

    OF_PERSONS: ClassVar = (Kind.EVENTS, Kind.RECORDINGS)

    team = models.ForeignKey("core.Team", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    person_uuid = models.UUIDField()
    person_id = models.BigIntegerField(null=True, blank=True)
    person_deleted = models.BooleanField(default=False, db_default=False)
    distinct_ids = StoredJSONField(default=list)
    tombstones = StoredJSONField(default=list, db_default=models.Value([], models.JSONField()))
    organization_id = models.UUIDField(null=True, blank=True)
    project_name = models.CharField(max_length=200, blank=True, default="", db_default="")
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    requested_by_email = models.CharField(max_length=254, blank=True, default="", db_default="")
    # The run that works on it; a request that is repeated meanwhile leaves its run and waits for the next.
    run = models.ForeignKey(
        "core.DeletionRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    last_error = models.CharField(max_length=400, blank=True, default="", db_default="")
    verified_at = models.DateTimeField(null=True, blank=True)
    receipt = StoredJSONField(null=True, blank=True)

    class Meta(TeamScopedModel.Meta):
        """One open request per person and kind, or per project; status lists are newest first."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                "team", "kind", "person_uuid", condition=models.Q(verified_at__isnull=True), name="deletion_open_unique"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["team", "kind", "-requested_at", "-id"], name="deletion_status_idx"),
            models.Index(fields=["team", "person_uuid"], name="deletion_person_idx"),
            models.Index(
                fields=["organization_id", "-requested_at", "-id"],
                name="deletion_projects_idx",
                condition=models.Q(kind="project"),
            ),
            models.Index(fields=["id"], name="deletion_open_idx", condition=models.Q(verified_at__isnull=True)),
            models.Index(
                fields=["run", "id"], name="deletion_run_idx", condition=models.Q(run__isnull=False, verified_at=None)
            ),
            models.Index(
                fields=["verified_at"], name="deletion_age_idx", condition=models.Q(verified_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        if self.kind == self.Kind.PROJECT:
            return f"project {self.team_id}"
        return f"{self.kind} of {self.person_uuid}"


class DeletionRun(models.Model):
    """One run of the deletion job: how far it came, so that another can go on after a kill.

    `step` is the last step that was completed. `found` counts the rows found by table.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    step = models.CharField(max_length=40, blank=True, default="")
    requests = models.PositiveIntegerField(default=0)
    verified = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=400, blank=True, default="", db_default="")
    found = StoredJSONField(default=dict)

    def __str__(self) -> str:
        return f"deletion run of {self.started_at:%Y-%m-%d %H:%M}"
