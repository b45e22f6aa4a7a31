"""Roles group members of an organization."""

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

CAN_ONLY_VIEW = 21
CAN_ALWAYS_EDIT = 37


class Role(models.Model):
    """A named group of members; its name is unique in the organization whatever its case."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(
        "core.Organization", on_delete=models.CASCADE, related_name="roles", db_index=False
    )
    name = models.CharField(max_length=200)
    feature_flags_access_level = models.PositiveSmallIntegerField(default=CAN_ALWAYS_EDIT)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        """Lists are in order of creation."""

        constraints: ClassVar = [models.UniqueConstraint("organization", Lower("name"), name="role_name_unique")]
        indexes: ClassVar = [models.Index(fields=["organization", "created_at", "id"], name="role_list_idx")]

    def __str__(self) -> str:
        return self.name


class RoleMembership(models.Model):
    """One user in one role; it ends with the user's membership of the organization."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    user = models.ForeignKey("core.User", on_delete=models.CASCADE, related_name="role_memberships")
    organization_member = models.ForeignKey(
        "core.OrganizationMembership", on_delete=models.CASCADE, related_name="role_memberships"
    )
    joined_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """A user is in a role once; lists are in order of joining."""

        constraints: ClassVar = [models.UniqueConstraint("role", "user", name="role_membership_unique")]
        indexes: ClassVar = [models.Index(fields=["role", "joined_at", "id"], name="role_membership_list_idx")]

    def __str__(self) -> str:
        return f"{self.user} as {self.role}"
