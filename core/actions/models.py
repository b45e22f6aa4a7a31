"""Saved actions: events that a project names once, and counts together everywhere."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.tenancy.fields import StoredJSONField
from core.tenancy.managers import TeamScopedModel


class Action(TeamScopedModel):
    """A named set of events: those that any of its steps matches."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=400, blank=True, default="", help_text="Empty for an action without a name.")
    description = models.TextField(blank=True, default="")
    tags = ArrayField(models.TextField(), default=list)
    steps = StoredJSONField(default=list)
    deleted = models.BooleanField(default=False)
    pinned_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta(TeamScopedModel.Meta):
        """Lists are newest first; the name of a deleted action is free again."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                "team", "name", condition=models.Q(deleted=False) & ~models.Q(name=""), name="action_name_unique"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["team", "-created_at", "-id"], name="action_list_idx")]

    def __str__(self) -> str:
        return self.name
