"""Keys of what is stored encrypted: made, put in front, rotated to, taken out."""

import io
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from core.encryption import services
from core.encryption.services import UnreadableError, decrypt, decrypt_json, encrypt, encrypt_json, is_current
from core.management import rotation
from core.plugins.models import Plugin, PluginAttachment, PluginConfig, PluginJob
from tests.factories import make_organization, make_plugin, make_plugin_config, make_team

OLD, NEW, FOREIGN = (Fernet.generate_key().decode() for _ in range(3))
TABLES = {
    "core_plugin.encrypted_query": 1,
    "core_pluginconfig.encrypted_config": 20,
    "core_pluginattachment.encrypted_contents": 1,
    "core_pluginjob.encrypted_payload": 20,
}


def rotate() -> str:
    out = io.StringIO()
    call_command("rotate_encryption", stdout=out)
    return out.getvalue()


def world() -> PluginConfig:
    """Make rows in every encrypted column, under the keys of now, more than a page of some."""
    team = make_team()
    plugin = make_plugin(team.organization, encrypted_query=encrypt(b"private_token=1"))
    make_plugin(team.organization, encrypted_query=None)
    for number in range(20):
        config = make_plugin_config(team, plugin, config={"n": number})
        PluginJob.objects.for_team(team.id).create(
            id=uuid4(), team=team, plugin_config=config, type="x", encrypted_payload=encrypt_json({"n": number})
        )
    PluginAttachment.objects.for_team(team.id).create(
        team=team, plugin_config=config, key="a", content_type="", file_name="", file_size=9,
        encrypted_contents=encrypt(b"contents\x00"),
    )  # fmt: skip
    return config


def stored() -> list[bytes]:
    found = []
    for place in TABLES:
        table, column = place.split(".")
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608 constants
            found += [bytes(row[0]) for row in cursor.fetchall()]
    return found


def everything_is_readable() -> None:
    assert [decrypt(plugin.encrypted_query) for plugin in Plugin.objects.exclude(encrypted_query=None)] == [
        b"private_token=1"
    ]
    configs = PluginConfig.unscoped.order_by("id")
    assert [decrypt_json(config.encrypted_config)["n"] for config in configs] == list(range(20))
    jobs = PluginJob.unscoped.order_by("plugin_config_id")
    assert [decrypt_json(job.encrypted_payload)["n"] for job in jobs] == list(range(20))
    assert [decrypt(row.encrypted_contents) for row in PluginAttachment.unscoped.all()] == [b"contents\x00"]


def test_every_binary_column_of_plugins_but_the_archive_is_rotated(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.columns"
            " WHERE data_type = 'bytea' AND table_schema = current_schema() AND table_name LIKE 'core_plugin%%'"
        )
        binary = {row[0] for row in cursor.fetchall()}
    rotated = set()
    for state in rotation.rotate():
        rotated.add(f"{state.table}.{state.column}")
    assert rotated == binary - {"core_plugin.archive"} == set(TABLES)


@pytest.mark.parametrize("before", [(), (OLD,)], ids=["the key of SECRET_KEY", "an older key"])
def test_after_a_rotation_only_the_new_key_is_needed(db: None, settings: Any, before: tuple[str, ...]) -> None:
    settings.ENCRYPTION_KEYS = before
    world()
    tokens = stored()
    assert len(tokens) == sum(TABLES.values())
    settings.ENCRYPTION_KEYS = (NEW, *before)
    everything_is_readable()
    told = rotate()
    for place, count in TABLES.items():
        assert f"{place}: {count} written anew, 0 were under the first key already" in told
    assert not set(stored()) & set(tokens)
    settings.ENCRYPTION_KEYS = (NEW,)
    settings.SECRET_KEY = "another secret key"
    everything_is_readable()
    kept = stored()
    assert "core_pluginjob.encrypted_payload: 0 written anew, 20 were under the first key already" in rotate()
    assert stored() == kept


def test_a_rotation_that_was_cut_off_goes_on(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    world()
    settings.ENCRYPTION_KEYS = (NEW, OLD)
    calls = 0

    def cut_off(token: bytes) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise KeyboardInterrupt
        return services.reencrypt(token)

    with monkeypatch.context() as patched:
        patched.setattr(rotation, "reencrypt", cut_off)
        with pytest.raises(CommandError, match="go on where it stopped"):
            rotate()
    assert sum(map(is_current, stored())) == 9
    everything_is_readable()
    told = rotate()
    assert sum(int(line.split()[1]) for line in told.splitlines()) == sum(TABLES.values()) - 9
    settings.ENCRYPTION_KEYS = (NEW,)
    everything_is_readable()


def test_a_config_that_changes_meanwhile_keeps_its_change(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    config = make_plugin_config(make_team(), make_plugin(make_organization()), config={"v": 1})
    writes = [{"v": 2}, {"v": 3}]

    def interfered(token: bytes) -> bytes:
        if writes:
            # By a process that has not been given the new key yet.
            settings.ENCRYPTION_KEYS = (OLD,)
            fresh = encrypt_json(writes.pop(0))
            settings.ENCRYPTION_KEYS = (NEW, OLD)
            PluginConfig.unscoped.filter(pk=config.pk).update(encrypted_config=fresh)
        return services.reencrypt(token)

    settings.ENCRYPTION_KEYS = (NEW, OLD)
    monkeypatch.setattr(rotation, "reencrypt", interfered)
    assert "core_pluginconfig.encrypted_config: 1 written anew, 0 were" in rotate()
    settings.ENCRYPTION_KEYS = (NEW,)
    assert decrypt_json(PluginConfig.unscoped.get().encrypted_config) == {"v": 3}


def test_rows_that_no_key_reads_are_named_and_the_others_rotated(
    db: None, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.ENCRYPTION_KEYS = (OLD,)
    lost = world()
    PluginConfig.unscoped.filter(pk=lost.pk).update(encrypted_config=Fernet(FOREIGN).encrypt(b'{"secret":"s3cret"}'))
    settings.ENCRYPTION_KEYS = (NEW, OLD)
    errors = io.StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("rotate_encryption", stdout=io.StringIO(), stderr=errors)
    assert refused.value.returncode == 1
    assert f"no key of ENCRYPTION_KEYS reads 1 rows; ids {lost.pk}" in errors.getvalue()
    assert sum(map(is_current, stored())) == sum(TABLES.values()) - 1
    with pytest.raises(UnreadableError):
        decrypt(PluginConfig.unscoped.get(pk=lost.pk).encrypted_config)
    assert "core_pluginconfig (20)" in capsys.readouterr().err


def test_a_new_key_is_printed_alone_and_serves(settings: Any) -> None:
    keys = set()
    for _ in range(2):
        out = io.StringIO()
        call_command("new_encryption_key", stdout=out)
        keys.add(out.getvalue())
    assert len(keys) == 2
    key = keys.pop()
    settings.ENCRYPTION_KEYS = (key.strip(),)
    assert key == key.strip() + "\n"
    assert Fernet(key.strip()).decrypt(encrypt(b"x")) == b"x"
