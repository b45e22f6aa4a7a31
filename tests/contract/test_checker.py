"""The checker that all HTTP tests rely on: it must see what is wrong."""

from typing import Any

import orjson
import pytest
from django.http import HttpResponse

from tests.support.contract import ContractError, check, document, json_schema, template_of

PERSON = "/api/projects/{project_id}/persons/{id}/"
GOOD: dict[str, Any] = {
    "id": 1,
    "name": "ann",
    "distinct_ids": ["ann"],
    "properties": {"plan": None},
    "created_at": "2026-01-01T00:00:00.000000Z",
    "uuid": "5f0c6f0e-3c43-5b0f-9a54-0d4f8f0f7a10",
    "is_identified": True,
    "last_seen_at": None,
}
ERROR: dict[str, Any] = {"type": "invalid_request", "code": "not_found", "detail": "Not found.", "attr": None}


def answer(body: Any, status: int = 200, media_type: str = "application/json") -> HttpResponse:
    return HttpResponse(b"" if body is None else orjson.dumps(body), status=status, content_type=media_type)


def test_a_right_answer_passes() -> None:
    check("GET", PERSON, answer(GOOD))
    check("GET", PERSON, answer(ERROR, 404))
    check("HEAD", PERSON, answer(None))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "1"},
        {"distinct_ids": [1]},
        {"distinct_ids": None},
        {"created_at": "yesterday"},
        {"created_at": None},
        {"uuid": "1"},
        {"unheard_of": 1},
    ],
)
def test_a_wrong_value_or_key_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        check("GET", PERSON, answer({**GOOD, **change}))


@pytest.mark.parametrize("key", sorted(GOOD.keys() - {"properties"}))
def test_a_missing_key_is_found(key: str) -> None:
    with pytest.raises(ContractError, match=f"'{key}' is a required property"):
        check("GET", PERSON, answer({name: value for name, value in GOOD.items() if name != key}))


def test_undeclared_answers_are_found() -> None:
    for response in (
        answer(GOOD, 201),
        answer(ERROR, 418),
        answer({"detail": "Not found."}, 404),
        answer(GOOD, media_type="text/plain"),
        answer({"detail": "boom"}, 500),
    ):
        with pytest.raises(ContractError):
            check("GET", PERSON, response)


def test_an_empty_answer_must_be_declared_as_empty() -> None:
    empty = HttpResponse(status=200)
    del empty.headers["Content-Type"]
    with pytest.raises(ContractError):
        check("GET", PERSON, empty)
    deleted = HttpResponse(status=204)
    check("DELETE", PERSON, deleted)
    deleted.content = b"{}"
    with pytest.raises(ContractError):
        check("DELETE", PERSON, deleted)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/api/projects/1/persons", "/api/projects/{project_id}/persons/"),
        ("/api/projects/1/persons.json", "/api/projects/{project_id}/persons/"),
        ("/api/environments/@current/persons/5/", "/api/environments/{project_id}/persons/{id}/"),
        ("/api/projects/1/persons/values/", "/api/projects/{project_id}/persons/values/"),
        ("/api/projects/1/persons/values/x/y/", None),
        ("/nowhere", None),
    ],
)
def test_addresses_are_matched_to_their_documented_path(path: str, template: str | None) -> None:
    assert template_of(path) == template


def test_null_is_taken_only_where_it_is_declared() -> None:
    schema = {"type": "object", "properties": {"a": {"allOf": [{"type": "object"}], "nullable": True}}}
    converted = json_schema(schema)
    assert converted["properties"]["a"]["anyOf"][1] == {"type": "null"}
    assert converted["additionalProperties"] is False


def test_the_published_document_is_the_one_that_is_checked(client: Any) -> None:
    assert orjson.loads(client.get("/api/schema/?format=json").content) == document()
