"""The webhook destination: sends captured events as JSON to a URL of the project's choice.

Requests are signed as Standard Webhooks describes it, when the config has a secret for that.
"""

import base64
import hmac
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from time import monotonic, time
from typing import Any, ClassVar, Final
from uuid import uuid4

import orjson

from core.outbound.addresses import Target, UrlRefusedError, url_check, url_read
from core.outbound.client import OutboundError, OutboundSession
from core.plugins.handlers.base import (
    ConfigRefusedError,
    Event,
    HandlerContext,
    JobFailedError,
    Outcome,
    PluginHandler,
    Result,
    RetryJobError,
    Sender,
)

MAX_BATCH: Final = 500
REDELIVER_LIMIT: Final = 10_000
_MAX_HEADERS: Final = 50
_MAX_HEADERS_CHARACTERS: Final = 16_000
# A batch whose JSON is larger goes out as several requests.
_MAX_BODY: Final = 4 * 1024 * 1024
_MAX_ANSWER: Final = 64 * 1024
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 what such secrets begin with

_OK: Final = range(200, 300)
_LATER: Final = frozenset({408, 425, 429})
_BROKEN: Final = range(500, 600)

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# What frames the request, what steers the connection, and what receivers trust to be ours.
_OWN_HEADERS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "te",
        "trailer", "transfer-encoding", "upgrade", "webhook-id", "webhook-signature", "webhook-timestamp",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """A config that was read; `key` is what requests are signed with, empty for none."""

    target: Target
    headers: Mapping[str, str] = field(repr=False)
    key: bytes = field(repr=False)
    batch_size: int


class WebhookHandler(PluginHandler):
    """Sends events by POST: one event as an object, or with a `batch_size` above 1 several as an array."""

    key = "webhook"
    name = "Webhook"
    description = "Sends captured events to a URL, at least once and in order."
    config_schema: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "key": "url",
            "name": "URL",
            "type": "string",
            "required": True,
            "hint": "Where events are sent by POST. It must not be a private address.",
        },
        {
            "key": "headers",
            "name": "Headers",
            "type": "json",
            "required": False,
            "secret": True,
            "hint": 'A JSON object of further headers, such as {"Authorization": "Bearer ..."}.',
        },
        {
            "key": "signing_secret",
            "name": "Signing secret",
            "type": "string",
            "required": False,
            "secret": True,
            "hint": "Signs requests as Standard Webhooks do: whsec_ and base64, or any other text as it is.",
        },
        {
            "key": "batch_size",
            "name": "Events per request",
            "type": "number",
            "required": False,
            "default": 1,
            "hint": f"1 to {MAX_BATCH}. Above 1 the body is an array.",
        },
    )
    methods: ClassVar[Sequence[str]] = ("composeWebhook", "onEvent")
    public_jobs: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "send_test_event": {"payload": {}},
        "redeliver_dead_letters": {
            "payload": {
                "limit": {
                    "type": "number",
                    "title": "At most so many events",
                    "required": False,
                    "min": 1,
                    "max": REDELIVER_LIMIT,
                }
            }
        },
    }

    seconds: ClassVar[float] = 10.0
    """How long a request may take, and after how long a batch begins no further one."""

    def check(self, config: Mapping[str, Any], *, enabled: bool) -> None:
        """Refuse what cannot be sent to; a config that is not `enabled` may lack its URL."""
        if not enabled and _is_absent(config.get("url")):
            _headers(config)
            _signing_key(config)
            _batch_size(config)
            return
        url = _read(config).target
        try:
            url_check(url)
        except UrlRefusedError as error:
            raise ConfigRefusedError("url", str(error)) from None

    def events_per_send(self, config: Mapping[str, Any]) -> int:
        """Return `batch_size`; 1 where it is none."""
        try:
            return _batch_size(config)
        except ConfigRefusedError:
            return 1

    @contextmanager
    def connect(self, context: HandlerContext) -> Iterator["WebhookSender"]:
        """Return a sender over connections that are kept until the end."""
        settings = _read(context.config)
        with OutboundSession(seconds=self.seconds, max_bytes=_MAX_ANSWER) as session:
            yield WebhookSender(settings, session, seconds=self.seconds)

    def run_job(self, job: str, payload: Mapping[str, Any], context: HandlerContext) -> str:
        """Send a made-up event, or have dead letters delivered again."""
        if job == "redeliver_dead_letters":
            count = context.redeliver(_limit(payload))
            return f"{count} dead letter{'' if count == 1 else 's'} will be delivered again."
        with self.connect(context) as sender:
            result = sender.send([_test_event(context.team_id)])
        if result.outcome is Outcome.DELIVERED:
            return "The test event was delivered."
        if result.outcome is Outcome.RETRY:
            raise RetryJobError(result.detail, after=result.retry_after)
        raise JobFailedError(result.detail)


