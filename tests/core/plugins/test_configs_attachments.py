"""Files of configs: sent in multipart bodies, kept encrypted, shown by name."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.encryption.services import decrypt
from core.plugins.configs import attachments
from core.plugins.models import Plugin, PluginAttachment, PluginConfig
from tests.core.http import parsed, problem
from tests.core.plugins.config_api import MASK, ConfigApi, change, make_api, make_schemed, text
from tests.factories import make_plugin

pytestmark = pytest.mark.django_db

HIDDEN = {"uid": -1, "saved": True, "size": -1, "name": MASK, "type": "application/octet-stream"}


@pytest.fixture
def api(db: None) -> ConfigApi:
    return make_api()


@pytest.fixture
def plugin(api: ConfigApi) -> Plugin:
    return make_schemed(api.team)


def contents(config_id: int) -> dict[str, bytes]:
    found = PluginAttachment.unscoped.filter(plugin_config_id=config_id)
    return {file.key: decrypt(file.encrypted_contents) for file in found}


def test_a_file_of_a_new_config(api: ConfigApi, plugin: Plugin) -> None:
    made = api.form("POST", "", **{
        "plugin": plugin.pk, "order": 1, "config": text({"host": "a"}), "add_attachment[mapping]": b"a,b\n1,2\n",
    })  # fmt: skip
    assert made.status_code == 201, made.content
    found = parsed(made)
    file = PluginAttachment.unscoped.get()
    assert found["config"] == {
        "host": "a",
        "mapping": {"uid": file.pk, "saved": True, "size": 8, "name": "mapping.csv", "type": "text/csv"},
    }
    assert b"a,b" not in bytes(file.encrypted_contents)
    assert contents(found["id"]) == {"mapping": b"a,b\n1,2\n"}
    assert api.listed()["results"][0]["config"] == found["config"]
    assert api.stored(found["id"]) == {"host": "a"}


def test_a_file_is_replaced_under_its_id_and_removed(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a"})
    path = f"{made['id']}/"
    first = parsed(api.form("PATCH", path, **{"add_attachment[mapping]": b"one"}))["config"]["mapping"]
    upload = SimpleUploadedFile("other.bin", b"second", "application/zip")
    body = encode_multipart(BOUNDARY, {"add_attachment[mapping]": upload})
    answer = api.caller("PATCH", api.url(path), body, content_type=MULTIPART_CONTENT)
    second = parsed(answer)["config"]["mapping"]
    assert second == {
        "uid": first["uid"], "saved": True, "size": 6, "name": "other.bin", "type": "application/zip",
    }  # fmt: skip
    assert contents(made["id"]) == {"mapping": b"second"}
    gone = api.form("PATCH", path, **{"remove_attachment[mapping]": "true", "remove_attachment[unknown]": "true"})
    assert parsed(gone)["config"] == {"host": "a"}
    assert contents(made["id"]) == {}
    again = api.form("PATCH", path, **{"remove_attachment[mapping]": "true"})
    assert again.status_code == 200
    assert api.log(made["id"])[1:] == [
        ("attachment_created", [change("mapping", None, "mapping.csv", "created")]),
        ("attachment_updated", [change("mapping", "mapping.csv", "other.bin")]),
        ("attachment_deleted", [change("mapping", "other.bin", None, "deleted")]),
    ]


def test_a_file_both_sent_and_removed_is_there(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    uids = set()
    for content in (b"one", b"two"):
        fields = {"add_attachment[mapping]": content, "remove_attachment[mapping]": "1"}
        uids.add(parsed(api.form("PATCH", f"{made['id']}/", **fields))["config"]["mapping"]["uid"])
        assert contents(made["id"]) == {"mapping": content}
    assert len(uids) == 1
    assert [name for name, _ in api.log(made["id"])] == ["attachment_created", "attachment_updated"]


def test_secret_files_show_nothing(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    answer = api.form("PATCH", f"{made['id']}/", **{"add_attachment[keyfile]": b"sh-h-h"})
    assert parsed(answer)["config"] == {"keyfile": HIDDEN}
    assert api.listed()["results"][0]["config"] == {"keyfile": HIDDEN}
    api.form("PATCH", f"{made['id']}/", **{"remove_attachment[keyfile]": "1"})
    assert api.log(made["id"]) == [
        ("attachment_created", [change("keyfile", None, MASK, "created")]),
        ("attachment_deleted", [change("keyfile", MASK, None, "deleted")]),
    ]


def test_a_config_sent_back_with_its_files_keeps_them(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin, config={"host": "a"})
    files = {"add_attachment[mapping]": b"one", "add_attachment[keyfile]": b"two"}
    shown = parsed(api.form("PATCH", f"{made['id']}/", **files))["config"]
    assert set(shown) == {"host", "mapping", "keyfile"}
    assert api.changed(made["id"], config=shown)["config"] == shown
    assert api.changed(made["id"], config={})["config"] == {key: shown[key] for key in ("mapping", "keyfile")}
    assert api.stored(made["id"]) == {}
    assert contents(made["id"]) == {"mapping": b"one", "keyfile": b"two"}


@pytest.mark.parametrize("key", ["unknown", "host", "", "a]b", "x" * 300])
def test_a_file_that_the_plugin_does_not_ask_for(api: ConfigApi, plugin: Plugin, key: str) -> None:
    made = api.made(plugin)
    answer = problem(api.form("PATCH", f"{made['id']}/", **{f"add_attachment[{key}]": b"x", "order": 9}))
    assert answer[:3] == (400, "validation_error", "invalid_input")
    assert answer[4] == f"add_attachment[{key[:200]}]"
    assert (api.read(made["id"])["order"], PluginAttachment.unscoped.count()) == (1, 0)


def test_text_in_the_place_of_a_file(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    answers = [
        api.form("PATCH", f"{made['id']}/", **{"add_attachment[mapping]": "text"}),
        api("PATCH", f"{made['id']}/", {"add_attachment[mapping]": {"name": "x"}}),
    ]
    for answer in answers:
        assert problem(answer)[2:] == ("invalid_input", attachments.NO_FILE, "add_attachment[mapping]")


def test_a_file_in_the_place_of_a_field(api: ConfigApi, plugin: Plugin) -> None:
    for name in ("config", "name", "order"):
        fields = {"plugin": plugin.pk, "order": 1, name: b"{}"}
        assert problem(api.form("POST", "", **fields))[4] == name
    assert PluginConfig.unscoped.count() == 0


def test_files_have_a_largest_size(api: ConfigApi, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    assert attachments.MAX_FILE_BYTES == 10 * 1024 * 1024
    monkeypatch.setattr(attachments, "MAX_FILE_BYTES", 1000)
    monkeypatch.setattr(attachments, "MAX_REQUEST_BYTES", 1500)
    made = api.made(plugin)
    assert api.form("PATCH", f"{made['id']}/", **{"add_attachment[mapping]": b"x" * 1000}).status_code == 200
    large = problem(api.form("PATCH", f"{made['id']}/", **{"add_attachment[mapping]": b"y" * 1001}))
    assert (large[0], large[2], large[4]) == (400, "max_length", "add_attachment[mapping]")
    both = {"add_attachment[keyfile]": b"y" * 700, "add_attachment[mapping]": b"y" * 801}
    assert problem(api.form("PATCH", f"{made['id']}/", **both))[2] == "max_length"
    assert contents(made["id"]) == {"mapping": b"x" * 1000}


def test_a_file_of_ten_megabytes_is_taken(api: ConfigApi, plugin: Plugin) -> None:
    made = api.made(plugin)
    content = bytes(range(256)) * (10 * 4096)
    answer = api.form("PATCH", f"{made['id']}/", **{"add_attachment[mapping]": content})
    assert parsed(answer)["config"]["mapping"]["size"] == len(content) == 10 * 1024 * 1024
    assert contents(made["id"]) == {"mapping": content}
    assert api.form("PATCH", f"{made['id']}/", **{"add_attachment[mapping]": content + b"x"}).status_code == 400


def test_a_required_file_is_needed_to_switch_on(api: ConfigApi) -> None:
    schema = [{"key": "map", "type": "attachment", "required": True, "secret": True}]
    plugin = make_plugin(api.team.organization, config_schema=schema)
    made = api.made(plugin)
    refused = problem(api("PATCH", f"{made['id']}/", {"enabled": True}))
    assert refused[2:] == ("required", "This field is required.", "config__map")
    taken = api.form("PATCH", f"{made['id']}/", **{"enabled": "true", "add_attachment[map]": b"x"})
    assert parsed(taken)["enabled"] is True
    refused = problem(api.form("PATCH", f"{made['id']}/", **{"remove_attachment[map]": "1"}))
    assert refused[4] == "config__map"
    assert contents(made["id"]) == {"map": b"x"}
    assert api.changed(made["id"], enabled=False, config={})["enabled"] is False
