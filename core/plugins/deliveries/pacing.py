"""How long a destination rests after a failure."""

import math
from secrets import SystemRandom
from typing import Final

from django.conf import settings

RETRY_AFTER_MOST: Final = 3_600.0
_JITTER: Final = 0.25
_DOUBLINGS_MOST: Final = 40
_random: Final = SystemRandom()


def pause_seconds(attempts: int, retry_after: float | None = None) -> float:
    """Return the seconds until the next attempt after so many that failed; more if the receiver asked for that.

    Twice as long each time and up to a quarter shorter at random, so that those that failed together do not come back
    together. A receiver may ask for at most an hour.
    """
    first: float = settings.PLUGIN_RETRY_SECONDS
    pause: float = min(first * 2 ** min(max(attempts, 1) - 1, _DOUBLINGS_MOST), settings.PLUGIN_RETRY_LONGEST_SECONDS)
    asked = 0.0 if retry_after is None or math.isnan(retry_after) else min(retry_after, RETRY_AFTER_MOST)
    return max(pause * _random.uniform(1 - _JITTER, 1), asked)
