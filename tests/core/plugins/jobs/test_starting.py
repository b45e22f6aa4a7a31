"""Starting and stopping jobs over HTTP."""

from typing import Any
from urllib.parse import urlencode

import pytest

from core.activity.models import ActivityLog
from core.encryption.services import decrypt_json
from core.plugins.handlers.base import HandlerContext
from core.plugins.jobs import services
from core.plugins.jobs.declared import TYPE_MISSING
from core.plugins.jobs.working import jobs_run
from core.plugins.models import PluginJob
from core.tenancy.models import Organization
from tests.core.http import Caller, parsed, problem
from tests.core.plugins.jobs.conftest import World
from tests.factories import make_plugin, make_plugin_config

SECRET = "s3cret-of-the-payload"


def test_a_job_is_stored_run_once_and_told_of(world: World, act: Any, lines: Any) -> None:
    seen = []

    def does(payload: Any, context: HandlerContext) -> str:
        context.log("WARN", "half way")
        seen.append((payload, context.config, context.team_id, context.plugin_id, context.plugin_config_id))
        return "all of it"

    act(does)
    job = world.start(payload={"note": SECRET, "count": 2.5, "really": True, "anything": [{}]})
    assert (job.state, job.operation, job.type, job.attempts) == ("queued", "start", "act", 0)
    assert (job.created_by_id, job.team_id, job.plugin_config_id) == (
        world.cast.owner.id, world.cast.team.id, world.config.id,
    )  # fmt: skip
    assert decrypt_json(job.encrypted_payload)["note"] == SECRET
    assert SECRET.encode() not in bytes(job.encrypted_payload)
    assert jobs_run(seconds=5) is False
    job.refresh_from_db()
    assert (job.state, job.attempts, job.last_error) == ("done", 1, "")
    assert job.created_at < job.started_at < job.finished_at
    assert jobs_run(seconds=5) is False
    team, config = world.cast.team, world.config
    expected = {"note": SECRET, "count": 2.5, "really": True, "anything": [{}]}
    assert seen == [(expected, {"token": "t0ken"}, team.id, world.plugin.id, config.id)]
    assert lines() == [
        ("SYSTEM", "INFO", f'Job "act" is queued ({job.pk}).'),
        ("SYSTEM", "INFO", f'Job "act" runs, attempt 1 ({job.pk}).'),
        ("CONSOLE", "WARN", "half way"),
        ("SYSTEM", "INFO", 'Job "act" is done: all of it'),
    ]


