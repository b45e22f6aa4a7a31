"""Persisted folders: of one user in one project, one of each type."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.folders.models import PersistedFolder
from core.tenancy.holding import TeamGoneError
from tests.core.conftest import Cast
from tests.core.folders.conftest import KEYS, Folders
from tests.core.http import Caller, parsed, problem
from tests.core.roles.conftest import ENCODINGS
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db


def test_the_whole_life_of_a_folder(folders: Folders) -> None:
    made = folders.make("pinned", protocol="files://", path="Team/Boards")
    assert set(made) == KEYS
    assert (made["type"], made["protocol"], made["path"]) == ("pinned", "files://", "Team/Boards")
    assert UUID(made["id"]).version == 7
    assert made["created_at"].endswith("Z")
    assert folders.read(made["id"]) == made
    page = parsed(folders.send("GET"))
    assert page == {"count": 1, "next": None, "previous": None, "results": [made]}
    changed = parsed(folders.send("PATCH", made["id"], {"path": "Mine"}))
    assert {**changed, "updated_at": None} == {**made, "path": "Mine", "updated_at": None}
    assert changed["updated_at"] > made["updated_at"]
    assert folders.read(made["id"]) == changed
    replaced = parsed(folders.send("PUT", made["id"], {"type": "home"}))
    assert (replaced["type"], replaced["protocol"], replaced["path"]) == ("home", "products://", "")
    assert (replaced["id"], replaced["created_at"]) == (made["id"], made["created_at"])
    gone = folders.send("DELETE", made["id"])
    assert (gone.status_code, gone.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert problem(folders.send(method, made["id"]))[:3] == (404, "invalid_request", "not_found")
    assert not PersistedFolder.unscoped.exists()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_read(folders: Folders, encoding: str) -> None:
    body = {"type": "home", "protocol": "files://", "path": "Ünï/Böards"}
    answer = folders.send("POST", body=body, encoding=encoding)
    assert answer.status_code == 201, answer.content
    made = parsed(answer)
    assert {name: made[name] for name in body} == body
    answer = folders.send("PATCH", made["id"], {"path": "x"}, encoding)
    assert (parsed(answer)["path"], parsed(answer)["protocol"]) == ("x", "files://")


def test_a_second_of_a_type_is_the_first_with_what_was_sent_or_the_defaults(folders: Folders) -> None:
    first = folders.make("home", protocol="files://", path="a")
    second = folders.make("home", path="b")
    assert (second["id"], second["created_at"]) == (first["id"], first["created_at"])
    assert (second["protocol"], second["path"]) == ("products://", "b")
    assert second["updated_at"] > first["updated_at"]
    assert folders.make("home")["path"] == ""
    assert folders.types() == ["home"]


def test_what_only_the_server_sets_is_ignored_whatever_it_is(folders: Folders) -> None:
    extras = {"id": 5, "created_at": "yesterday", "updated_at": [], "surface": "desktop", "user": 1, "team": 999}
    made = folders.make("pinned", **extras)
    changed = parsed(folders.send("PUT", made["id"], {**extras, "type": "pinned"}))
    assert (changed["id"], changed["created_at"]) == (made["id"], made["created_at"])
    folder = PersistedFolder.unscoped.get()
    assert (folder.team_id, folder.user_id, folder.surface) == (folders.team.id, folders.user.id, "web")


def test_the_list_goes_by_type_and_pages(folders: Folders) -> None:
    for kind in ("pinned", "home", "custom_products"):
        folders.make(kind)
    assert folders.types() == ["custom_products", "home", "pinned"]
    page = parsed(folders.caller.get(f"{folders.path()}?limit=2&offset=1"))
    assert ([one["type"] for one in page["results"]], page["count"], page["next"]) == (["home", "pinned"], 3, None)
    assert page["previous"].endswith("?limit=2")
    for odd in ("limit=x", "limit=-1", "offset=" + "9" * 30, "offset=-5", "limit=" + "9" * 30):
        assert folders.caller.get(f"{folders.path()}?{odd}").status_code == 200, odd


def test_two_statements_make_a_page(folders: Folders) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as run:
            folders.types()
        return sum("core_persistedfolder" in one["sql"] for one in run)

    assert statements() == 2
    for kind in ("pinned", "home", "custom_products"):
        folders.make(kind)
    assert statements() == 2


def test_another_user_has_folders_of_their_own(folders: Folders, as_member: Folders) -> None:
    mine = folders.make("home", path="mine")
    theirs = as_member.make("home", path="theirs")
    assert (mine["id"] != theirs["id"], folders.read(mine["id"])["path"]) == (True, "mine")
    for method, body in (("GET", None), ("PUT", {"type": "home"}), ("PATCH", {"path": "x"}), ("DELETE", None)):
        assert problem(as_member.send(method, mine["id"], body))[:3] == (404, "invalid_request", "not_found"), method
        missing = as_member.send(method, uuid4(), body)
        assert missing.content == as_member.send(method, mine["id"], body).content
    assert as_member.types() == ["home"]
    assert folders.read(mine["id"]) == mine


def test_another_project_has_folders_of_its_own(cast: Cast, folders: Folders, elsewhere: Folders) -> None:
    made = folders.make("home")
    assert elsewhere.types() == []
    assert problem(elsewhere.send("GET", made["id"]))[0] == 404
    assert problem(elsewhere.send("DELETE", made["id"]))[0] == 404
    assert elsewhere.make("home")["id"] != made["id"]
    assert problem(Folders(cast.as_stranger(), cast.team, cast.stranger).send("GET", made["id"]))[0] in {403, 404}


def test_a_folder_of_another_surface_is_not_seen(folders: Folders) -> None:
    desktop = PersistedFolder.unscoped.create(team=folders.team, user=folders.user, type="home", surface="desktop")
    assert folders.types() == []
    assert folders.make("home")["id"] != str(desktop.id)
    for method, body in (("GET", None), ("PATCH", {"path": "x"}), ("DELETE", None)):
        assert problem(folders.send(method, desktop.id, body))[0] == 404
    assert PersistedFolder.unscoped.filter(id=desktop.id, path="").exists()


def test_a_type_that_is_taken_is_refused_and_nothing_is_saved(folders: Folders) -> None:
    folders.make("home")
    pinned = folders.make("pinned", path="a")
    for method in ("PATCH", "PUT"):
        answer = problem(folders.send(method, pinned["id"], {"type": "home", "path": "b"}))
        assert (answer[0], answer[1], answer[2], answer[4]) == (400, "validation_error", "unique", "type")
    assert folders.read(pinned["id"]) == pinned
    assert parsed(folders.send("PATCH", pinned["id"], {"type": "custom_products"}))["type"] == "custom_products"


BAD: list[tuple[Any, str, str]] = [
    ({}, "required", "type"),
    ({"type": None}, "null", "type"),
    ({"type": ""}, "invalid_choice", "type"),
    ({"type": "Home"}, "invalid_choice", "type"),
    ({"type": ["home"]}, "invalid_choice", "type"),
    ({"type": {"home": 1}}, "invalid_choice", "type"),
    ({"type": "x" * 100_000}, "invalid_choice", "type"),
    (b'{"type": ' + b"9" * 30 + b"}", "invalid_choice", "type"),
    (b'{"type": "\\u0000"}', "invalid_choice", "type"),
    ({"type": "home", "protocol": None}, "null", "protocol"),
    ({"type": "home", "protocol": ""}, "blank", "protocol"),
    ({"type": "home", "protocol": "x" * 65}, "max_length", "protocol"),
    ({"type": "home", "protocol": ["x"]}, "invalid_input", "protocol"),
    ({"type": "home", "protocol": "a\0b"}, "null_characters_not_allowed", "protocol"),
    ({"type": "home", "path": None}, "null", "path"),
    ({"type": "home", "path": True}, "invalid_input", "path"),
    ({"type": "home", "path": {"a": 1}}, "invalid_input", "path"),
    ({"type": "home", "path": "a\0b"}, "null_characters_not_allowed", "path"),
    ({"type": "home", "path": "x" * 10_001}, "max_length", "path"),
]


@pytest.mark.parametrize(("body", "code", "attr"), BAD, ids=lambda value: str(value)[:40])
def test_bad_bodies_are_refused_and_nothing_is_saved(folders: Folders, body: Any, code: str, attr: str) -> None:
    answer = problem(folders.send("POST", body=body))
    assert (answer[0], answer[1], answer[2], answer[4]) == (400, "validation_error", code, attr)
    assert not PersistedFolder.unscoped.exists()
    made = folders.make("home", path="a")
    if body != {}:
        assert problem(folders.send("PATCH", made["id"], body))[2] == code
    assert problem(folders.send("PUT", made["id"], body))[2] == code
    assert folders.read(made["id"]) == made


def test_an_empty_change_changes_nothing(folders: Folders) -> None:
    made = folders.make("home", path="a")
    changed = parsed(folders.send("PATCH", made["id"], {}))
    assert {**changed, "updated_at": None} == {**made, "updated_at": None}


def test_bodies_that_are_no_objects_are_refused(folders: Folders) -> None:
    for body in (b"[]", b'"x"', b"5", b"{", b"[" * 100_000, b'{"type": "home", "path": "\\ud800"}'):
        answer = problem(folders.send("POST", body=body))
        assert answer[0] == 400, body[:10]
    assert not PersistedFolder.unscoped.exists()


def test_ids_that_are_none_are_not_found(folders: Folders) -> None:
    for odd in ("x", "1", "%00", "9" * 400, "0190c6a0-3333-7000-8000", "²"):
        for method, body in (("GET", None), ("PUT", {"type": "home"}), ("PATCH", {}), ("DELETE", None)):
            assert problem(folders.send(method, odd, body))[0] == 404, (method, odd)


def test_a_key_needs_the_scope_of_folders(cast: Cast) -> None:
    reader = Folders(Caller(make_key(cast.owner, scopes=["persisted_folder:read"])), cast.team, cast.owner)
    assert reader.types() == []
    assert problem(reader.send("POST", body={"type": "home"}))[0] == 403
    writer = Folders(Caller(make_key(cast.owner, scopes=["persisted_folder:write"])), cast.team, cast.owner)
    made = writer.make("home")
    assert problem(reader.send("DELETE", made["id"]))[0] == 403
    other = Folders(Caller(make_key(cast.owner, scopes=["plugin:write", "person:write"])), cast.team, cast.owner)
    assert problem(other.send("GET"))[0] == 403
    assert writer.send("DELETE", made["id"]).status_code == 204


def test_folders_go_with_their_user_and_no_one_elses(cast: Cast, folders: Folders) -> None:
    leaver = make_user(cast.organization, team=cast.team)
    Folders(Caller(make_key(leaver)), cast.team, leaver).make("home")
    kept = folders.make("home")
    leaver.delete()
    assert [str(folder.id) for folder in PersistedFolder.unscoped.all()] == [kept["id"]]


def test_no_activity_tells_of_them(folders: Folders) -> None:
    made = folders.make("home")
    folders.send("PATCH", made["id"], {"path": "a"})
    folders.send("DELETE", made["id"])
    assert not ActivityLog.objects.exists()


def test_a_project_that_is_being_deleted_takes_no_more(cast: Cast) -> None:
    from core.folders.services import Owner, folder_put
    from tests.persons_api.admin.helpers import NOW

    type(cast.team).objects.filter(id=cast.team.id).update(deleted_at=NOW)
    with pytest.raises(TeamGoneError):
        folder_put(owner=Owner(cast.team.id, cast.owner.id), fields={"type": "home", "protocol": "x", "path": ""})
    assert not PersistedFolder.unscoped.exists()
