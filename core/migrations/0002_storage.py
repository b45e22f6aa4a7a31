"""How Postgres keeps the two tables that are written most."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    """Outbox payloads are compressed already; updated persons find room on their own page."""

    dependencies: ClassVar = [("core", "0001_initial")]
    operations: ClassVar = [
        migrations.RunSQL(
            "ALTER TABLE core_outboxrows ALTER COLUMN payload SET STORAGE EXTERNAL",
            "ALTER TABLE core_outboxrows ALTER COLUMN payload SET STORAGE EXTENDED",
        ),
        migrations.RunSQL(
            "ALTER TABLE core_person SET (fillfactor = 80)", "ALTER TABLE core_person RESET (fillfactor)"
        ),
    ]
