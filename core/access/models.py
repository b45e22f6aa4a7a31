"""Personal API keys. Only a hash of the key is stored."""

import hashlib
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from core.tenancy.models import random_token

MAX_KEYS_PER_USER = 10


def new_key_id() -> str:
    """Return the public id of a key: a random base62 text, not a UUID."""
    return random_token("", 16)


def new_key_value() -> str:
    """Return a personal API key (`phx_`, 35 random bytes)."""
    return random_token("phx_", 35)


def hash_key_value(value: str) -> str:
    """Return the stored form of a key. A fast hash is enough: the key itself has 280 random bits."""
    return "sha256$" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def mask_key_value(value: str) -> str:
    """Return the first and last four characters, all that is ever shown again."""
    return f"{value[:4]}...{value[-4:]}"


class PersonalAPIKey(models.Model):
    """A Bearer credential of one user, narrowed by scopes, projects and organizations."""

    id = models.CharField(primary_key=True, max_length=50, default=new_key_id, editable=False)
    user = models.ForeignKey("core.User", on_delete=models.CASCADE, related_name="personal_api_keys")
    label = models.CharField(max_length=40)
    secure_value = models.CharField(max_length=300, unique=True, editable=False)
    mask_value = models.CharField(max_length=11, editable=False)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_rolled_at = models.DateTimeField(null=True, blank=True)
    scopes = ArrayField(models.CharField(max_length=100), null=True, blank=True)
    scoped_teams = ArrayField(models.BigIntegerField(), null=True, blank=True)
    scoped_organizations = ArrayField(models.CharField(max_length=100), null=True, blank=True)

    class Meta:
        """Newest first, as the list endpoint answers."""

        verbose_name = "personal API key"
        ordering: ClassVar = ["-created_at", "id"]

    def __str__(self) -> str:
        return f"{self.label} ({self.mask_value})"
