"""Who did what: one row per change made through the API."""

from typing import ClassVar
from uuid import uuid4

from django.db import models

from core.tenancy.fields import StoredJSONField


class ActivityLog(models.Model):
    """An entry of a project's or organization's activity log; it outlives what it tells of."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    team_id = models.BigIntegerField(null=True, blank=True)
    organization_id = models.UUIDField(null=True, blank=True)
    user = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    is_system = models.BooleanField(default=False)
    activity = models.CharField(max_length=79)
    scope = models.CharField(max_length=79)
    item_id = models.CharField(max_length=72, null=True, blank=True)  # noqa: DJ001 null is what the API answers
    detail = StoredJSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Every list is newest first: within one project or organization, scope and item, and for operators in all."""

        verbose_name, verbose_name_plural = "activity", "activity log"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(team_id__isnull=False) | models.Q(organization_id__isnull=False),
                name="activity_has_team_or_organization",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["team_id", "scope", "item_id", "-created_at"], name="activity_team_idx"),
            models.Index(fields=["team_id", "scope", "-created_at", "-id"], name="activity_scope_idx"),
            models.Index(fields=["-created_at", "-id"], name="activity_newest_idx"),
            models.Index(fields=["organization_id", "-created_at", "-id"], name="activity_organization_idx"),
            models.Index(fields=["organization_id", "scope", "-created_at", "-id"], name="activity_org_scope_idx"),
            models.Index(
                fields=["organization_id", "scope", "item_id", "-created_at", "-id"], name="activity_org_item_idx"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.activity}"
