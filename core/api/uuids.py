"""UUIDs of things that come without one."""

import os
import time
from uuid import UUID

_VERSION_7 = 7 << 76
_VARIANT = 2 << 62
_RANDOM_A_MASK = (1 << 12) - 1
_RANDOM_B_MASK = (1 << 62) - 1


def new_uuid() -> UUID:
    """Return a UUIDv7: ordered by time, so that indexes on it stay small."""
    random = int.from_bytes(os.urandom(10))
    milliseconds = time.time_ns() // 1_000_000
    high = (milliseconds << 80) | _VERSION_7 | ((random & _RANDOM_A_MASK) << 64)
    low = _VARIANT | ((random >> 12) & _RANDOM_B_MASK)
    return UUID(int=high | low)
