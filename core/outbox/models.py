"""ClickHouse rows that wait in Postgres, committed together with the change that caused them."""

from typing import ClassVar

from django.db import models


class OutboxRows(models.Model):
    """Rows of one ClickHouse table from one transaction, as zstd-compressed JSONEachRow lines."""

    id = models.BigAutoField(primary_key=True)
    table = models.CharField(max_length=64)
    row_count = models.PositiveIntegerField()
    payload = models.BinaryField()
    batch_id = models.UUIDField(null=True, blank=True)
    refused_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The drain reads in order of id; a batch that was begun is found by its id."""

        verbose_name = verbose_name_plural = "outbox rows"
        indexes: ClassVar = [
            models.Index("batch_id", name="outbox_batch_idx", condition=models.Q(batch_id__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.row_count} rows for {self.table}"
