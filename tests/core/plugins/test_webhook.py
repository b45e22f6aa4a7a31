"""The webhook destination against real receivers: what it sends, and what it makes of answers."""

import base64
import hashlib
import hmac
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import orjson
import pytest

from core.outbound.addresses import url_read
from core.plugins.handlers import webhook
from core.plugins.handlers.base import (
    ConfigRefusedError,
    Event,
    HandlerContext,
    JobFailedError,
    Outcome,
    Result,
    RetryJobError,
    Sender,
)
from core.plugins.handlers.webhook import WebhookHandler
from tests.core.outbound.receivers import Receiver, answer, answering, dripping

KEY = b"0123456789abcdefghijklmn"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Patient(WebhookHandler):
    """Waits for an answer that comes, however slow the machine is."""

    seconds = 120


class Quick(WebhookHandler):
    """Waits less, for what does not come in time."""

    seconds = 0.5


@pytest.fixture(autouse=True)
def local(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = (ip_network("127.0.0.1/32"),)


def made_event(**changes: Any) -> Event:
    return {
        "uuid": str(uuid4()),
        "event": "bought \u00e9",
        "distinct_id": "ann",
        "team_id": 2,
        "timestamp": "2026-03-05T10:20:30.123456Z",
        "properties": {"price": 1.5, "tags": ["a", None]},
        "elements_chain": "",
        "person": {
            "uuid": str(uuid4()),
            "created_at": "2026-01-01T00:00:00Z",
            "properties": {"email": "a@example.com"},
        },
        **changes,
    }


def context_for(config: Mapping[str, Any], **changes: Any) -> HandlerContext:
    return HandlerContext(2, 3, 4, config, lambda _type, _text: None, **changes)


@contextmanager
def sender_to(receiver: Receiver, handler: type[WebhookHandler] = Patient, /, **config: Any) -> Iterator[Sender]:
    config = {"url": f"http://127.0.0.1:{receiver.port}/hook?key=1", **config}
    with handler().connect(context_for(config)) as sender:
        yield sender


def headers_of(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines]
    found = {name.lower(): value for name, value in pairs}
    assert len(found) == len(pairs)
    return found


def test_one_event() -> None:
    event = made_event()
    with Receiver(answering(answer(204))) as receiver, sender_to(receiver) as sender:
        assert sender.send([event]) == Result(Outcome.DELIVERED)
    (head, body), headers = receiver.requests[0], headers_of(receiver.requests[0][0])
    assert head.startswith(b"POST /hook?key=1 HTTP/1.1\r\n")
    assert orjson.loads(body) == event
    assert (headers["content-type"], headers["user-agent"]) == ("application/json", "persons-api")
    assert headers["webhook-id"] == event["uuid"]
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert "webhook-signature" not in headers


def test_the_connection_is_kept() -> None:
    with Receiver(answering(answer(200, b"thanks"))) as receiver, sender_to(receiver) as sender:
        for _ in range(50):
            assert sender.send([made_event()]).outcome is Outcome.DELIVERED
    assert (receiver.connections, len(receiver.requests)) == (1, 50)


def test_own_headers() -> None:
    given = {"authorization": "Bearer t", "X-KEY": " \u00fc ", "content-type": "application/x+json", "user-agent": "me"}
    for headers in (given, orjson.dumps(given).decode()):
        with Receiver(answering(answer(200))) as receiver, sender_to(receiver, headers=headers) as sender:
            sender.send([made_event()])
        got = headers_of(receiver.requests[0][0])
        assert {name: got[name] for name in ("authorization", "x-key", "content-type", "user-agent")} == {
            "authorization": "Bearer t", "x-key": "\u00fc", "content-type": "application/x+json", "user-agent": "me",
        }  # fmt: skip


@pytest.mark.parametrize(("secret", "key"), [(SECRET, KEY), ("p\u00e4ssword", "p\u00e4ssword".encode())])
def test_the_signature(secret: str, key: bytes) -> None:
    with Receiver(answering(answer(200))) as receiver, sender_to(receiver, signing_secret=secret) as sender:
        sender.send([made_event()])
    head, body = receiver.requests[0]
    headers = headers_of(head)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert secret.encode() not in head


def test_the_signature_of_the_specification() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signed = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_batch() -> None:
    events = [made_event() for _ in range(3)]
    with Receiver(answering(answer(200))) as receiver, sender_to(receiver, batch_size="3") as sender:
        for some in (events, events, events[:2], events[:1]):
            assert sender.send(some).outcome is Outcome.DELIVERED
    assert [orjson.loads(body) for _, body in receiver.requests] == [events, events, events[:2], events[:1]]
    ids = [headers_of(head)["webhook-id"] for head, _ in receiver.requests]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_large_batch_goes_out_in_several_requests() -> None:
    events = [made_event(properties={"text": "x" * 900_000}) for _ in range(10)]
    with Receiver(answering(answer(200))) as receiver, sender_to(receiver, batch_size=500) as sender:
        assert sender.send(events).outcome is Outcome.DELIVERED
    assert [event for _, body in receiver.requests for event in orjson.loads(body)] == events
    assert [len(orjson.loads(body)) for _, body in receiver.requests] == [4, 4, 2]
    with Receiver(answering(answer(200), answer(400))) as receiver, sender_to(receiver, batch_size=500) as sender:
        assert sender.send(events).outcome is Outcome.REFUSED
    assert len(receiver.requests) == 2


def test_a_receiver_that_is_too_slow_for_a_large_batch() -> None:
    def script(accepted: socket.socket, receiver: Receiver) -> None:
        while receiver.read_request(accepted):
            time.sleep(0.3)
            accepted.sendall(answer(200))

    events = [made_event(properties={"text": "x" * 3_000_000}) for _ in range(5)]
    with Receiver(script) as receiver, sender_to(receiver, Quick, batch_size=500) as sender:
        result = sender.send(events)
    assert (result.outcome, len(receiver.requests) < 5) == (Outcome.RETRY, True)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_what_counts_as_delivered(status: int) -> None:
    with Receiver(answering(answer(status))) as receiver, sender_to(receiver) as sender:
        assert sender.send([made_event()]).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_is_tried_again(status: int) -> None:
    with Receiver(answering(answer(status, b"a secret"))) as receiver, sender_to(receiver) as sender:
        assert sender.send([made_event()]) == Result(Outcome.RETRY, f"The receiver answered {status}.")


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 422, 600])
def test_what_is_refused(status: int) -> None:
    said = answer(status, b"", "Location: http://127.0.0.1:1/")
    with Receiver(answering(said)) as receiver, sender_to(receiver) as sender:
        assert sender.send([made_event()]) == Result(Outcome.REFUSED, f"The receiver answered {status}.")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), ("0", 0), ("999999999", 999_999_999), ("-1", None), ("1.5", None), ("\u0663", None), ("soon", None),
     ("99999999999", 99_999_999_999), ("9" * 400, None), ("", None), ("Wed, 99 Foo 2026 00:00:00 GMT", None)],
)  # fmt: skip
def test_retry_after_in_seconds(value: str, expected: float | None) -> None:
    said = answer(503, b"", f"Retry-After: {value}")
    with Receiver(answering(said)) as receiver, sender_to(receiver) as sender:
        assert sender.send([made_event()]).retry_after == expected


