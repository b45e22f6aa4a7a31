"""`manage.py new_encryption_key`: a key for ENCRYPTION_KEYS."""

from django.core.management.base import BaseCommand

from core.encryption.services import new_key


class Command(BaseCommand):
    """Print a new random key, and nothing else."""

    requires_system_checks = ()
    help = (
        "Prints a new key for ENCRYPTION_KEYS. Put it in front of those that are there, restart every process, run "
        "rotate_encryption, and only then take the old ones out."
    )

    def handle(self, *_args: object, **_options: object) -> None:
        """Print it."""
        self.stdout.write(new_key())
