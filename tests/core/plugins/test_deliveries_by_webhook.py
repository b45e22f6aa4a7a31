"""The webhook destination on a real receiver that fails, refuses and is restarted."""

from collections.abc import Iterator
from ipaddress import ip_network
from itertools import count
from typing import Any

import pytest

from core.plugins.deliveries.rates import delivery_rates
from core.plugins.deliveries.working import deliver
from core.tenancy.models import Team
from tests.core.plugins.delivering import (
    Receiver,
    capture,
    counts,
    dead,
    destination,
    due_now,
    inline_plugin,
    lines,
    make_destination,
    queue,
)
from tests.factories import make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(db: None, settings: Any) -> Team:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.PLUGIN_RETRY_SECONDS = 0.001
    return make_team()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def without_repeats(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def test_a_receiver_that_fails_a_third_of_the_time_and_restarts_gets_every_event_in_order(team: Team) -> None:
    names = [f"e{number}" for number in range(300)]
    numbers = count()

    def judge(body: Any) -> int:
        if int(body["event"][1:]) % 10 == 7:
            return 400
        return 503 if next(numbers) % 3 == 0 else 200

    with Receiver(judge=judge) as first:
        config = make_destination(team, inline_plugin("webhook"), url=first.url)
        capture(team, *names)
        while len(first.taken) < 100:
            deliver(seconds=0.2)
        port = first.port
    # Without it the time could be up before a pause of that moment is.
    due_now(config)
    deliver(seconds=0.1)
    assert destination(config).attempts > 0
    assert destination(config).last_error == "The connection was refused."
    with Receiver(judge=judge, port=port) as second:
        while queue(config):
            due_now(config)
            deliver(seconds=1)
        taken = [body["event"] for body in first.taken + second.taken]
    wanted = [name for name in names if int(name[1:]) % 10 != 7]
    assert without_repeats(taken) == wanted
    assert len(taken) == len(wanted)
    assert list(dead(config)) == [name for name in names if name not in wanted]
    own_rate = len(taken) / len(names)
    assert delivery_rates(team_id=team.id, plugin_config_ids=[config.pk]) == {config.pk: own_rate}
    delivered, failed, attempts = counts(config)
    assert (delivered, failed) == (270, 30)
    assert attempts > 130
    told = lines(config)
    assert sum(kind == "ERROR" and "answered 400" in text for _, kind, text in told) == 30
    assert sum(kind == "WARN" and "answered 503" in text for _, kind, text in told) > 100


def test_a_batch_with_one_event_that_breaks_the_receiver(team: Team, settings: Any) -> None:
    settings.PLUGIN_RETRY_ATTEMPTS = 6
    with Receiver(judge=lambda body: 500 if any(event["event"] == "poison" for event in body) else 200) as receiver:
        config = make_destination(team, inline_plugin("webhook"), url=receiver.url, batch_size="4")
        capture(team, "a", "b", "poison", "c", "d", "e")
        while queue(config):
            deliver(seconds=1)
    assert [[event["event"] for event in body] for body in receiver.taken] == [["a"], ["b"], ["c"], ["d", "e"]]
    assert dead(config) == {"poison": (6, "Given up after 6 attempts: The receiver answered 500.")}


def test_a_url_of_a_private_address_gets_nothing(team: Team, receiver: Receiver, settings: Any) -> None:
    config = make_destination(team, inline_plugin("webhook"), url=receiver.url)
    settings.OUTBOUND_ALLOWED_NETWORKS = []
    capture(team, "a", "b")
    deliver(seconds=1)
    assert receiver.bodies == []
    assert list(dead(config)) == ["a", "b"]
