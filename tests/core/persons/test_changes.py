from collections.abc import Callable
from typing import Any

import orjson
import pytest
import zstandard
from django.core.files.uploadedfile import SimpleUploadedFile

from core.activity.models import ActivityLog
from core.deletions.models import DeletionRequest
from core.outbox.models import OutboxRows
from core.persons.models import Person, PersonDistinctId
from core.tenancy.models import Team
from tests.core.persons.conftest import Api, make_api

REQUIRED = {"type": "validation_error", "code": "required", "detail": "This field is required."}
CHANGED = {"type": "Person", "action": "changed", "field": "properties", "before": None, "after": None}


def own(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if key != "$creator_event_uuid"}


def stored_events() -> list[dict[str, Any]]:
    entries = OutboxRows.objects.filter(table="events").order_by("id")
    texts = [zstandard.ZstdDecompressor().decompress(bytes(entry.payload)) for entry in entries]
    return [orjson.loads(line) for text in texts for line in text.splitlines()]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_given_keys_are_set_and_the_others_stay(api: Api, capture: Callable[..., Person], method: str) -> None:
    person = capture("ann", set={"plan": "free", "seats": 1})

    answer = api.send(method, f"/{person.uuid}/", {"properties": {"plan": "pro"}, "name": "x", "id": 1})

    assert answer.status_code == 200
    assert own(answer.json()["properties"]) == {"plan": "pro", "seats": 1}
    assert answer.json() == api.get(f"/{person.id}").json()
    event = stored_events()[-1]
    assert (event["event"], event["distinct_id"]) == ("$set", "ann")
    assert orjson.loads(event["properties"])["$set"] == {"plan": "pro"}
    entry = ActivityLog.objects.get(activity="updated")
    assert (entry.scope, entry.item_id, entry.detail["name"]) == ("Person", str(person.id), None)
    assert entry.detail["changes"] == [CHANGED]


@pytest.mark.parametrize("body", [{}, {"properties": None}, {"name": "ann"}, None, {"properties": {}}])
def test_nothing_to_change_answers_the_person_and_logs_nothing(
    api: Api, capture: Callable[..., Person], body: dict[str, Any] | None
) -> None:
    person = capture()
    answer = api.send("PATCH", f"/{person.id}", body)
    assert (answer.status_code, answer.json()["id"]) == (200, person.id)
    assert not ActivityLog.objects.exists()


def test_properties_may_be_json_text_or_a_form_field(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    url = api.url(f"/{person.id}/")
    api.send("PATCH", f"/{person.id}/", {"properties": '{"a": 1}'})
    api.client.generic("PATCH", url, b"properties=%7B%22b%22%3A+2%7D", content_type="application/x-www-form-urlencoded")
    api.client.generic(
        "PATCH",
        url,
        b'--x\r\nContent-Disposition: form-data; name="properties"\r\n'
        b'Content-Type: application/json\r\n\r\n{"c": 3}\r\n--x--\r\n',
        content_type="multipart/form-data; boundary=x",
    )
    assert own(api.get(f"/{person.id}").json()["properties"]) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("properties", [[], "x", 7, "[1]", "{", True])
def test_properties_that_are_no_object_are_refused(
    api: Api, capture: Callable[..., Person], properties: object
) -> None:
    person = capture()
    answer = api.send("PATCH", f"/{person.id}", {"properties": properties})
    assert (answer.status_code, answer.json()["attr"]) == (400, "properties")


def test_update_property_keeps_json_types_and_text_from_queries(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    for key, value in {"n": 1, "list": [1, {"a": None}], "none": None, "no": False}.items():
        answer = api.send("POST", f"/{person.id}/update_property/", {"key": key, "value": value})
        assert answer.status_code == 200
        assert answer.json()["properties"][key] == value
    answer = api.client.post(api.url(f"/{person.id}/update_property?key=zip&value=00123"))
    assert answer.json()["properties"]["zip"] == "00123"
    answer = api.send("POST", f"/{person.id}/update_property", {"$set": {"via": "set"}})
    assert answer.json()["properties"]["via"] == "set"


@pytest.mark.parametrize(
    ("path", "body", "attr"),
    [
        ("update_property", {}, "value"),
        ("update_property", {"value": 1}, "key"),
        ("update_property", {"value": 1, "key": None}, "key"),
        ("delete_property", {}, "$unset"),
        ("delete_property", {"$unset": None}, "$unset"),
    ],
)
def test_missing_fields_are_named(
    api: Api, capture: Callable[..., Person], path: str, body: dict[str, Any], attr: str
) -> None:
    person = capture()
    answer = api.send("POST", f"/{person.id}/{path}", body)
    assert (answer.status_code, answer.json()) == (400, {**REQUIRED, "attr": attr})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("update_property", {"key": 7, "value": 1}),
        ("update_property", {"key": "", "value": 1}),
        ("delete_property", {"$unset": []}),
        ("delete_property", {"$unset": [1]}),
        ("delete_property", {"$unset": {"a": 1}}),
        ("delete_property", {"$unset": ["k"] * 1001}),
        ("update_property", [1]),
        ("update_property", b"{"),
        ("update_property", b'{"key":"a","value":' + b"[" * 300 + b"]" * 300 + b"}"),
        ("update_property", {"key": "big", "value": "x" * 10_000_000}),
    ],
)
def test_wrong_bodies_get_400_and_change_nothing(
    api: Api, capture: Callable[..., Person], path: str, body: object
) -> None:
    person = capture()
    answer = api.send("POST", f"/{person.id}/{path}", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "code", "detail", "attr"}
    person.refresh_from_db()
    assert own(person.properties) == {}
    assert len(stored_events()) == 1


