from collections.abc import Iterator
from typing import Any

import pytest
from posthog import Posthog
from pytest_django.live_server_helper import LiveServer

from core.persons.models import Person, PersonDistinctId
from core.tenancy.models import Team
from tests.core.capture.helpers import event_names, properties_of

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = 60


@pytest.fixture(params=[{}, {"gzip": True}, {"capture_mode": "v1"}], ids=["plain", "gzip", "v1"])
def posthog(request: pytest.FixtureRequest, team: Team, live_server: LiveServer) -> Iterator[Posthog]:
    """The SDK as published, pointed at this server."""
    errors: list[Any] = []
    client = Posthog(
        team.api_token,
        host=live_server.url,
        on_error=lambda error, _items: errors.append(error),
        max_retries=0,
        timeout=PATIENCE_SECONDS,
        feature_flags_request_timeout_seconds=PATIENCE_SECONDS,
        **request.param,
    )
    yield client
    client.shutdown()
    assert errors == []


def test_person_properties_arrive(posthog: Posthog) -> None:
    posthog.set(distinct_id="u", properties={"email": "u@example.com", "plan": "free"})
    posthog.set_once(distinct_id="u", properties={"first": 1, "plan": "never"})
    posthog.capture("bought", distinct_id="u", properties={"amount": 5, "$set": {"plan": "pro"}})
    posthog.flush(timeout_seconds=None)
    assert properties_of("u") == {"email": "u@example.com", "plan": "pro", "first": 1}
    assert event_names() == ["$set", "$set_once", "bought"]


def test_alias_joins_two_ids(posthog: Posthog) -> None:
    posthog.capture("visited", distinct_id="anon-1", properties={"$set": {"seen": True}})
    posthog.set(distinct_id="user-1", properties={"name": "Zoe"})
    posthog.flush(timeout_seconds=None)
    posthog.alias(previous_id="user-1", distinct_id="anon-1")
    posthog.flush(timeout_seconds=None)
    person = Person.unscoped.get()
    assert person.is_identified
    assert set(PersonDistinctId.unscoped.values_list("distinct_id", flat=True)) == {"anon-1", "user-1"}
    assert properties_of("user-1") == {"seen": True, "name": "Zoe"}


def test_a_thousand_events_arrive_once(posthog: Posthog) -> None:
    for number in range(1000):
        posthog.capture("step", distinct_id=f"u{number % 7}", properties={"number": number})
    posthog.flush(timeout_seconds=None)
    assert len(event_names()) == 1000
    assert Person.unscoped.count() == 7


def test_an_event_without_an_id_makes_no_person(posthog: Posthog) -> None:
    posthog.capture("anonymous visit")
    posthog.flush(timeout_seconds=None)
    assert event_names() == ["anonymous visit"]
    assert not Person.unscoped.exists()


def test_flags_are_asked_for_quietly(posthog: Posthog) -> None:
    assert posthog.get_all_flags("u") == {}
    assert not posthog.evaluate_flags("u").is_enabled("anything")
