"""What is kept encrypted in Postgres: configs, attachments and payloads of plugins.

Fernet (AES-128-CBC with HMAC-SHA-256) under the first key of ENCRYPTION_KEYS; what the others encrypted is still
read, and `manage.py rotate_encryption` writes it anew under the first.
"""

import base64
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_PURPOSE: Final = b"persons-api encryption at rest\n"


class UnreadableError(RuntimeError):
    """Something was encrypted under a key that this server does not have (any more)."""

    def __init__(self) -> None:
        super().__init__("Stored data is encrypted under a key that is not in ENCRYPTION_KEYS.")


def encrypt(value: bytes) -> bytes:
    """Encrypt bytes; they may be of any size, and take a third more."""
    return _fernet().encrypt(value)


def decrypt(token: bytes | memoryview) -> bytes:
    """Return what was encrypted; raises UnreadableError."""
    try:
        return _fernet().decrypt(bytes(token))
    except InvalidToken:
        raise UnreadableError from None


def encrypt_json(value: Any) -> bytes:  # noqa: ANN401 any JSON value
    """Encrypt a JSON value."""
    return encrypt(orjson.dumps(value))


def decrypt_json(token: bytes | memoryview) -> Any:  # noqa: ANN401 any JSON value
    """Return the JSON value that was encrypted; raises UnreadableError."""
    return orjson.loads(decrypt(token))


def reencrypt(token: bytes | memoryview) -> bytes:
    """Return a token of the same content under the first key; raises UnreadableError."""
    try:
        return _fernet().rotate(bytes(token))
    except InvalidToken:
        raise UnreadableError from None


def is_current(token: bytes | memoryview) -> bool:
    """Whether something is encrypted under the first key."""
    try:
        _fernets()[0].decrypt(bytes(token))
    except InvalidToken:
        return False
    return True


def new_key() -> str:
    """Return a new random key for ENCRYPTION_KEYS."""
    return Fernet.generate_key().decode()


def _fernet() -> MultiFernet:
    return MultiFernet(_fernets())


def _fernets() -> tuple[Fernet, ...]:
    return _fernets_of(tuple(settings.ENCRYPTION_KEYS), settings.SECRET_KEY)


@lru_cache(maxsize=4)
def _fernets_of(keys: tuple[str, ...], secret_key: str) -> tuple[Fernet, ...]:
    """Without keys, one derived from SECRET_KEY serves, so that a server works before anyone made keys."""
    derived = base64.urlsafe_b64encode(sha256(_PURPOSE + secret_key.encode()).digest()).decode()
    return tuple(Fernet(key) for key in (*keys, derived))
