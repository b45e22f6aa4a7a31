"""What editors of queries ask: HogQLMetadata, DatabaseSchemaQuery and HogQLAutocomplete over HTTP."""

from typing import Any

import pytest

from events.hogql.errors import HogQLBusyError
from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import NOON, answer, refusal, sent

pytestmark = pytest.mark.usefixtures("clickhouse")
METADATA_KEYS = {
    "query", "isValid", "errors", "warnings", "notices", "table_names", "ch_table_names", "isUsingIndices",
}  # fmt: skip


def checked(api: Api, text: str, language: str = "hogQL", **more: Any) -> dict[str, Any]:
    return answer(api, "HogQLMetadata", language=language, query=text, **more)


def test_a_right_statement(api: Api) -> None:
    text = "select event from events e join persons p on p.id = e.person_id where timestamp > now()"
    found = checked(api, text)
    assert set(found) == METADATA_KEYS
    assert (found["query"], found["isValid"], found["errors"], found["warnings"]) == (text, True, [], [])
    assert found["table_names"] == ["events", "persons"]
    assert "events" in found["ch_table_names"]
    assert "persons" in found["ch_table_names"]


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("select evnt from events", "evnt"),
        ("select 'é😀', evnt from events", "evnt"),
        ("select '日本語😀😀' as x, nofunc(1) from events", "nofunc(1)"),
        ("/* 😀 */ select 1 from nowhere", "nowhere"),
        ("select event from events where tiemstamp > now()", "tiemstamp"),
    ],
)
def test_errors_say_where_in_characters(api: Api, text: str, marked: str) -> None:
    found = checked(api, text)
    assert not found["isValid"]
    (error,) = found["errors"]
    assert set(error) == {"message", "start", "end", "fix"}
    assert text[error["start"] : error["end"]] == marked


@pytest.mark.parametrize(
    "text", ["select 'é😀' from from", "select € from events", "select 'é😀", "", "sel", "select ("]
)
def test_syntax_errors_lie_in_the_text(api: Api, text: str) -> None:
    (error,) = checked(api, text)["errors"]
    assert error["message"]
    assert 0 <= error["start"] <= error["end"] <= len(text)


def test_errors_name_what_may_be_meant(api: Api) -> None:
    assert "event" in checked(api, "select evnt from events")["errors"][0]["message"]
    assert "count" in checked(api, "select coutn() from events")["errors"][0]["message"]


def test_expressions_are_about_events_or_a_source(api: Api) -> None:
    assert checked(api, "event || 'é'", "hogQLExpr")["isValid"]
    found = checked(api, "'é😀' || evnt", "hogQLExpr")
    assert [(one["start"], one["end"]) for one in found["errors"]] == [(8, 12)]
    source = {"kind": "ActorsQuery", "select": ["id"]}
    assert checked(api, "is_identified", "hogQLExpr", sourceQuery=source)["isValid"]
    assert not checked(api, "is_identified", "hogQLExpr")["isValid"]
    source = {"kind": "HogQLQuery", "query": "select key from groups"}
    assert checked(api, "properties.name", "hogQLExpr", sourceQuery=source)["table_names"] == ["groups"]
    broken = {"kind": "HogQLQuery", "query": "select nope from groups"}
    (error,) = checked(api, "key", "hogQLExpr", sourceQuery=broken)["errors"]
    assert (error["start"], error["end"]) == (None, None)


def test_templates(api: Api) -> None:
    assert checked(api, "Hi {person.name} é😀 {1 + 1}", "hogTemplate")["isValid"]
    found = checked(api, "é😀 {1 + }", "hogTemplate")
    assert not found["isValid"]
    assert 4 <= found["errors"][0]["start"] <= 9
    assert not checked(api, "return 1", "hog")["isValid"]


def test_placeholders_are_filled_in(api: Api) -> None:
    text = "select event from events where {filters} and event = {variables.name}"
    assert not checked(api, text)["isValid"]
    variables = {"1": {"variableId": "1", "code_name": "name", "value": "x"}}
    assert checked(api, text, variables=variables)["isValid"]
    wrong = {"properties": [{"key": "a", "operator": "nope", "value": 1}]}
    assert not checked(api, text, variables=variables, filters=wrong)["isValid"]


