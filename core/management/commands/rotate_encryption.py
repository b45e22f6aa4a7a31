"""`manage.py rotate_encryption`: bring everything that is stored encrypted under the newest key."""

from django.core.management.base import BaseCommand, CommandError

from core.management.deletion_progress import reporter_for
from core.management.rotation import ColumnRotation, rotate

SHOWN_IDS = 20
INTERRUPTED = 130


class Command(BaseCommand):
    """Run after a new key was put in front of ENCRYPTION_KEYS, and before the old one is taken out."""

    requires_system_checks = ()
    help = (
        "Writes configs, attachments and payloads of plugins anew under the first of ENCRYPTION_KEYS. A run that was "
        "killed goes on by starting again. Exit codes: 0 only the first key is needed now, 1 some rows cannot be read."
    )

    def handle(self, *_args: object, **_options: object) -> None:
        """Run."""
        done: dict[str, ColumnRotation] = {}
        try:
            with reporter_for() as reporter:
                for state in rotate():
                    place = f"{state.table}.{state.column}"
                    if place not in done:
                        reporter.begin(state.table, state.total)
                        done[place] = state
                    reporter.moved(state.seen)
        except KeyboardInterrupt:
            message = "interrupted; run the same command again to go on where it stopped"
            raise CommandError(message, returncode=INTERRUPTED) from None
        for place, state in done.items():
            rest = state.seen - state.written - len(state.unreadable)
            self.stdout.write(f"{place}: {state.written:,} written anew, {rest:,} were under the first key already")
        unreadable = {place: state.unreadable for place, state in done.items() if state.unreadable}
        for place, ids in unreadable.items():
            shown = ", ".join(map(str, ids[:SHOWN_IDS])) + (" ..." if len(ids) > SHOWN_IDS else "")
            self.stderr.write(f"{place}: no key of ENCRYPTION_KEYS reads {len(ids):,} rows; ids {shown}")
        if unreadable:
            message = "some rows stay as they were; put the key that they need back at the end of ENCRYPTION_KEYS"
            raise CommandError(message)
