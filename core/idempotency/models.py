"""Answers kept for clients that send a request again with the same Idempotency-Key."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from core.tenancy.fields import StoredJSONField


class IdempotentAnswer(models.Model):
    """The answer to one key of one caller, written in the transaction of its effect."""

    class Withheld(models.TextChoices):
        """Why status, headers and body are not there, though the request was carried out."""

        LARGE = "large", "Too large to keep"
        SECRET = "secret", "Contains a secret"
        ERASED = "erased", "Erased with personal data"

    pk = models.CompositePrimaryKey("caller_hash", "key_hash")
    caller_hash = models.BinaryField(max_length=32)
    key_hash = models.BinaryField(max_length=32)
    request_hash = models.BinaryField(max_length=32)
    team_id = models.BigIntegerField(null=True, blank=True)
    status = models.PositiveSmallIntegerField()
    headers = StoredJSONField(default=dict)
    body = models.BinaryField()
    withheld = models.CharField(max_length=8, choices=Withheld, default="", db_default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """Forgotten by age, and with the persons of a project."""

        indexes: ClassVar = [
            models.Index(fields=["created_at"], name="idempotent_age_idx"),
            models.Index(fields=["team_id"], name="idempotent_team_idx"),
        ]

    def __str__(self) -> str:
        return f"answer {self.status}"
