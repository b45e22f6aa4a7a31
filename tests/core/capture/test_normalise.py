from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from core.api.uuids import new_uuid
from core.capture.normalise import Intake, normalise_event
from core.capture.shapes import read_event
from core.capture.timestamps import Clock
from core.persons.ingest import IngestTeam, NewEvent

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def take(
    event: str = "pageview",
    properties: dict[str, Any] | None = None,
    *,
    team: IngestTeam | None = None,
    ip: str | None = None,
    sent_at: datetime | None = None,
    **top: Any,
) -> tuple[NewEvent | None, list[str]]:
    intake = Intake(team=team or IngestTeam(id=1), clock=Clock(now=NOW, sent_at=sent_at), ip=ip)
    raw = {"event": event, "distinct_id": "u", "properties": properties or {}, **top}
    new = normalise_event(read_event(raw), intake)
    return new, [warning.type for warning in intake.warnings]


def kept(*args: Any, **kwargs: Any) -> NewEvent:
    new, warnings = take(*args, **kwargs)
    assert new is not None
    assert warnings == []
    return new


def test_top_level_set_wins_over_the_inner_one() -> None:
    new = kept("x", {"$set": {"a": 1, "b": 1}, "$set_once": {"c": 1}}, **{"$set": {"b": 2}, "$set_once": {"d": 2}})
    assert new.set == {"a": 1, "b": 2}
    assert new.set_once == {"c": 1, "d": 2}
    assert new.properties == {"$set": {"a": 1, "b": 2}, "$set_once": {"c": 1, "d": 2}}


@pytest.mark.parametrize("odd", [None, "x", 1, [], True])
def test_set_that_is_no_object_is_empty(odd: Any) -> None:
    new = kept("x", {"$set": odd}, **{"$set_once": odd})
    assert (new.set, new.set_once) == ({}, {})
    assert new.properties == {"$set": {}}


def test_campaign_and_browser_are_lifted() -> None:
    new = kept(
        "x", {"utm_source": "news", "$browser": "Firefox", "$referrer": None, "plan": "pro", "$set": {"$browser": "X"}}
    )
    assert new.set == {"utm_source": "news", "$browser": "X", "$referrer": None}
    assert new.set_once == {"$initial_utm_source": "news", "$initial_browser": "Firefox"}
    assert new.properties["$set"] == new.set
    assert new.properties["$set_once"] == new.set_once
    assert new.properties["plan"] == "pro"


def test_initial_value_that_was_sent_is_kept() -> None:
    new = kept("x", {"utm_source": "news"}, **{"$set_once": {"$initial_utm_source": "first"}})
    assert new.set_once == {"$initial_utm_source": "first"}


def test_system_of_a_server_is_not_lifted() -> None:
    new = kept("x", {"$is_server": True, "$os": "Linux", "$os_version": "6", "$os_name": "Linux", "$app_version": "2"})
    assert new.set == {"$app_version": "2"}
    assert new.set_once == {"$initial_app_version": "2"}


def test_os_name_fills_only_the_first_os() -> None:
    new = kept("x", {"$os_name": "iOS"})
    assert (new.set, new.set_once) == ({}, {"$initial_os": "iOS"})
    both = kept("x", {"$os_name": "iOS", "$os": "iPadOS"})
    assert (both.set, both.set_once) == ({"$os": "iPadOS"}, {"$initial_os": "iPadOS"})


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (["a", 1, "b", None], None, ["a", "b"]),
        ({"a": 1, "b": None}, None, ["a", "b"]),
        ("a", None, []),
        (None, ["c"], ["c"]),
        (["a"], ["a", "c"], ["a", "c"]),
        (None, {"c": 1}, ["c"]),
        (None, 5, []),
    ],
)
def test_unset_is_a_list_or_the_keys_of_an_object(inner: Any, outer: Any, expected: list[str]) -> None:
    properties = {} if inner is None else {"$unset": inner}
    assert kept("x", properties, **{"$unset": outer}).unset == expected


def test_processing_off_removes_person_properties() -> None:
    new = kept(
        "x",
        {"$process_person_profile": False, "$set": {"a": 1}, "$set_once": {"a": 1}, "$unset": ["b"], "$browser": "X"},
        **{"$set": {"c": 1}},
    )
    assert not new.person_processing
    assert new.properties == {"$process_person_profile": False, "$browser": "X"}
    assert (dict(new.set), dict(new.set_once), new.unset) == ({}, {}, [])