def test_retry_after_as_a_date() -> None:
    at = datetime.now(UTC) + timedelta(minutes=5)
    said = [
        answer(429, b"", f"Retry-After: {format_datetime(when, usegmt=True)}") for when in (at, at - timedelta(days=1))
    ]
    with Receiver(answering(*said)) as receiver, sender_to(receiver) as sender:
        after = sender.send([made_event()]).retry_after
        assert after is not None
        assert 240 < after <= 300
        assert sender.send([made_event()]).retry_after == 0


def test_a_receiver_that_hangs_breaks_or_is_away() -> None:
    drip = dripping(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n")
    with Receiver(drip) as receiver, sender_to(receiver, Quick) as sender:
        result = sender.send([made_event()])
    assert result == Result(Outcome.RETRY, "There was no whole answer within 0.5 seconds.")
    with Receiver(answering(b"nonsense\r\n\r\n")) as receiver, sender_to(receiver) as sender:
        assert sender.send([made_event()]) == Result(Outcome.RETRY, "The answer is not HTTP, or broke off.")
    with sender_to(receiver) as sender:
        assert sender.send([made_event()]) == Result(Outcome.RETRY, "The connection was refused.")


def test_a_long_answer_is_not_read_to_its_end() -> None:
    with Receiver(answering(answer(200, b"x" * 3_000_000))) as receiver, sender_to(receiver) as sender:
        assert [sender.send([made_event()]).outcome for _ in range(2)] == [Outcome.DELIVERED] * 2


def test_an_address_that_became_private_is_refused_on_use(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = ()
    with Receiver(answering(answer(200))) as receiver, sender_to(receiver) as sender:
        result = sender.send([made_event()])
    assert (result.outcome, receiver.connections) == (Outcome.REFUSED, 0)
    assert "not allowed" in result.detail


GOOD: dict[str, Any] = {"url": "https://203.0.114.9/hook"}

REFUSED: list[tuple[str, Any]] = [
    ("url", None), ("url", ""), ("url", 5), ("url", ["https://203.0.114.9/"]), ("url", {"a": 1}), ("url", True),
    ("url", "nonsense"), ("url", "http://127.0.0.2/"), ("url", "http://[::1]/"), ("url", "http://169.254.169.254/"),
    ("url", "http://2130706433/"), ("url", "http://u:p@203.0.114.9/"), ("url", "https://203.0.114.9/\x00"),
    ("url", "https://203.0.114.9/\ud800"), ("url", "https://203.0.114.9/" + "a" * 5_000), ("url", "ftp://203.0.114.9/"),
    ("headers", 5), ("headers", []), ("headers", [["a", "b"]]), ("headers", "nonsense"), ("headers", "[]"),
    ("headers", "\ud800"), ("headers", "[" * 5_000), ("headers", {"a": 1}), ("headers", {"a": None}),
    ("headers", {"": "x"}), ("headers", {"a b": "x"}), ("headers", {"a:": "x"}), ("headers", {"\u00e9": "x"}),
    ("headers", {"a": "x\r\nHost: y"}), ("headers", {"a": "x\x00"}), ("headers", {"a": "\u20ac"}),
    ("headers", {"a": "\ud800"}), ("headers", {"Host": "x"}), ("headers", {"Content-LENGTH": "0"}),
    ("headers", {"transfer-encoding": "chunked"}), ("headers", {"webhook-signature": "v1,x"}),
    ("headers", {"Proxy-Authorization": "x"}), ("headers", {f"h{n}": "x" for n in range(51)}),
    ("headers", {"a": "x" * 16_000}),
    ("signing_secret", 5), ("signing_secret", ["x"]), ("signing_secret", "whsec_"), ("signing_secret", "whsec_!"),
    ("signing_secret", "whsec_abc"), ("signing_secret", "\ud800"), ("signing_secret", "whsec_\u00e9"),
    ("batch_size", 0), ("batch_size", 501), ("batch_size", -1), ("batch_size", "0"), ("batch_size", "x"),
    ("batch_size", "\u0665"), ("batch_size", 1.5), ("batch_size", float("nan")), ("batch_size", 1e300),
    ("batch_size", 10**400), ("batch_size", "9" * 5_000), ("batch_size", True), ("batch_size", [1]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_configs_that_are_refused(key: str, value: Any) -> None:
    handler = WebhookHandler()
    for enabled in (True, False):
        if value in (None, "") and not enabled:
            continue
        with pytest.raises(ConfigRefusedError) as refused:
            handler.check({**GOOD, key: value}, enabled=enabled)
        assert refused.value.key == key
        assert str(refused.value)
    if key != "url":
        with pytest.raises(ConfigRefusedError):
            handler.check({key: value}, enabled=False)
    if key == "batch_size":
        assert handler.events_per_send({key: value}) == 1


@pytest.mark.parametrize(
    "also",
    [{}, {"headers": {}}, {"headers": ""}, {"headers": None}, {"headers": {"X": ""}}, {"signing_secret": ""},
     {"signing_secret": SECRET}, {"signing_secret": "plain"}, {"batch_size": ""}, {"batch_size": 500},
     {"batch_size": "500"}, {"batch_size": 2.0}, {"unknown": [1]}],
)  # fmt: skip
def test_configs_that_are_taken(also: dict[str, Any]) -> None:
    WebhookHandler().check({**GOOD, **also}, enabled=True)
    WebhookHandler().check(also, enabled=False)
    with pytest.raises(ConfigRefusedError, match="URL"):
        WebhookHandler().check(also, enabled=True)


def test_refusals_show_no_secret() -> None:
    for config in (
        {"headers": {"Authorization": "secret\r\n"}},
        {"signing_secret": "whsec_secret!"},
        {"headers": "secret"},
    ):
        with pytest.raises(ConfigRefusedError) as refused:
            WebhookHandler().check({**GOOD, **config}, enabled=True)
        assert "secret" not in str(refused.value).replace("signing secret", "")
        assert refused.value.__cause__ is None
    read = webhook.Settings(url_read("https://x.example/hidden"), {"A": "hidden"}, b"hidden", 1)
    assert "hidden" not in repr(read)


@pytest.mark.parametrize(("given", "expected"), [({}, 1), ({"batch_size": 20}, 20), ({"batch_size": "500"}, 500)])
def test_events_per_send(given: dict[str, Any], expected: int) -> None:
    assert WebhookHandler().events_per_send(given) == expected


def test_a_config_that_is_not_ready_does_not_connect() -> None:
    for config in ({}, {"url": "http://u:p@x.example/"}, {**GOOD, "headers": {"a": "\n"}}):
        with pytest.raises(ConfigRefusedError), WebhookHandler().connect(context_for(config)):
            pass


def _job(script: Callable[..., None], **config: Any) -> tuple[str, Receiver]:
    with Receiver(script) as receiver:
        config = {"url": f"http://127.0.0.1:{receiver.port}/", **config}
        return Patient().run_job("send_test_event", {}, context_for(config)), receiver


def test_the_job_that_sends_a_test_event() -> None:
    told, receiver = _job(answering(answer(200)))
    assert told == "The test event was delivered."
    event = orjson.loads(receiver.requests[0][1])
    assert set(event) == set(made_event())
    assert (event["event"], event["team_id"], event["person"]) == ("$webhook_test", 2, None)
    told, receiver = _job(answering(answer(200)), batch_size=5)
    assert [event["event"] for event in orjson.loads(receiver.requests[0][1])] == ["$webhook_test"]


def test_a_test_event_that_does_not_arrive() -> None:
    with pytest.raises(RetryJobError, match="answered 503") as later:
        _job(answering(answer(503, b"", "Retry-After: 9")))
    assert later.value.after == 9
    with pytest.raises(JobFailedError, match="answered 404"):
        _job(answering(answer(404)))


def test_the_job_that_delivers_dead_letters_again() -> None:
    asked: list[int] = []

    def redeliver(limit: int) -> int:
        asked.append(limit)
        return len(asked)

    context = context_for({}, redeliver=redeliver)
    run = WebhookHandler().run_job
    assert run("redeliver_dead_letters", {"limit": 5}, context) == "1 dead letter will be delivered again."
    assert run("redeliver_dead_letters", {}, context) == "2 dead letters will be delivered again."
    assert asked == [5, webhook.REDELIVER_LIMIT]
    for limit in (0, -1, webhook.REDELIVER_LIMIT + 1, 1e400, float("nan"), "5", True, [1]):
        with pytest.raises(JobFailedError, match="limit"):
            run("redeliver_dead_letters", {"limit": limit}, context)
    assert len(asked) == 2
