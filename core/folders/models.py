"""Where users keep their things in a project: home, pinned items, custom products."""

from typing import ClassVar
from uuid import uuid4

from django.db import models

from core.tenancy.managers import TeamScopedModel


class PersistedFolder(TeamScopedModel):
    """One place of one user in one project; `surface` is the application that shows it."""

    class Type(models.TextChoices):
        """What is kept there."""

        HOME = "home"
        PINNED = "pinned"
        CUSTOM_PRODUCTS = "custom_products"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey("core.User", on_delete=models.CASCADE, related_name="+")
    type = models.CharField(max_length=24, choices=Type.choices)
    surface = models.CharField(max_length=16, default="web", db_default="web")
    protocol = models.CharField(max_length=64, default="products://")
    path = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TeamScopedModel.Meta):
        """A user has one folder of a type."""

        constraints: ClassVar = [
            models.UniqueConstraint("team", "user", "type", "surface", name="persisted_folder_unique")
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.user_id}"