class WebhookSender(Sender):
    """Sends to one URL."""

    def __init__(self, settings: Settings, session: OutboundSession, *, seconds: float) -> None:
        self._settings = settings
        self._session = session
        self._seconds = seconds

    def send(self, events: Sequence[Event]) -> Result:
        """Send events in one request, or in several when they are large; of these the first that fails counts."""
        ends_at = monotonic() + self._seconds
        for identity, body in self._bodies(events):
            if monotonic() > ends_at:
                return Result(Outcome.RETRY, "The receiver is too slow for batches of this size.")
            result = self._post(identity, body)
            if result.outcome is not Outcome.DELIVERED:
                return result
        return Result(Outcome.DELIVERED)

    def _bodies(self, events: Sequence[Event]) -> Iterator[tuple[str, bytes]]:
        """Return bodies, each with an id that is the same whenever the same events are sent together."""
        if self._settings.batch_size == 1:
            for event in events:
                yield str(event["uuid"]), orjson.dumps(event)
            return
        identities: list[str] = []
        parts: list[bytes] = []
        size = 0
        for event in events:
            part = orjson.dumps(event)
            if parts and size + len(part) > _MAX_BODY:
                yield _batch_id(identities), b"[%b]" % b",".join(parts)
                identities, parts, size = [], [], 0
            identities.append(str(event["uuid"]))
            parts.append(part)
            size += len(part)
        if parts:
            yield _batch_id(identities), b"[%b]" % b",".join(parts)

    def _post(self, identity: str, body: bytes) -> Result:
        settings, stamp = self._settings, str(int(time()))
        headers = {
            "Content-Type": "application/json",
            **settings.headers,
            "Webhook-Id": identity,
            "Webhook-Timestamp": stamp,
        }
        if settings.key:
            headers["Webhook-Signature"] = signature(settings.key, identity, stamp, body)
        try:
            answer = self._session.request("POST", settings.target, headers=headers, body=body)
        except UrlRefusedError as error:
            return Result(Outcome.REFUSED, str(error))
        except OutboundError as error:
            return Result(Outcome.RETRY, str(error))
        if answer.status in _OK:
            return Result(Outcome.DELIVERED)
        detail = f"The receiver answered {answer.status}."
        if answer.status in _LATER or answer.status in _BROKEN:
            return Result(Outcome.RETRY, detail, _retry_after(answer.headers.get("retry-after", "")))
        return Result(Outcome.REFUSED, detail)


def signature(key: bytes, identity: str, stamp: str, body: bytes) -> str:
    """Return the value of `webhook-signature` for a body, sent with this id at this time in Unix seconds."""
    signed = hmac.digest(key, b".".join((identity.encode(), stamp.encode(), body)), sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _read(config: Mapping[str, Any]) -> Settings:
    """Read a config as far as the network is not needed; raises ConfigRefusedError."""
    try:
        target = url_read(config.get("url"))
    except UrlRefusedError as error:
        raise ConfigRefusedError("url", str(error)) from None
    return Settings(target, _headers(config), _signing_key(config), _batch_size(config))


def _is_absent(value: object) -> bool:
    return value is None or value == ""


def _headers(config: Mapping[str, Any]) -> Mapping[str, str]:
    given = config.get("headers")
    if _is_absent(given):
        return {}
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except ValueError:
            given = None
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        message = "The headers must be a JSON object of texts."
        raise ConfigRefusedError("headers", message)
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            message = "The headers have a name or a value that HTTP does not allow."
            raise ConfigRefusedError("headers", message)
        if name.lower() in _OWN_HEADERS or name.lower().startswith("proxy-"):
            message = "The headers have one that frames or signs the request, which is not for a config to set."
            raise ConfigRefusedError("headers", message)
        headers[name.title()] = value.strip()
    if len(headers) > _MAX_HEADERS or sum(len(name) + len(headers[name]) for name in headers) > _MAX_HEADERS_CHARACTERS:
        message = f"There may be {_MAX_HEADERS} headers of {_MAX_HEADERS_CHARACTERS} characters in all."
        raise ConfigRefusedError("headers", message)
    return headers


def _signing_key(config: Mapping[str, Any]) -> bytes:
    secret = config.get("signing_secret")
    if _is_absent(secret):
        return b""
    key = b""
    if isinstance(secret, str):
        # UnicodeError and what base64 raises are both ValueErrors.
        with suppress(ValueError):
            if secret.startswith(_SECRET_PREFIX):
                key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
            else:
                key = secret.encode()
    if not key:
        message = f"The signing secret must be a text; after {_SECRET_PREFIX} it must be base64."
        raise ConfigRefusedError("signing_secret", message)
    return key


def _batch_size(config: Mapping[str, Any]) -> int:
    given = config.get("batch_size")
    if _is_absent(given):
        return 1
    if isinstance(given, str) and re.fullmatch(r"[0-9]{1,3}", given, re.ASCII):
        given = int(given)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_BATCH:
        message = f"The number of events per request must be 1 to {MAX_BATCH}."
        raise ConfigRefusedError("batch_size", message)
    return given


def _limit(payload: Mapping[str, Any]) -> int:
    given = payload.get("limit")
    if _is_absent(given):
        return REDELIVER_LIMIT
    if not isinstance(given, int | float) or isinstance(given, bool) or not 1 <= given <= REDELIVER_LIMIT:
        message = f"The limit must be 1 to {REDELIVER_LIMIT}."
        raise JobFailedError(message)
    return int(given)


def _batch_id(identities: Sequence[str]) -> str:
    return f"batch_{sha256('\n'.join(identities).encode()).hexdigest()[:32]}"


def _retry_after(value: str) -> float | None:
    """Return the seconds that a receiver asks for, in either form of the header; None for none."""
    if re.fullmatch(r"[0-9]{1,100}", value, re.ASCII):
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    seconds = (at - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _test_event(team_id: int) -> Event:
    return {
        "uuid": str(uuid4()),
        "event": "$webhook_test",
        "distinct_id": "webhook-test",
        "team_id": team_id,
        "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "properties": {"message": "This event was made by the job send_test_event."},
        "elements_chain": "",
        "person": None,
    }