def test_nul_is_repaired_and_a_lone_surrogate_refused(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    answer = api.send("POST", f"/{person.id}/update_property", b'{"key":"k\\u0000","value":["a\\u0000b"]}')
    assert answer.status_code == 200
    assert answer.json()["properties"]["k\ufffd"] == ["a\ufffdb"]
    refused = api.send("POST", f"/{person.id}/update_property", b'{"key":"k","value":"\\ud800"}')
    assert (refused.status_code, refused.json()["code"]) == (400, "parse_error")


def test_delete_property_takes_one_key_or_many(api: Api, capture: Callable[..., Person]) -> None:
    person = capture("ann", set={"a": 1, "b": 2, "c": 3, "d": 4})
    api.send("POST", f"/{person.id}/delete_property/", {"$unset": "a"})
    api.send("POST", f"/{person.id}/delete_property/", {"$unset": ["b", "missing"]})
    answer = api.client.post(api.url(f"/{person.id}/delete_property/?%24unset=c"))
    assert own(answer.json()["properties"]) == {"d": 4}
    assert stored_events()[-1]["event"] == "$delete_person_property"
    entry = ActivityLog.objects.filter(activity="delete_property").latest("created_at")
    assert entry.detail["name"] == str(person.uuid)


@pytest.mark.parametrize("flags", ["", "?delete_events=false", "?delete_events=0&delete_recordings=no"])
def test_delete_answers_204_and_the_id_can_be_used_again(api: Api, capture: Callable[..., Person], flags: str) -> None:
    person = capture("ann", set={"old": 1})

    answer = api.send("DELETE", f"/{person.id}/{flags}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"/{person.uuid}").status_code == api.send("DELETE", f"/{person.id}").status_code == 404
    assert not PersonDistinctId.objects.for_team(api.team.id).exists()
    assert not DeletionRequest.objects.for_team(api.team.id).exists()
    entry = ActivityLog.objects.get(activity="deleted")
    assert (entry.item_id, entry.detail["name"], entry.detail["changes"]) == (str(person.id), str(person.uuid), None)
    assert "old" not in capture("ann").properties


def test_a_request_to_delete_events_is_kept_with_the_ids_of_that_moment(
    api: Api, capture: Callable[..., Person]
) -> None:
    person = capture("ann", "$identify", merge_with="anon")
    api.send("DELETE", f"/{person.id}/?delete_events=true&keep_person=1")
    request = DeletionRequest.objects.for_team(api.team.id).get()
    assert (request.kind, request.person_uuid) == ("events", person.uuid)
    assert sorted(item["distinct_id"] for item in request.distinct_ids) == ["ann", "anon"]
    assert api.get(f"/{person.id}").status_code == 200


def test_an_unknown_word_for_a_flag_deletes_nothing(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    answer = api.send("DELETE", f"/{person.id}/?delete_events=maybe")
    assert (answer.status_code, answer.json()["attr"]) == (400, "delete_events")
    assert api.get(f"/{person.id}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/update_property"),
        ("POST", "/delete_property"),
    ],
)
def test_strangers_and_readers_change_nothing(
    api: Api, stranger: Api, team: Team, capture: Callable[..., Person], method: str, path: str
) -> None:
    person = capture()
    body = {"properties": {"x": 1}, "key": "x", "value": 1, "$unset": "x"}

    foreign = stranger.send(method, f"/{person.uuid}{path}", body)
    reader = make_api(team, scopes=("person:read",)).send(method, f"/{person.uuid}{path}", body)

    assert foreign.status_code == 404
    assert (reader.status_code, reader.json()["detail"]) == (403, "API key missing required scope 'person:write'")
    person.refresh_from_db()
    assert own(person.properties) == {}


@pytest.mark.parametrize(("query", "status"), [("?keep_person", 200), ("?keep_person=", 404), ("?keep_person=1", 200)])
def test_a_bare_flag_is_true_and_an_empty_one_false(
    api: Api, capture: Callable[..., Person], query: str, status: int
) -> None:
    person = capture()
    assert api.send("DELETE", f"/{person.id}/{query}").status_code == 204
    assert api.get(f"/{person.id}").status_code == status


def test_an_uploaded_file_is_no_value(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    upload = SimpleUploadedFile("f.txt", b"hello")
    answer = api.client.post(api.url(f"/{person.id}/update_property/"), {"key": "k", "value": upload})
    assert (answer.status_code, answer.json()["attr"]) == (400, "value")


def test_options_of_a_person_says_what_may_be_sent(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    for path in (f"/{person.id}/", "/0/", "/abc/", "/", f"/{person.id}/update_property/"):
        answer = api.send("OPTIONS", path)
        assert answer.status_code == 200
        assert "OPTIONS" in answer["Allow"]


def test_persons_are_not_created_here(api: Api) -> None:
    answer = api.send("POST", "/", {"distinct_id": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "$identify" in answer.json()["detail"]


def test_a_person_without_distinct_ids_can_be_changed(api: Api, capture: Callable[..., Person]) -> None:
    person = capture()
    PersonDistinctId.objects.for_team(api.team.id).delete()
    answer = api.send("PATCH", f"/{person.id}", {"properties": {"a": 1}})
    assert answer.json()["properties"]["a"] == 1
    assert answer.json()["name"] == str(person.id)
