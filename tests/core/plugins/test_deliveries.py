"""From capture to a destination: what is queued, in which order it is sent, and what becomes of failures."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.plugins.deliveries.pruning import prune
from core.plugins.deliveries.rates import delivery_rates
from core.plugins.deliveries.services import deliveries_forget
from core.plugins.deliveries.working import dead_letters_redeliver, deliver
from core.plugins.handlers.base import ConfigRefusedError, Event, HandlerContext, Outcome, Result
from core.plugins.models import PluginDelivery, PluginDeliveryCount, PluginDestination
from core.tenancy.models import Team
from tests.core.capture.helpers import assert_accepted, batch_of, post
from tests.core.plugins.delivering import (
    DELIVERED,
    REFUSED,
    RETRY,
    TOLD,
    ToldHandler,
    aged,
    capture,
    counts,
    dead,
    destination,
    due_now,
    inline_plugin,
    lines,
    make_destination,
    paused,
    queue,
    received,
    sync,
    tried,
)
from tests.factories import make_plugin, make_plugin_config, make_team

pytestmark = pytest.mark.usefixtures("told")


@pytest.fixture
def told(settings: Any, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.PLUGIN_HANDLERS = [TOLD]
    # Long enough that no test waits for it, and no pause ends meanwhile.
    settings.PLUGIN_RETRY_SECONDS = 60
    # A turn that ends early where the machine is slow has other lines, counts and connections.
    monkeypatch.setattr("core.plugins.deliveries.working.TURN_SECONDS", 600.0)
    ToldHandler.forget()
    yield
    ToldHandler.forget()


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


def answers(results: dict[str, Result | list[Result]]) -> None:
    """Let attempts with an event of a name end so, all others well; of a list, one after the other."""

    def answer(_context: HandlerContext, events: Sequence[Event]) -> Result:
        for event in events:
            found = results.get(event["event"])
            if isinstance(found, list):
                found = found.pop(0) if found else None
            if found is not None:
                return found
        return DELIVERED

    ToldHandler.answer = staticmethod(answer)


def until_idle(config: Any, turns: int = 100) -> None:
    """Deliver, ending every pause."""
    for _ in range(turns):
        deliver(seconds=30)
        if not queue(config):
            return
        due_now(config)
    message = "the queue does not get empty"
    raise AssertionError(message)


def test_captured_events_reach_the_handler_whole_and_in_their_order(team: Team) -> None:
    make_destination(team)
    uuid = str(uuid4())
    first = {
        "event": "signed up",
        "distinct_id": "ann",
        "uuid": uuid,
        "timestamp": "2024-03-05T11:20:30.123456+01:00",
        "properties": {"plan": "pro", "$set": {"email": "ann@example.org"}, "$elements_chain": 'a.x:nth-child="1"'},
    }
    second = {"event": "clicked", "distinct_id": "ann", "properties": {"$set": {"email": "new@example.org"}, "n": 1.5}}
    assert_accepted(post("/batch/", batch_of(team, first, second)))
    assert deliver(seconds=30) is False
    sent, other = ToldHandler.events
    assert set(sent) == {
        "uuid", "event", "distinct_id", "team_id", "timestamp", "properties", "elements_chain", "person",
    }  # fmt: skip
    assert (sent["uuid"], sent["event"], sent["distinct_id"], sent["team_id"]) == (uuid, "signed up", "ann", team.id)
    assert sent["timestamp"] == "2024-03-05T10:20:30.123456Z"
    assert sent["properties"]["plan"] == "pro"
    assert sent["elements_chain"] == 'a.x:nth-child="1"'
    assert set(sent["person"]) == {"uuid", "created_at", "properties"}
    assert sent["person"]["created_at"] == "2024-03-05T10:20:30.123456Z"
    assert sent["person"]["properties"]["email"] == "ann@example.org"
    assert other["person"]["properties"]["email"] == "new@example.org"
    assert other["properties"]["n"] == 1.5
    assert other["person"]["uuid"] == sent["person"]["uuid"]


def test_an_event_without_person_processing_has_no_person(team: Team) -> None:
    make_destination(team)
    capture(team, "anonymous", properties={"$process_person_profile": False})
    deliver(seconds=30)
    assert [event["person"] for event in ToldHandler.events] == [None]


def test_any_text_is_queued_as_it_is_stored(team: Team) -> None:
    make_destination(team)
    body = b'{"api_key": "%b", "batch": [{"event": "a\\u0000\\ud800b", "distinct_id": "\\"\\\\\xc3\xa4", ' % (
        team.api_token.encode()
    )
    assert_accepted(
        post("/batch/", body + b'"properties": {"k\\u0000": "\\ud83d", "n": 1e400, "q": "\\"\\\\u0000"}}]}')
    )
    deliver(seconds=30)
    (event,) = ToldHandler.events
    assert (event["event"], event["distinct_id"]) == ("a��b", '"\\ä')
    assert {key: event["properties"][key] for key in ("k�", "q")} == {"k�": "�", "q": '"\\u0000'}


def test_without_a_destination_capture_pays_one_statement(team: Team) -> None:
    capture(team, "before")
    with CaptureQueriesContext(
        connection,
    ) as counted:
        capture(team, "click")
    about = [query["sql"] for query in counted if "core_plugin" in query["sql"]]
    assert len(about) == 1, about
    make_destination(team)
    make_destination(team)
    with CaptureQueriesContext(connection) as counted:
        capture(team, *"abcdefgh")
    about = [query["sql"] for query in counted if "core_plugin" in query["sql"]]
    assert len(about) == 2, about
    assert PluginDelivery.objects.for_team(team.id).count() == 16


def test_every_destination_of_the_team_gets_every_event_and_no_other_does(team: Team) -> None:
    first, second = make_destination(team), make_destination(team)
    stranger = make_destination(make_team())
    off = make_destination(team, enabled=False)
    capture(team, "one", "two")
    deliver(seconds=30)
    assert received(first) == received(second) == ["one", "two"]
    assert received(stranger) == received(off) == []
    assert not PluginDelivery.unscoped.exists()


def test_events_of_a_historical_migration_are_not_delivered(team: Team) -> None:
    config = make_destination(team)
    old = {"event": "old", "distinct_id": "ann", "properties": {}}
    assert_accepted(post("/batch/", batch_of(team, old, historical_migration=True)))
    capture(team, "new")
    assert queue(config) == ["new"]


def test_ten_thousand_events_of_one_batch_keep_their_order(team: Team) -> None:
    configs = [make_destination(team, together=500), make_destination(team, together=500)]
    names = [f"e{number}" for number in range(10_000)]
    capture(team, *names)
    while deliver(seconds=30):
        pass
    for config in configs:
        assert received(config) == names
        assert counts(config) == (10_000, 0, 0)


def test_a_plugin_that_no_handler_delivers_for_is_no_destination(team: Team) -> None:
    sync(make_plugin_config(team, make_plugin(team.organization), enabled=True))
    capture(team, "click")
    assert not PluginDestination.objects.for_team(team.id).exists()


def test_what_waits_for_a_config_that_is_switched_off_goes_on_when_it_is_switched_on(team: Team) -> None:
    config = make_destination(team)
    capture(team, "one")
    sync(config, enabled=False)
    capture(team, "two")
    assert deliver(seconds=30) is False
    assert (received(), queue(config)) == ([], ["one"])
    sync(config, enabled=True)
    capture(team, "three")
    deliver(seconds=30)
    assert received() == ["one", "three"]
    sync(config, deleted=True)
    capture(team, "four")
    assert queue(config) == []


def test_a_failure_is_tried_again_before_anything_after_it(team: Team) -> None:
    config = make_destination(team)
    answers({"two": [RETRY, RETRY]})
    capture(team, "one", "two", "three")
    begun = timezone.now()
    assert deliver(seconds=30) is False
    assert (received(), queue(config)) == (["one"], ["two", "three"])
    state = destination(config)
    assert (state.attempts, state.last_error) == (1, RETRY.detail)
    assert state.failing_since is not None
    assert state.last_delivered_at is not None
    assert paused(config, begun, 45, 60)
    due_now(config)
    begun = timezone.now()
    deliver(seconds=30)
    again = destination(config)
    assert (again.attempts, again.failing_since) == (2, state.failing_since)
    assert paused(config, begun, 90, 120)
    due_now(config)
    deliver(seconds=30)
    assert received() == ["one", "two", "three"]
    state = destination(config)
    assert (state.attempts, state.failing_since, state.last_error) == (0, None, "")
    assert counts(config) == (3, 0, 2)
    told = lines(config)
    assert [line[:2] for line in told] == [("SYSTEM", "WARN")] * 2
    assert "(attempt 1 of 20, the next in " in told[0][2]
    assert told[0][2].endswith("The receiver is away.")


def test_a_short_pause_is_waited_for(team: Team, settings: Any) -> None:
    settings.PLUGIN_RETRY_SECONDS = 0.3
    make_destination(team)
    answers({"one": [RETRY]})
    capture(team, "one")
    assert deliver(seconds=30) is False
    assert received() == ["one"]


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(120, 120, 120), (0, 45, 60), (86_400, 3_600, 3_600), (float("nan"), 45, 60)]
)
def test_the_pause_that_a_receiver_asks_for_is_kept(team: Team, asked: float, least: float, most: float) -> None:
    config = make_destination(team)
    answers({"one": Result(Outcome.RETRY, "Busy.", asked)})
    capture(team, "one")
    begun = timezone.now()
    deliver(seconds=30)
    assert paused(config, begun, least, most)


def test_pauses_double_up_to_the_longest(team: Team, settings: Any) -> None:
    settings.PLUGIN_RETRY_LONGEST_SECONDS = 300
    settings.PLUGIN_RETRY_ATTEMPTS = 100
    config = make_destination(team)
    answers({"one": RETRY})
    capture(team, "one")
    PluginDestination.objects.for_team(team.id).update(attempts=90)
    begun = timezone.now()
    deliver(seconds=30)
    assert paused(config, begun, 225, 300)


def test_after_the_last_attempt_an_event_is_given_up_and_the_others_go_on(team: Team, settings: Any) -> None:
    settings.PLUGIN_RETRY_ATTEMPTS = 3
    config = make_destination(team)
    answers({"one": RETRY})
    capture(team, "one", "two")
    until_idle(config)
    assert received() == ["two"]
    assert dead(config) == {"one": (3, "Given up after 3 attempts: The receiver is away.")}
    assert tried() == [["one"]] * 3 + [["two"]]
    assert counts(config) == (1, 1, 3)
    assert [line[1] for line in lines(config)] == ["WARN", "WARN", "ERROR"]


def test_what_is_refused_is_given_up_at_once(team: Team) -> None:
    config = make_destination(team)
    answers({"two": REFUSED})
    capture(team, "one", "two", "three")
    deliver(seconds=30)
    assert received() == ["one", "three"]
    assert dead(config) == {"two": (1, "Refused: The receiver does not want it.")}
    assert counts(config) == (2, 1, 1)
    (line,) = lines(config)
    assert line[:2] == ("SYSTEM", "ERROR")
    assert "The receiver does not want it." in line[2]


def test_a_batch_that_is_refused_is_tried_event_by_event(team: Team) -> None:
    config = make_destination(team, together=3)
    answers({"two": REFUSED})
    capture(team, "one", "two", "three", "four", "five")
    deliver(seconds=30)
    assert tried() == [["one", "two", "three"], ["one"], ["two"], ["three"], ["four", "five"]]
    assert received() == ["one", "three", "four", "five"]
    assert list(dead(config)) == ["two"]


def test_a_batch_that_keeps_failing_is_tried_event_by_event(team: Team) -> None:
    config = make_destination(team, together=3)
    answers({"two": [RETRY] * 5})
    capture(team, "one", "two", "three", "four")
    until_idle(config)
    assert tried() == [["one", "two", "three"]] * 3 + [["one"]] + [["two"]] * 3 + [["three"], ["four"]]
    assert received() == ["one", "two", "three", "four"]
    assert dead(config) == {}


def test_nothing_of_a_batch_dies_untried_even_if_one_attempt_is_all_there_is(team: Team, settings: Any) -> None:
    settings.PLUGIN_RETRY_ATTEMPTS = 1
    config = make_destination(team, together=3)
    answers({"two": RETRY})
    capture(team, "one", "two", "three")
    until_idle(config)
    assert received() == ["one", "three"]
    assert list(dead(config)) == ["two"]


def test_events_past_their_age_get_a_few_attempts_only(team: Team) -> None:
    config = make_destination(team)
    answers({"one": RETRY})
    capture(team, "one", "two")
    aged(config, hours=73)
    until_idle(config)
    assert received() == ["two"]
    assert dead(config) == {"one": (5, "Given up because it waited for more than 72 hours: The receiver is away.")}


def test_a_receiver_that_is_away_for_long_takes_all_events_past_their_age_with_it(team: Team) -> None:
    config = make_destination(team)
    answers(dict.fromkeys(("one", "two", "three", "young"), RETRY))
    capture(team, "one", "two", "three")
    aged(config, hours=73)
    capture(team, "young")
    PluginDestination.objects.for_team(team.id).update(
        attempts=1, failing_since=timezone.now() - timedelta(hours=2), next_attempt_at=timezone.now()
    )
    deliver(seconds=30)
    assert tried() == [["one"]]
    assert list(dead(config)) == ["one", "two", "three"]
    assert queue(config) == ["young"]
    assert counts(config) == (0, 3, 1)
    assert [line[1] for line in lines(config)] == ["ERROR", "ERROR"]
    assert "2 more events" in lines(config)[1][2]


def test_what_a_handler_raises_is_a_failure_whose_text_is_shown_nowhere(
    team: Team, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_destination(team, token="s3cr3t")

    def fail(context: HandlerContext, _events: Sequence[Event]) -> Result:
        message = f"no connection with {context.config['token']}"
        raise KeyError(message)

    ToldHandler.answer = staticmethod(fail)
    capture(team, "one")
    deliver(seconds=30)
    assert queue(config) == ["one"]
    assert destination(config).last_error == "The handler failed: KeyError."
    assert "The handler failed: KeyError." in lines(config)[0][2]
    printed = caplog.text + "".join(capsys.readouterr())
    assert "plugin_handler_failed" in printed
    assert "test_deliveries.py" in printed
    assert "s3cr3t" not in printed
    assert "s3cr3t" not in str(lines(config))


def test_a_config_that_the_handler_refuses_waits_for_a_better_one(team: Team, monkeypatch: Any) -> None:
    def refuse(_self: Any, _context: Any) -> Any:
        raise ConfigRefusedError("url", "It is none.")

    config = make_destination(team)
    capture(team, "one")
    begun = timezone.now()
    with monkeypatch.context() as patched:
        patched.setattr(ToldHandler, "connect", refuse)
        deliver(seconds=30)
    assert destination(config).last_error == "The config cannot be used: It is none."
    assert paused(config, begun, 45, 60)
    sync(config, name="mended")
    deliver(seconds=30)
    assert received() == ["one"]


def test_a_config_under_a_lost_key_and_a_handler_that_is_gone_are_failures(team: Team, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    config = make_destination(team)
    capture(team, "one")
    kept = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = []
    deliver(seconds=30)
    assert "encrypted under a key" in destination(config).last_error
    settings.ENCRYPTION_KEYS = kept
    settings.PLUGIN_HANDLERS = []
    due_now(config)
    deliver(seconds=30)
    assert "no handler" in destination(config).last_error
    assert queue(config) == ["one"]
    settings.PLUGIN_HANDLERS = [TOLD]
    due_now(config)
    deliver(seconds=30)
    assert received() == ["one"]


def test_a_defect_of_one_destination_does_not_stop_the_others(team: Team) -> None:
    broken = make_destination(team)
    whole = make_destination(team)
    capture(team, "one")
    PluginDelivery.objects.for_team(team.id).filter(plugin_config_id=broken.pk).update(payload="{")
    begun = timezone.now()
    deliver(seconds=30)
    assert received(whole) == ["one"]
    assert queue(broken) == ["one"]
    assert paused(broken, begun, 60, 60)


def test_lines_of_a_turn_are_bounded(team: Team) -> None:
    config = make_destination(team)

    def refuse(context: HandlerContext, _events: Sequence[Event]) -> Result:
        context.log("INFO", "trying")
        return REFUSED

    ToldHandler.answer = staticmethod(refuse)
    capture(team, *[f"e{number}" for number in range(150)])
    deliver(seconds=30)
    told = lines(config)
    assert [told.count(("CONSOLE", "INFO", "trying")), len(told)] == [100, 201]
    assert told[-1] == ("SYSTEM", "WARN", "100 more lines are left out.")
    assert len(dead(config)) == 150


def test_rates_are_of_events_of_the_last_day(team: Team) -> None:
    config, idle = make_destination(team), make_destination(team, enabled=False)
    answers({"no": REFUSED, "late": [RETRY] * 3})
    capture(team, "a", "no", "b", "late", "no")
    until_idle(config)
    ids = [config.pk, idle.pk]
    assert delivery_rates(team_id=team.id, plugin_config_ids=ids) == {config.pk: 3 / 5}
    assert delivery_rates(team_id=make_team().id, plugin_config_ids=ids) == {}
    assert delivery_rates(team_id=team.id, plugin_config_ids=[]) == {}
    # There are two of them where a bucket ended meanwhile.
    PluginDeliveryCount.objects.for_team(team.id).update(bucket=F("bucket") - timedelta(hours=25))
    assert delivery_rates(team_id=team.id, plugin_config_ids=ids) == {}


def test_dead_letters_are_delivered_again_oldest_first(team: Team) -> None:
    config, other = make_destination(team, together=10), make_destination(team)
    answers(dict.fromkeys(("one", "two", "three"), REFUSED))
    capture(team, "one", "two", "three")
    until_idle(config)
    answers({})
    assert dead_letters_redeliver(team_id=team.id, plugin_config_id=config.pk, limit=2) == 2
    capture(team, "four", "five")
    ToldHandler.forget()
    deliver(seconds=30)
    assert received(config) == ["one", "two", "four", "five"]
    assert (list(dead(config)), list(dead(other))) == (["three"], ["one", "two", "three"])
    assert dead_letters_redeliver(team_id=make_team().id, plugin_config_id=config.pk, limit=2) == 0


def test_prune_forgets_what_is_past_its_age(team: Team, settings: Any) -> None:
    settings.PLUGIN_DEAD_LETTER_DAYS = 30
    config, off = make_destination(team), make_destination(team)
    answers({"dead": REFUSED, "fresh": REFUSED, "waits": RETRY})
    capture(team, "dead", "fresh", "waits")
    sync(off, enabled=False)
    deliver(seconds=30)
    letters = PluginDelivery.objects.for_team(team.id)
    letters.filter(event="dead", plugin_config_id=config.pk).update(dead_at=timezone.now() - timedelta(days=31))
    letters.filter(event="waits").update(captured_at=timezone.now() - timedelta(days=34))
    PluginDeliveryCount.unscoped.create(
        team=team, plugin_config_id=off.pk, bucket=timezone.now() - timedelta(days=3), delivered=1
    )
    orphan = make_destination(make_team())
    capture(orphan.team, "lost")
    orphan.delete()
    assert prune() == 3
    assert (queue(config), list(dead(config))) == (["waits"], ["fresh"])
    assert queue(off) == ["dead", "fresh"]
    assert [count.plugin_config_id for count in PluginDeliveryCount.unscoped.all()] == [config.pk]
    assert not PluginDelivery.objects.for_team(orphan.team_id).exists()


def test_an_uninstall_forgets_everything_of_its_configs_and_nothing_else(team: Team) -> None:
    gone, stays = make_destination(team), make_destination(team)
    answers({"no": REFUSED})
    capture(team, "no")
    deliver(seconds=30)
    capture(team, "yes")
    deliveries_forget(team_id=team.id, plugin_config_ids=[gone.pk])
    capture(team, "later")
    deliveries_forget(team_id=make_team().id, plugin_config_ids=[stays.pk])
    for model in (PluginDestination, PluginDelivery, PluginDeliveryCount):
        assert set(model.objects.for_team(team.id).values_list("plugin_config_id", flat=True)) == {stays.pk}
    assert queue(stays) == ["yes", "later"]


def test_nothing_of_a_deleted_project_is_delivered(team: Team) -> None:
    make_destination(team)
    capture(team, "one")
    Team.objects.filter(id=team.id).update(deleted_at=timezone.now())
    assert deliver(seconds=30) is False
    assert received() == []


def test_destinations_take_turns(team: Team, monkeypatch: Any) -> None:
    monkeypatch.setattr("core.plugins.deliveries.working.TURN_SECONDS", 0.0)
    first, second = make_destination(team), make_destination(team)
    capture(team, "one", "two", "three")
    deliver(seconds=30)
    assert [config_id for config_id, *_ in ToldHandler.attempts] == [first.pk, second.pk] * 3


def test_large_events_go_in_smaller_batches(team: Team) -> None:
    config = make_destination(team, together=10)
    capture(team, *"abcde", properties={"blob": "x" * 900_000})
    deliver(seconds=30)
    assert tried() == [list("abcd"), ["e"]]
    assert counts(config)[0] == 5


def test_the_plugin_handler_of_a_config_gets_its_values_decrypted(team: Team) -> None:
    seen: list[Any] = []

    def note(context: HandlerContext, _events: Sequence[Event]) -> Result:
        seen.append((context.team_id, context.plugin_id, context.plugin_config_id, dict(context.config)))
        return DELIVERED

    ToldHandler.answer = staticmethod(note)
    config = make_destination(team, token="s3cr3t")
    capture(team, "one", "two")
    deliver(seconds=30)
    assert seen == [(team.id, inline_plugin().pk, config.pk, {"token": "s3cr3t"})] * 2
    assert ToldHandler.connects == 1


def test_reading_the_head_of_a_queue_does_not_sort_the_queue(team: Team) -> None:
    config = make_destination(team)
    capture(team, *[f"e{number}" for number in range(2_000)])
    # Of a table that it takes for empty, the planner finds any index good enough.
    connection.cursor().execute("ANALYZE core_plugindelivery")
    with CaptureQueriesContext(connection) as counted:
        deliver(seconds=30)
    (read,) = [query["sql"] for query in counted if query["sql"].strip().startswith("WITH oldest")][:1]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {read}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "plugin_delivery_idx" in plan
    assert "core_plugindelivery.id" not in plan, plan
    assert config.pk
