from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from core.definitions.models import PropertyDefinition
from core.definitions.rebuilding import property_definitions_rebuild
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.tenancy.models import Team
from tests.core.definitions.test_capture import defined
from tests.factories import make_team

pytestmark = pytest.mark.usefixtures("clickhouse")


def test_rebuild_finds_what_capture_had_defined(team: Team, capture: Callable[..., Any]) -> None:
    now = datetime.now(UTC)
    texts = {"long": "x" * 500, "quoted": 'a"b\\', "when": "2024-03-05", "utm_source": 5, "nothing": None}
    capture(timestamp=now - timedelta(days=40), properties={"price": 3, "late": None, **texts}, set={"plan": "pro"})
    capture(timestamp=now, properties={"price": "three", "late": True, "list": [1] * 100})
    given = {"$group_type": "company", "$group_key": "x", "$group_set": {"size": 5}}
    capture(name="$groupidentify", properties=given)
    foreign = NewEvent(uuid=uuid4(), event="x", distinct_id="ann", timestamp=now, properties={"foreign": 1})
    events_ingest(team=IngestTeam(make_team().id), events=[foreign])
    # What is stored of a person without having been sent.
    expected = {**defined(team), ("person", None, "$creator_event_uuid"): "String"}
    assert len(expected) == 11
    outbox_drain()
    PropertyDefinition.objects.for_team(team.id).delete()
    progress = list(property_definitions_rebuild(team_id=team.id))
    assert defined(team) == expected
    # Two persons' events and that of the group; one person; one group.
    assert (progress[-1].done, progress[-1].total) == (5, 5)
    assert progress[-1].added >= len(expected)
    assert list(property_definitions_rebuild(team_id=team.id))[-1].added == 0


def test_rebuild_keeps_the_types_that_are_there(team: Team, capture: Callable[..., Any]) -> None:
    capture(properties={"price": 3})
    outbox_drain()
    PropertyDefinition.objects.for_team(team.id).update(property_type="String")
    list(property_definitions_rebuild(team_id=team.id))
    assert defined(team)["event", None, "price"] == "String"


def test_command_rebuilds_the_named_project_only(team: Team, capture: Callable[..., Any]) -> None:
    capture(properties={"price": 3})
    outbox_drain()
    PropertyDefinition.objects.for_team(team.id).delete()
    other, said = make_team(), StringIO()
    call_command("rebuild_property_definitions", "--project", str(other.id), stdout=said)
    assert said.getvalue() == f"project {other.id}: 0 property definitions added\n"
    assert defined(team) == {}
    said = StringIO()
    call_command("rebuild_property_definitions", stdout=said)
    assert f"project {team.id}: 2 property definitions added\n" in said.getvalue()
    assert defined(team)["event", None, "price"] == "Numeric"


def test_unknown_project_is_named(db: None) -> None:
    with pytest.raises(CommandError, match="no such project: 987654321"):
        call_command("rebuild_property_definitions", "--project", "987654321")