def test_the_activity_names_the_job_and_not_what_it_was_given(world: World) -> None:
    world.start(payload={"note": SECRET})
    entry = ActivityLog.objects.get(scope="PluginConfig")
    assert (entry.activity, entry.item_id, entry.user_id) == (
        "job_triggered",
        str(world.config.id),
        world.cast.owner.id,
    )
    assert (entry.team_id, entry.organization_id) == (world.cast.team.id, world.cast.organization.id)
    assert entry.detail["name"] == "Acting"
    (change,) = entry.detail["changes"]
    assert (change["type"], change["action"]) == ("PluginConfig", "act")
    assert SECRET not in str(entry.detail)
    answer = world.cast.as_owner().get(world.url().replace("job", "activity"))
    assert parsed(answer)["results"][0]["detail"]["changes"] == [change]


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "invalid_input", TYPE_MISSING, None),
        ({"job": None}, "invalid_input", TYPE_MISSING, None),
        ({"job": {}}, "invalid_input", TYPE_MISSING, None),
        ({"job": {"type": None}}, "invalid_input", TYPE_MISSING, None),
        ({"job": {"type": ""}}, "invalid_input", TYPE_MISSING, None),
        ({"job": {"payload": {}}}, "invalid_input", TYPE_MISSING, None),
        ({"job": []}, "invalid_input", None, "job"),
        ({"job": 7}, "invalid_input", None, "job"),
        ({"job": "act"}, "invalid_input", None, "job"),
        ({"job": {"type": 7}}, "invalid_input", None, "job__type"),
        ({"job": {"type": {"a": 1}}}, "invalid_input", None, "job__type"),
        ({"job": {"type": "x" * 201}}, "max_length", None, "job__type"),
        ({"job": {"type": "nothing"}}, "invalid_input", 'The plugin has no job "nothing".', "job__type"),
        ({"job": {"type": "a\x00t"}}, "invalid_input", None, "job__type"),
        ({"job": {"type": "act", "operation": "pause"}}, "invalid_choice", None, "job__operation"),
        ({"job": {"type": "act", "operation": []}}, "invalid_input", None, "job__operation"),
        ({"job": {"type": "act", "payload": []}}, "invalid_input", None, "job__payload"),
        ({"job": {"type": "act", "payload": "{}"}}, "invalid_input", None, "job__payload"),
        ({"job": {"type": "act", "payload": {"note": "x" * 1_048_576}}}, "max_length", None, "job__payload"),
        ({"job": {"type": "act", "payload": {"other": 1}}}, "invalid_input", None, "job__payload__other"),
        ({"job": {"type": "act", "payload": {"note": 1}}}, "invalid_input", None, "job__payload__note"),
        ({"job": {"type": "act", "payload": {"count": "1"}}}, "invalid_input", None, "job__payload__count"),
        ({"job": {"type": "act", "payload": {"count": True}}}, "invalid_input", None, "job__payload__count"),
        ({"job": {"type": "act", "payload": {"really": 1}}}, "invalid_input", None, "job__payload__really"),
        ({"job": {"type": "needing"}}, "required", None, "job__payload__day"),
        ({"job": {"type": "needing", "payload": {"day": ""}}}, "required", None, "job__payload__day"),
        ({"job": {"type": "needing", "payload": {"day": None}}}, "required", None, "job__payload__day"),
        ({"job": {"type": "needing", "payload": {"day": 5}}}, "invalid_input", None, "job__payload__day"),
        ({"job": {"type": "wait", "payload": {"x": 1}}}, "invalid_input", None, "job__payload__x"),
    ],
)  # fmt: skip
def test_a_job_that_the_plugin_does_not_declare_is_refused(
    world: World, body: Any, code: str, detail: str | None, attr: str | None
) -> None:
    found = problem(world.cast.as_owner()("POST", world.url(), body))
    assert found == (400, "validation_error", code, detail or found[3], attr)
    assert not PluginJob.unscoped.exists()
    assert not ActivityLog.objects.exists()


@pytest.mark.parametrize("anything", ["[" * 220 + "]" * 220, "[" * 2000 + "]" * 2000, r'"\ud800"', "NaN"])
def test_what_is_no_good_json_is_refused(world: World, anything: str) -> None:
    body = '{"job": {"type": "act", "payload": {"anything": ' + anything + "}}}"
    assert problem(world.cast.as_owner()("POST", world.url(), body))[0] == 400
    assert not PluginJob.unscoped.exists()


def test_what_no_store_takes_is_repaired(world: World) -> None:
    body = r'{"job": {"type": "act", "payload": {"note": "a\u0000b", "anything": {"k\u0000": 1' + "0" * 30 + "}}}}"
    assert world.cast.as_owner()("POST", world.url(), body).status_code == 200
    job = PluginJob.unscoped.get()
    assert decrypt_json(job.encrypted_payload) == {"note": "a\ufffdb", "anything": {"k\ufffd": 1e30}}


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_carry_the_job_as_text(world: World, kind: str) -> None:
    def form(text: str) -> bytes:
        if kind.startswith("application"):
            return urlencode({"job": text}).encode()
        return f'--x\r\nContent-Disposition: form-data; name="job"\r\n\r\n{text}\r\n--x--\r\n'.encode()

    def send(text: str) -> Any:
        return world.cast.as_owner()("POST", world.url(), form(text), content_type=kind)

    assert send('{"type": "act", "payload": {"count": 3}}').status_code == 200
    assert decrypt_json(PluginJob.unscoped.get().encrypted_payload) == {"count": 3}
    assert problem(send("{nonsense"))[::4] == (400, "job")
    assert problem(send(""))[3] == TYPE_MISSING


