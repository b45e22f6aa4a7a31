"""Requests that may be sent again: one effect for one key of one caller, and the same answer each time.

Everything here runs inside the transaction of the request's effect, so that effect and answer are
committed together or not at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import orjson

from core.idempotency.models import IdempotentAnswer
from core.tenancy.holding import TeamGoneError, team_hold
from core.tenancy.statements import execute, fetch_row

MAX_KEY_LENGTH: Final = 255
MAX_BODY_BYTES: Final = 1024 * 1024
KEPT: Final = timedelta(hours=24)
PRUNED_AT_ONCE: Final = 5_000

Withheld = IdempotentAnswer.Withheld

_LOCK: Final = "SELECT pg_try_advisory_xact_lock(%s)"
_FIND: Final = """
SELECT request_hash, status, headers::text, body, withheld FROM core_idempotentanswer
WHERE caller_hash = %s AND key_hash = %s AND created_at > statement_timestamp() - %s
"""
_KEEP: Final = """
INSERT INTO core_idempotentanswer
    (caller_hash, key_hash, request_hash, team_id, status, headers, body, withheld, created_at)
VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s, %s, clock_timestamp())
ON CONFLICT (caller_hash, key_hash) DO UPDATE
SET request_hash = excluded.request_hash, team_id = excluded.team_id, status = excluded.status,
    headers = excluded.headers, body = excluded.body, withheld = excluded.withheld, created_at = excluded.created_at
"""
_PRUNE: Final = """
DELETE FROM core_idempotentanswer
WHERE (caller_hash, key_hash) IN (
    SELECT caller_hash, key_hash FROM core_idempotentanswer WHERE created_at <= statement_timestamp() - %(kept)s
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
  AND created_at <= statement_timestamp() - %(kept)s
RETURNING 1
"""
_ERASE: Final = """
UPDATE core_idempotentanswer SET headers = '{}', body = '', withheld = %s
WHERE team_id = %s AND created_at <= %s AND withheld = ''
RETURNING 1
"""


class KeyInUseError(RuntimeError):
    """A request with the same key is being carried out right now."""


class KeyReusedError(ValueError):
    """The key belongs to another request of this caller."""


class AnswerWithheldError(LookupError):
    """The request was carried out, but its answer was not kept; `reason` is one of Withheld."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request by its hashes: who sends it, under which key, and what it says. No text of it is kept."""

    caller_hash: bytes
    key_hash: bytes
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was sent the first time; `headers` are those that say what the body is."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def is_key(text: str) -> bool:
    """Whether a text can be a key: 1 to 255 printable ASCII characters."""
    return 0 < len(text) <= MAX_KEY_LENGTH and text.isascii() and text.isprintable()


def keyed_request(*, caller: str, key: str, parts: tuple[bytes, ...]) -> KeyedRequest:
    """Return the hashes of a request; `parts` are all that makes it the same request, in a fixed order."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return KeyedRequest(sha256(caller.encode()).digest(), sha256(key.encode()).digest(), digest.digest())


def answer_find(asked: KeyedRequest) -> KeptAnswer | None:
    """Claim the key until the end of the transaction and return the answer that is kept for it, if any.

    Raises KeyInUseError at once when another transaction holds the key, KeyReusedError when the key was
    used for another request, and AnswerWithheldError when there is nothing left to repeat.
    """
    lock = int.from_bytes(sha256(asked.caller_hash + asked.key_hash).digest()[:8], signed=True)
    claimed = fetch_row(_LOCK, [lock])
    if claimed is None or not claimed[0]:
        raise KeyInUseError
    # A statement of its own: only a snapshot taken after the lock is certain to see what its last holder wrote.
    row = fetch_row(_FIND, [asked.caller_hash, asked.key_hash, KEPT])
    if row is None:
        return None
    request_hash, status, headers, body, withheld = row
    if bytes(request_hash) != asked.request_hash:
        raise KeyReusedError
    if withheld:
        raise AnswerWithheldError(withheld)
    return KeptAnswer(status, bytes(body), orjson.loads(headers))


def answer_keep(asked: KeyedRequest, answer: KeptAnswer, *, team_id: int | None, withheld: str = "") -> None:
    """Write the answer in the transaction of its effect; one over MAX_BODY_BYTES is remembered without its body."""
    try:
        if team_id is not None:
            team_hold(team_id)
    except TeamGoneError:
        # The request deleted the project itself, or was overtaken: nobody would erase this answer.
        team_id, withheld = None, Withheld.ERASED
    if not withheld and len(answer.body) > MAX_BODY_BYTES:
        withheld = Withheld.LARGE
    headers, body = ({}, b"") if withheld else (dict(answer.headers), answer.body)
    execute(
        _KEEP,
        [
            asked.caller_hash, asked.key_hash, asked.request_hash, team_id,
            answer.status, orjson.dumps(headers).decode(), body, str(withheld),
        ],
    )  # fmt: skip


def answers_erase(*, team_id: int, until: datetime) -> int:
    """Empty the answers given about a project up to a moment, for they can hold personal data; return how many.

    The keys stay taken: a repeat learns that the request was carried out, and is not carried out again.
    """
    return len(execute(_ERASE, [str(Withheld.ERASED), team_id, until]))


def answers_prune() -> int:
    """Forget the answers that are past their age, in statements of bounded size; return how many."""
    pruned = 0
    while True:
        rows = execute(_PRUNE, {"kept": KEPT, "limit": PRUNED_AT_ONCE})
        pruned += len(rows)
        if len(rows) < PRUNED_AT_ONCE:
            return pruned
