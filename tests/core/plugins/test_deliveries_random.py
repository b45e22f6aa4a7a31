"""Whatever a receiver answers: each event is delivered or given up, once, in order, and for a reason."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.plugins.deliveries.pacing import RETRY_AFTER_MOST, pause_seconds
from core.plugins.deliveries.turns import BATCH_ATTEMPTS
from core.plugins.deliveries.working import deliver
from core.plugins.handlers.base import Event, HandlerContext, Outcome, Result
from core.plugins.models import PluginDelivery
from tests.core.plugins.delivering import (
    DELIVERED,
    TOLD,
    ToldHandler,
    capture,
    counts,
    dead,
    due_now,
    make_destination,
    queue,
    received,
    tried,
)
from tests.factories import make_team

pytestmark = pytest.mark.django_db
ATTEMPTS = 4
NAMES = [f"e{number}" for number in range(8)]

outcomes = st.lists(st.sampled_from([Outcome.DELIVERED, Outcome.RETRY, Outcome.REFUSED, None]), max_size=30)


@given(script=outcomes, together=st.integers(1, 5), turns=st.lists(st.booleans(), max_size=10))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_ends_once_in_order_and_for_a_reason(
    settings: Any, script: list[Outcome | None], together: int, turns: list[bool]
) -> None:
    settings.PLUGIN_HANDLERS, settings.PLUGIN_RETRY_SECONDS, settings.PLUGIN_RETRY_ATTEMPTS = [TOLD], 60, ATTEMPTS
    ToldHandler.forget()
    PluginDelivery.unscoped.all().delete()
    team = make_team()
    config = make_destination(team, together=together)
    left = list(script)

    def answer(_context: HandlerContext, _events: Sequence[Event]) -> Result:
        outcome = left.pop(0) if left else Outcome.DELIVERED
        if outcome is None:
            raise ValueError
        return DELIVERED if outcome is Outcome.DELIVERED else Result(outcome, "no")

    ToldHandler.answer = staticmethod(answer)
    capture(team, *NAMES[:5])
    for number in range(100):
        if number < len(turns) and turns[number]:
            capture(team, f"late{number}")
        deliver(seconds=1)
        if not queue(config):
            break
        due_now(config)
    else:
        raise AssertionError(tried())
    gone = dead(config)
    names = NAMES[:5] + [f"late{number}" for number, late in enumerate(turns) if late and f"late{number}" in flat()]
    assert received() == [name for name in names if name not in gone]
    for name, (attempts, _) in gone.items():
        alone = [outcome for _, sent, outcome in ToldHandler.attempts if sent == [name]]
        refused = alone and alone[-1] is Outcome.REFUSED
        assert refused or attempts == ATTEMPTS, (name, attempts)
    assert counts(config)[:2] == (len(received()), len(gone))
    assert len(gone) <= sum(outcome is not Outcome.DELIVERED for outcome in script)
    longest = max((tried().count(sent) for sent in tried() if len(sent) > 1), default=0)
    assert longest <= BATCH_ATTEMPTS


def flat() -> set[str]:
    return {name for sent in tried() for name in sent}


@given(attempts=st.integers(1, 10_000), asked=st.none() | st.floats())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pause_is_never_longer_or_shorter_than_promised(settings: Any, attempts: int, asked: float | None) -> None:
    settings.PLUGIN_RETRY_SECONDS, settings.PLUGIN_RETRY_LONGEST_SECONDS = 0.5, 900
    pause = pause_seconds(attempts, asked)
    usual = min(0.5 * 2.0 ** min(attempts - 1, 40), 900)
    if asked is None or not asked > usual:
        assert usual * 0.75 <= pause <= usual
    else:
        assert pause == min(asked, RETRY_AFTER_MOST)