def test_a_plugin_that_declares_nothing_takes_any_job(world: World) -> None:
    for public_jobs in ({}, [], None, "text"):
        plugin = make_plugin(world.cast.organization, public_jobs=public_jobs if public_jobs is not None else {})
        config = make_plugin_config(world.cast.team, plugin)
        job = world.start("Export everything ✓", config, payload={"anything": "goes"})
        assert decrypt_json(job.encrypted_payload) == {"anything": "goes"}


def test_odd_declarations_of_strangers_harm_nobody(world: World) -> None:
    declared = {"a": None, "b": {"payload": []}, "c": {"payload": {"x": 5, "y": {"type": ["string"]}}}}
    config = make_plugin_config(world.cast.team, make_plugin(world.cast.organization, public_jobs=declared))
    for kind, payload in (("a", {}), ("b", {}), ("c", {"x": "1", "y": 1})):
        world.start(kind, config, payload=payload)
    assert problem(world.send({"type": "a", "payload": {"z": 1}}, config))[4] == "job__payload__z"


def test_stop_ends_what_waits_of_this_type_and_config(world: World, act: Any, lines: Any) -> None:
    act(lambda *_: "ran")
    other_config = make_plugin_config(world.cast.team, world.plugin)
    stopped = [world.start(), world.start()]
    kept = [world.start("needing", payload={"day": "2026-01-01"}), world.start("act", other_config)]
    done = world.start("act", other_config)
    PluginJob.unscoped.filter(pk=done.pk).update(state="done")
    told = world.start(operation="stop", payload={"note": SECRET})
    assert (told.operation, told.state) == ("stop", "done")
    assert told.finished_at is not None
    assert decrypt_json(told.encrypted_payload) == {}
    jobs_run(seconds=5)
    for job in [*stopped, *kept]:
        job.refresh_from_db()
    assert [job.state for job in stopped] == ["stopped", "stopped"]
    assert all(job.finished_at and not job.attempts for job in stopped)
    assert [job.state for job in kept] == ["done", "done"]
    assert ("SYSTEM", "INFO", 'Jobs "act" were to stop: 2 stopped.') in lines()
    world.start(operation="stop")
    assert lines()[-1][2] == 'Jobs "act" were to stop: none was queued or running.'
    assert ActivityLog.objects.filter(activity="job_triggered").count() == 7


def test_stopping_needs_no_payload(world: World) -> None:
    assert world.start("needing", operation="stop").operation == "stop"


def test_configs_of_others_cannot_be_told_to_do_anything(world: World) -> None:
    body = {"job": {"type": "act"}}
    for caller, status in ((world.cast.as_stranger(), 403), (Caller(), 401)):
        assert caller("POST", world.url(), body).status_code == status
    theirs = make_plugin_config(world.cast.other_team, world.plugin)
    assert problem(world.send({"type": "act"}, theirs))[0] == 404
    missing = world.cast.as_owner()("POST", world.url().replace(str(world.config.id), "999999999"), body)
    assert missing.status_code == 404
    Organization.objects.filter(pk=world.cast.organization.pk).update(plugins_access_level=0)
    assert world.send({"type": "act"}).status_code in {400, 404}
    assert not PluginJob.unscoped.exists()


def test_only_so_many_jobs_wait_for_one_config(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(services, "MAX_WAITING", 2)
    world.start()
    job = world.start()
    assert problem(world.send({"type": "act"}))[::4] == (400, "job")
    world.start("act", make_plugin_config(world.cast.team, world.plugin))
    PluginJob.unscoped.filter(pk=job.pk).update(state="failed")
    world.start()