def test_processing_on_removes_the_switch() -> None:
    new = kept("x", {"$process_person_profile": True})
    assert new.person_processing
    assert new.properties == {}


@pytest.mark.parametrize("value", ["false", 0, 1, None, "x"])
def test_any_other_switch_counts_as_on_with_a_warning(value: Any) -> None:
    new, warnings = take("x", {"$process_person_profile": value})
    assert new is not None
    assert new.person_processing
    assert warnings == ["invalid_process_person_profile"]


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify"])
def test_person_events_without_processing_are_dropped(name: str) -> None:
    off = {"$process_person_profile": False}
    assert take(name, off) == (None, ["invalid_event_when_process_person_profile_is_false"])
    opted_out = IngestTeam(id=1, person_processing_opt_out=True)
    assert take(name, team=opted_out) == (None, ["event_dropped_person_processing_disabled"])


def test_opted_out_project_processes_no_person() -> None:
    new = kept(
        "x", {"$process_person_profile": True, "$set": {"a": 1}}, team=IngestTeam(id=1, person_processing_opt_out=True)
    )
    assert not new.person_processing
    assert "$set" not in new.properties


@pytest.mark.parametrize("name", ["$$heatmap", "$snapshot"])
def test_events_of_other_products_are_dropped(name: str) -> None:
    assert take(name) == (None, [])


def test_cookieless_event_is_dropped() -> None:
    assert take("x", {"$cookieless_mode": True}) == (None, [])
    assert kept("x", {"$cookieless_mode": False})


def test_client_warning_becomes_a_warning() -> None:
    assert take("$$client_ingestion_warning") == (None, ["client_ingestion_warning"])


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("$identify", {"$anon_distinct_id": "anon"}, "anon"),
        ("$identify", {"$anon_distinct_id": None}, "null"),
        ("$identify", {"$anon_distinct_id": 5}, "5"),
        ("$identify", {"$anon_distinct_id": {}}, "[object Object]"),
        ("$identify", {"alias": "x"}, None),
        ("$create_alias", {"alias": "other"}, "other"),
        ("$create_alias", {"alias": True}, "true"),
        ("$create_alias", {"alias": [1, "a", None]}, "1,a,"),
        ("$create_alias", {"alias": ""}, None),
        ("$create_alias", {"alias": 0}, None),
        ("$create_alias", {}, None),
        ("$merge_dangerously", {"alias": "other"}, "other"),
        ("pageview", {"alias": "other", "$anon_distinct_id": "a"}, None),
    ],
)
def test_merge_commands_name_the_other_id(name: str, properties: dict[str, Any], expected: str | None) -> None:
    assert kept(name, properties).merge_with == expected


def test_ip_is_the_clients_unless_sent_or_anonymised() -> None:
    assert kept("x", ip="1.2.3.4").properties == {"$ip": "1.2.3.4"}
    assert kept("x", {"$ip": "5.6.7.8"}, ip="1.2.3.4").properties == {"$ip": "5.6.7.8"}
    anonymous = IngestTeam(id=1, anonymize_ips=True)
    assert kept("x", {"$ip": "5.6.7.8"}, ip="1.2.3.4", team=anonymous).properties == {}


def test_sent_at_is_kept_and_corrects_the_time() -> None:
    new = kept("x", timestamp="2024-05-01T11:59:55Z", sent_at=datetime(2024, 5, 1, 12, 0, 5, tzinfo=UTC))
    assert new.properties == {"$sent_at": "2024-05-01T12:00:05.000Z"}
    assert new.timestamp == datetime(2024, 5, 1, 11, 59, 50, tzinfo=UTC)


def test_future_time_warns_with_the_event() -> None:
    new, warnings = take("x", timestamp="2030-01-01")
    assert new is not None
    assert new.timestamp == NOW
    assert warnings == ["event_timestamp_in_future"]


def test_made_uuids_are_version_7_and_unique() -> None:
    made = [new_uuid() for _ in range(1000)]
    assert {uuid.version for uuid in made} == {7}
    assert {uuid.variant for uuid in made} == {UUID(int=2 << 62).variant}
    assert len(set(made)) == 1000


def test_a_warning_quotes_only_the_beginning() -> None:
    intake = Intake(team=IngestTeam(id=1), clock=Clock(now=NOW))
    normalise_event(read_event({"event": "x", "distinct_id": "u", "timestamp": ["y" * 100_000]}), intake)
    details = intake.warnings[0].details
    assert details["field"] == "timestamp"
    assert len(details["value"]) == 300