def test_whether_the_index_is_used(api: Api, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Out of time is undecisive too.
    monkeypatch.setattr("core.query.index_use.SECONDS", 60)
    capture("ann", "view", timestamp=NOON)
    checked(api, "select 1")
    uses = {
        "select count() from events where timestamp > now() - interval 1 day": "yes",
        "select count() from events where event = 'view' and timestamp > '2024-01-01'": "yes",
        "select count() from events where properties.a = '1'": "no",
        "select count() from persons": "undecisive",
        "select 1": "undecisive",
    }
    assert {text: checked(api, text)["isUsingIndices"] for text in uses} == uses


@pytest.mark.parametrize(
    ("node", "attr"),
    [
        ({"query": "select 1"}, "query__language"),
        ({"language": "hogQL"}, "query__query"),
        ({"language": "sql", "query": "select 1"}, "query__language"),
        ({"language": "hogQL", "query": 1}, "query__query"),
        ({"language": "hogQL", "query": "select 1", "filters": []}, "query__filters"),
        ({"language": "hogQL", "query": "select 1", "x": 1}, "query__x"),
        ({"language": "hogQLExpr", "query": "1", "sourceQuery": {"kind": "HogQLQuery"}}, "query__sourceQuery__query"),
    ],
)
def test_metadata_is_checked(api: Api, node: dict[str, Any], attr: str) -> None:
    assert refusal(api, "HogQLMetadata", **node)[1::2] == ("parse_error", attr)


def test_the_schema(api: Api, capture: Capture) -> None:
    properties = {"$group_type": "company", "$group_key": "acme"}
    capture("ann", "$groupidentify", timestamp=NOON, properties=properties)
    found = answer(api, "DatabaseSchemaQuery")
    assert set(found) == {"tables", "joins"}
    assert found["joins"] == []
    wanted = {"events", "persons", "groups", "person_distinct_ids", "sessions", "cohort_people", "query_log"}
    assert wanted <= set(found["tables"])
    assert not [name for name in found["tables"] if name.startswith("raw_")]
    events = found["tables"]["events"]
    assert set(events) == {"fields", "id", "name", "type", "row_count"}
    assert events["fields"]["timestamp"] == {
        "name": "timestamp", "hogql_value": "timestamp", "type": "datetime", "schema_valid": True, "table": None,
        "fields": None, "chain": None, "id": "timestamp",
    }  # fmt: skip
    kinds = {name: field["type"] for name, field in events["fields"].items()}
    assert (kinds["properties"], kinds["uuid"], kinds["pdi"], kinds["poe"]) == (
        "json", "string", "lazy_table", "virtual_table",
    )  # fmt: skip
    assert events["fields"]["company"]["table"] == "groups"
    assert "properties" in events["fields"]["company"]["fields"]
    assert "team_id" not in kinds


def completed(api: Api, text: str, language: str = "hogQL", **more: Any) -> dict[str, Any]:
    """Ask at the bar in the text."""
    place = text.index("|")
    positions = {"startPosition": place, "endPosition": place}
    return answer(api, "HogQLAutocomplete", language=language, query=text.replace("|", ""), **positions, **more)


def labels(found: dict[str, Any]) -> list[str]:
    return [one["label"] for one in found["suggestions"]]


def test_suggestions_have_exactly_these_keys(api: Api) -> None:
    found = completed(api, "select * from ev|")
    assert set(found) == {"suggestions", "incomplete_list", "timings"}
    (events,) = [one for one in found["suggestions"] if one["label"] == "events"]
    assert set(events) == {"kind", "label", "insertText", "detail", "documentation"}
    assert (events["kind"], events["insertText"], found["incomplete_list"]) == ("Folder", "events", False)


def test_suggestions_over_http(api: Api, capture: Capture) -> None:
    capture("ann", "$groupidentify", timestamp=NOON, properties={"$group_type": "big company", "$group_key": "a"})
    found = completed(api, "select | from events")
    assert {"event", "timestamp", "person", "big company", "count", "toDate"} <= set(labels(found))
    (company,) = [one for one in found["suggestions"] if one["label"] == "big company"]
    assert company["insertText"] == "`big company`"
    assert "is_identified" in labels(completed(api, "|", "hogQLExpr", sourceQuery={"kind": "ActorsQuery"}))
    assert "elements_chain" in labels(completed(api, "1 + el|", "hogQLExpr"))
    globals_ = {"person": {"name": "x"}, "event": {}}
    assert labels(completed(api, "Hi {person.|", "hogTemplate", globals=globals_)) == ["name"]
    assert labels(completed(api, "Hi {|}", "hogTemplate", globals=globals_)) == ["person", "event"]
    assert labels(completed(api, "Hi |", "hogTemplate", globals=globals_)) == []


@pytest.mark.parametrize(
    ("node", "attr"),
    [
        ({"query": "x"}, "query__language"),
        ({"language": "hogQL", "query": "x", "startPosition": 0}, "query__endPosition"),
        ({"language": "hogQL", "query": "x", "startPosition": -1, "endPosition": 0}, "query__startPosition"),
        ({"language": "hogQL", "query": "x", "startPosition": 1, "endPosition": 0}, "query__endPosition"),
        ({"language": "hogQL", "query": "x", "startPosition": "0", "endPosition": 0}, "query__startPosition"),
        ({"language": "hogQL", "query": None, "startPosition": 0, "endPosition": 0}, "query__query"),
    ],
)
def test_autocomplete_is_checked(api: Api, node: dict[str, Any], attr: str) -> None:
    assert refusal(api, "HogQLAutocomplete", **node)[1::2] == ("parse_error", attr)


def test_places_behind_the_end_count_as_the_end(api: Api) -> None:
    node = {"language": "hogQL", "query": "select * from ", "startPosition": 5_000, "endPosition": 9_000}
    assert "events" in labels(answer(api, "HogQLAutocomplete", **node))


def test_known_properties_are_suggested_with_their_types(api: Api, stranger: Api, capture: Capture) -> None:
    properties = {"price": 5, "Price_Tag": "x", "path": "/a", "odd name": True}
    capture("ann", "view", timestamp=NOON, properties=properties, set={"plan": "pro"})
    found = completed(api, "select properties.pri| from events")
    assert [(one["label"], one["kind"], one["detail"]) for one in found["suggestions"]] == [
        ("price", "Property", "Numeric"), ("Price_Tag", "Property", "String"),
    ]  # fmt: skip
    assert not found["incomplete_list"]
    (odd,) = completed(api, "select properties.odd| from events")["suggestions"]
    assert odd["insertText"] == "`odd name`"
    assert "plan" in labels(completed(api, "select person.properties.| from events"))
    assert "plan" in labels(completed(api, "properties.|", "hogQLExpr", sourceQuery={"kind": "ActorsQuery"}))
    assert labels(completed(api, "select properties.pr_c| from events")) == []
    assert labels(completed(stranger, "select properties.| from events")) == []


def test_types_of_properties_are_noticed(api: Api, capture: Capture) -> None:
    capture("ann", "view", timestamp=NOON, properties={"price": 5}, set={"age": 30})
    text = "select 'é😀', properties.price, person.properties.age, properties.nope from events"
    found = checked(api, text)["notices"]
    assert [(one["message"], text[one["start"] : one["end"]], one["fix"]) for one in found] == [
        ("Event property 'price' is of type 'Numeric'.", "properties.price", None),
        ("Person property 'age' is of type 'Numeric'.", "person.properties.age", None),
    ]
    (one,) = checked(api, "properties.age", "hogQLExpr", sourceQuery={"kind": "ActorsQuery"})["notices"]
    assert one["message"].startswith("Person property")


def test_a_busy_parser_says_nothing_of_the_text(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any) -> None:
        raise HogQLBusyError("busy")

    monkeypatch.setattr("core.query.runners.metadata.parse_expr", busy)
    found = sent(api, {"kind": "HogQLMetadata", "language": "hogQLExpr", "query": "event"})
    assert found.status_code == 503
    assert found.headers["Retry-After"]
