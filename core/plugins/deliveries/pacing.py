"""How long a destination rests after a failure."""

from secrets import SystemRandom
from typing import Final

from django.conf import settings

RETRY_AFTER_MOST: Final = 3_600.0
_JITTER: Final = 0.25
_DOUBLINGS_MOST: Final = 40
_random: Final = SystemRandom()


def pause_seconds(attempts: int, retry_after: float | None = None) -> float:
    """Return the seconds until the next attempt after so many that failed, or what the receiver asked for.

    Twice as long each time and up to a quarter shorter at random, so that those that failed together do not come back
    together. A receiver may ask for at most an hour, and for no less than the first pause.
    """
    first: float = settings.PLUGIN_RETRY_SECONDS
    if retry_after is not None:
        return min(max(first, retry_after), RETRY_AFTER_MOST)
    pause: float = min(first * 2 ** min(max(attempts, 1) - 1, _DOUBLINGS_MOST), settings.PLUGIN_RETRY_LONGEST_SECONDS)
    return pause * _random.uniform(1 - _JITTER, 1)
