"""What queries keep in Redis: answers, how background runs stand, and who runs right now."""

from typing import Final

from django.conf import settings

from core.redis_store import RedisStore, redis_store

ANSWER_SECONDS: Final = 2.0


def query_store() -> RedisStore:
    """Return the process's one store of queries."""
    return redis_store(settings.REDIS_URL, answer_seconds=ANSWER_SECONDS)
