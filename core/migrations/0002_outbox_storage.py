"""Outbox payloads are compressed already: Postgres must not try to compress them again."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Store payloads out of line, as they are."""

    dependencies: ClassVar = [("core", "0001_initial")]
    operations: ClassVar = [
        migrations.RunSQL(
            "ALTER TABLE core_outboxrows ALTER COLUMN payload SET STORAGE EXTERNAL",
            "ALTER TABLE core_outboxrows ALTER COLUMN payload SET STORAGE EXTENDED",
        )
    ]
