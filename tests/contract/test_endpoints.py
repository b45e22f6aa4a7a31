"""Every documented endpoint of the persons resource, under both prefixes: status, full key set, schema.

`PUBLISHED` is the list of the published pages for this resource, but for the insight endpoints. `CALLS`
says how each is called and what it answers; that the answer fits its schema is checked by the client.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import orjson
import pytest
from django.http import HttpResponse

from core import routes
from core.access.routing import Tree
from core.activity.models import ActivityLog
from core.cohorts.calculation import cohorts_calculate
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.http import Caller, problem
from tests.factories import make_key, make_team, make_user
from tests.support.contract import document

pytestmark = pytest.mark.django_db

TREES = {"projects": Tree.PROJECT, "environments": Tree.ENVIRONMENT}
PUBLISHED = {
    "environments": """
        GET
        GET activity
        GET funnel
        POST funnel
        GET funnel/correlation
        POST funnel/correlation
        GET lifecycle
        POST reset_person_distinct_id
        GET stickiness
        GET trends
        GET values
        DELETE {id}
        GET {id}
        PATCH {id}
        GET {id}/activity
        POST {id}/delete_events
        POST {id}/delete_property
        POST {id}/delete_recordings
        GET {id}/properties_timeline
        POST {id}/split
        POST {id}/update_property
        """,
    "projects": """
        GET
        GET activity
        GET cohorts
        GET funnel
        POST funnel
        GET funnel/correlation
        POST funnel/correlation
        GET lifecycle
        GET properties_at_time
        POST reset_person_distinct_id
        GET retention
        GET stickiness
        GET trends
        GET values
        DELETE {id}
        GET {id}
        PATCH {id}
        PUT {id}
        GET {id}/activity
        POST {id}/delete_property
        GET {id}/properties_timeline
        POST {id}/split
        POST {id}/update_property
        """,
}
READING_POSTS = frozenset(
    {"batch_by_distinct_ids", "batch_by_uuids", "funnel", "funnel/correlation", "path", "properties_at_time"}
)

PERSON = {"id", "name", "distinct_ids", "properties", "created_at", "uuid", "is_identified", "last_seen_at"}
ITEM = PERSON | {"type", "matched_recordings", "value_at_data_point"}
PAGE = {"next", "previous", "results"}
ACTIVITY = {"id", "user", "activity", "scope", "item_id", "detail", "created_at"}
LOG_PAGE = {
    "": PAGE | {"total_count"},
    "results.0": ACTIVITY,
    "results.0.user": {"first_name", "email"},
    "results.0.detail": {"changes", "trigger", "type", "name", "short_id"},
    "results.0.detail.changes.0": {"type", "action", "field", "before", "after"},
}
COHORT = {
    "id", "name", "description", "groups", "deleted", "filters", "query", "version", "pending_version",
    "is_calculating", "created_by", "created_at", "last_calculation", "errors_calculating", "last_error_message",
    "count", "is_static", "cohort_type", "experiment_set",
}  # fmt: skip
METADATA = {
    "queried_timestamp", "include_set_once", "distinct_id_used", "person_id_used", "query_mode",
    "distinct_ids_queried", "distinct_ids_count", "operations_applied",
}  # fmt: skip
LONG_AGO = datetime(2024, 3, 1, 10, tzinfo=UTC)
INSIGHT_PAGE = {
    "": {"results", "next", "initial", "missing_persons", "is_cached", "last_refresh"},
    "results.0": {"people", "count"},
    "results.0.people.0": ITEM,
}
UNCACHED_PAGE = {**INSIGHT_PAGE, "": INSIGHT_PAGE[""] - {"is_cached", "last_refresh"}}
FUNNEL = {"events": [{"id": "click", "type": "events"}], "date_from": "2024-02-01", "funnel_step": 1}
PATH = {"date_from": "2024-02-01", "start_point": "click"}
CORRELATION = {
    "events": [{"id": "$identify", "order": 0}, {"id": "buy", "order": 1}],
    "date_from": "2024-02-01",
    "funnel_correlation_person_entity": {"id": "click", "type": "events"},
}


@dataclass(frozen=True)
class Call:
    """One request, and the exact keys of its answer by place: `""` is the whole, `results.0` the first result."""

    keys: dict[str, set[str]] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    query: dict[str, Any] = field(default_factory=dict)


def as_texts(body: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of a body as they stand in a query string."""
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in body.items()}


CALLS: dict[tuple[str, str], Call] = {
    ("GET", ""): Call({"": PAGE, "results.0": ITEM}),
    ("GET", "activity"): Call(LOG_PAGE),
    ("GET", "cohorts"): Call({"": {"results"}, "results.0": COHORT}, query={"person_id": "{id}"}),
    ("GET", "funnel"): Call(INSIGHT_PAGE, query=as_texts(FUNNEL)),
    ("POST", "funnel"): Call(INSIGHT_PAGE, body=FUNNEL),
    ("GET", "funnel/correlation"): Call(INSIGHT_PAGE, query=as_texts(CORRELATION)),
    ("POST", "funnel/correlation"): Call(INSIGHT_PAGE, body=CORRELATION),
    ("GET", "path"): Call(INSIGHT_PAGE, query=PATH),
    ("POST", "path"): Call(INSIGHT_PAGE, body=PATH),
    ("GET", "retention"): Call(
        {
            "": {"result", "next", "initial", "missing_persons"},
            "result.0": {"person", "appearances"},
            "result.0.person": ITEM,
        },
        query={"target_entity": '{"id": "click"}', "date_to": "2024-03-02", "selected_interval": 9},
    ),
    ("GET", "lifecycle"): Call(
        UNCACHED_PAGE,
        query=as_texts(
            {
                "events": FUNNEL["events"],
                "date_from": "2024-02-01",
                "date_to": "2024-04-01",
                "interval": "month",
                "target_date": "2024-03-01",
                "lifecycle_type": "new",
            }
        ),
    ),
    ("GET", "stickiness"): Call(
        UNCACHED_PAGE,
        query={"entity_type": "events", "entity_id": "click", "date_from": "2024-03-01", "stickiness_days": 1},
    ),
    ("GET", "trends"): Call(
        INSIGHT_PAGE, query={"entity_type": "events", "entity_id": "click", "date_from": "2024-02-01"}
    ),
    ("GET", "properties_at_time"): Call(
        {"": PERSON | {"point_in_time_metadata"}, "point_in_time_metadata": METADATA},
        query={"distinct_id": "ann", "timestamp": "2024-03-02T00:00:00Z"},
    ),
    ("POST", "batch_by_distinct_ids"): Call(
        {"": {"results"}, "results": {"ann", "ann-phone"}, "results.ann": PERSON},
        body={"distinct_ids": ["ann", "ann-phone", "nobody"]},
    ),
    ("POST", "batch_by_uuids"): Call({"": {"results"}, "results.{uuid}": PERSON}, body={"uuids": ["{uuid}"]}),
    ("POST", "bulk_delete"): Call(
        {
            "": {
                "persons_found", "persons_deleted", "persons_queued_for_deletion", "events_queued_for_deletion",
                "recordings_queued_for_deletion", "deletion_errors", "ids_not_found", "distinct_ids_not_found",
            }
        },
        status=202,
        body={"ids": ["{uuid}"]},
    ),
    ("GET", "deletion_status"): Call(
        {
            "": PAGE | {"count"},
            "results.0": {"person_uuid", "created_at", "status", "delete_verified_at", "kind", "receipt"},
        }
    ),
    ("POST", "properties_at_time"): Call(
        {
            "": {"results"},
            "results.0": PERSON | {"point_in_time_metadata", "error"},
            "results.0.point_in_time_metadata": METADATA,
        },
        body={"persons": [{"distinct_id": "ann", "timestamp": "2024-03-02T00:00:00Z"}]},
    ),
    ("GET", "{id}/property_history"): Call(
        {
            "": PAGE,
            "results.0": {"timestamp", "operation", "is_set", "value", "was_set", "previous_value", "event"},
            "results.0.event": {"uuid", "event", "distinct_id", "timestamp"},
        },
        query={"key": "plan"},
    ),
    ("POST", "reset_person_distinct_id"): Call({"": {"success"}}, body={"distinct_id": "ann"}),
    ("GET", "values"): Call(
        {"": {"results", "refreshing"}, "results.0": {"name", "count"}}, query={"key": "plan", "value": "pr"}
    ),
    ("GET", "{id}"): Call({"": PERSON}),
    ("PUT", "{id}"): Call({"": PERSON}, body={"properties": {"plan": "team"}}),
    ("PATCH", "{id}"): Call({"": PERSON}, body={"properties": {"plan": "team"}}),
    ("DELETE", "{id}"): Call(status=204),
    ("GET", "{id}/activity"): Call(LOG_PAGE),
    ("POST", "{id}/delete_events"): Call({"": {"success"}}),
    ("POST", "{id}/delete_property"): Call({"": PERSON}, body={"$unset": "plan"}),
    ("POST", "{id}/delete_recordings"): Call({"": {"success"}}),
    ("GET", "{id}/properties_timeline"): Call(
        {"": {"points", "crucial_property_keys", "effective_date_from", "effective_date_to"},
         "points.0": {"timestamp", "properties", "relevant_event_count"}},
        query={"date_from": "2024-02-01", "date_to": "2024-04-01"},
    ),
    ("POST", "{id}/split"): Call({"": {"success", "persons"}}, body={"distinct_ids_to_split": ["ann-phone"]}),
    ("POST", "{id}/update_property"): Call({"": PERSON}, body={"key": "plan", "value": "team"}),
}  # fmt: skip


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def caller(team: Team) -> Caller:
    return Caller(make_key(make_user(team=team)))


@pytest.fixture
def person(team: Team) -> Person:
    """A person with two distinct ids, properties and events."""
    ingest = IngestTeam(team.id)
    events_ingest(team=ingest, events=[event("ann", set={"plan": "pro", "email": "ann@example.org"})])
    events_ingest(team=ingest, events=[event("ann-phone"), event("ann", "$identify", merge_with="ann-phone")])
    return Person.objects.for_team(team.id).get(distinct_id_rows__distinct_id="ann")


@pytest.fixture
def full(team: Team, caller: Caller, person: Person, clickhouse: object) -> Person:
    """The person with everything that the endpoints tell of: a logged change, a cohort, a request to delete events."""
    base = f"/api/projects/{team.id}"
    filters = {"properties": {"type": "AND", "values": [{"key": "plan", "value": "pro", "type": "person"}]}}
    for method, path, body, status in (
        ("PATCH", f"persons/{person.pk}", {"properties": {"seats": 3}}, 200),
        ("POST", "cohorts", {"name": "Paying", "filters": filters}, 201),
        ("POST", f"persons/{person.pk}/delete_events", None, 200),
    ):
        assert caller(method, f"{base}/{path}/", body).status_code == status
    assert cohorts_calculate(seconds=120) is False
    outbox_drain()
    return person


def event(who: str, name: str = "click", **fields: Any) -> NewEvent:
    fields = {"timestamp": LONG_AGO + timedelta(minutes=len(who)), "properties": {}, **fields}
    return NewEvent(uuid=uuid4(), event=name, distinct_id=who, **fields)


def filled(value: Any, person: Person) -> Any:
    """Return a part of a call with the ids of the person in their places."""
    text = orjson.dumps(value).decode().replace("{id}", str(person.pk)).replace("{uuid}", str(person.uuid))
    return orjson.loads(text)


def send(
    caller: Caller, tree: str, team: Team, method: str, path: str, person: Person, *, slash: str = "/", **headers: str
) -> HttpResponse:
    call = CALLS[method, path]
    address = "/".join(["/api", tree, str(team.id), "persons", *filled([path] if path else [], person)])
    query = urlencode(filled(call.query, person))
    body = None if call.body is None else filled(call.body, person)
    return caller(method, f"{address}{slash}" + (f"?{query}" if query else ""), body, headers=headers)


def dig(body: Any, place: str) -> Any:
    for step in place.split(".") if place else ():
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def published(tree: str) -> set[tuple[str, str]]:
    rows = (line.split() for line in PUBLISHED[tree].strip().splitlines())
    return {(row[0], row[1] if len(row) > 1 else "") for row in rows}


every_call = pytest.mark.parametrize(("method", "path"), sorted(CALLS), ids=lambda part: part or "persons")
both_trees = pytest.mark.parametrize("tree", sorted(TREES))


@pytest.mark.parametrize(("tree", "slash"), [("projects", "/"), ("projects", ""), ("environments", "/")])
@every_call
def test_endpoint(tree: str, slash: str, method: str, path: str, caller: Caller, team: Team, full: Person) -> None:
    response = send(caller, tree, team, method, path, full, slash=slash)
    call = CALLS[method, path]
    assert response.status_code == call.status, response.content
    if call.status == 204:
        assert response.content == b""
        return
    body = orjson.loads(response.content)
    for place, keys in filled({place: sorted(keys) for place, keys in call.keys.items()}, full).items():
        assert sorted(dig(body, place)) == keys, place or "the answer"


@both_trees
@every_call
def test_endpoint_without_a_key(tree: str, method: str, path: str, team: Team, person: Person) -> None:
    response = send(Caller(), tree, team, method, path, person)
    assert problem(response)[:2] == (401, "authentication_error")


@both_trees
@every_call
def test_endpoint_for_a_stranger(tree: str, method: str, path: str, team: Team, person: Person) -> None:
    stranger = Caller(make_key(make_user(team=make_team())))
    assert problem(send(stranger, tree, team, method, path, person))[:2] == (403, "authentication_error")


@pytest.mark.django_db(transaction=True)  # a stream reads on a connection of its own
@both_trees
@pytest.mark.parametrize(
    ("address", "media_type"),
    [
        ("persons/?format=csv", "text/csv"),
        ("persons.csv", "text/csv"),
        ("persons/?format=ndjson", "application/x-ndjson"),
        ("persons.json", "application/json"),
        ("persons/{id}/?format=csv", "text/csv"),
        ("persons/{id}/activity/?format=csv", "application/json"),
    ],
)
def test_forms_of_an_answer(
    tree: str, address: str, media_type: str, caller: Caller, team: Team, person: Person
) -> None:
    response = caller.get(f"/api/{tree}/{team.id}/{address}".replace("{id}", str(person.pk)))
    body = b"".join(response) if response.streaming else response.content
    assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, media_type)
    assert str(person.uuid).encode() in body or "activity" in address


@every_call
def test_endpoint_from_another_project(method: str, path: str, caller: Caller, team: Team, full: Person) -> None:
    other = make_team(team.organization)
    response = send(caller, "projects", other, method, path, full)
    if "{id}" in path or (method == "GET" and path in {"cohorts", "properties_at_time"}):
        assert response.status_code == 404
    else:
        assert response.status_code == CALLS[method, path].status
        assert str(full.uuid).encode() not in response.content.partition(b"ids_not_found")[0]
    assert Person.objects.for_team(team.id).get().properties["plan"] == "pro"


@pytest.mark.parametrize(
    ("method", "path"), sorted(key for key in CALLS if key[0] != "GET" and key[1] not in READING_POSTS)
)
def test_a_change_sent_again_is_answered_alike(
    method: str, path: str, caller: Caller, team: Team, person: Person
) -> None:
    key = {"Idempotency-Key": "a key"}
    first = send(caller, "projects", team, method, path, person, **key)
    logged = ActivityLog.objects.count()
    again = send(caller, "projects", team, method, path, person, **key)
    assert first.status_code == CALLS[method, path].status
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (first.headers.get("Idempotent-Replayed"), again.headers.get("Idempotent-Replayed")) == (None, "true")
    assert ActivityLog.objects.count() == logged


def routed(tree: Tree) -> Iterator[tuple[str, str]]:
    for route, viewset, actions in routes.routes():
        prefix = f"/api/{tree.value}/persons/"
        if route.template.startswith(prefix):
            path = route.template.removeprefix(prefix).strip("/")
            for method, name in actions.items():
                if not getattr(getattr(viewset, name), "refused", False):
                    yield method.upper(), path


@both_trees
def test_the_table_is_the_route_table(tree: str) -> None:
    assert set(routed(TREES[tree])) == set(CALLS)


@both_trees
def test_nothing_published_is_missing(tree: str) -> None:
    assert published(tree) <= set(CALLS)


@both_trees
def test_every_operation_takes_the_format_parameter(tree: str) -> None:
    for method, path in CALLS:
        template = f"/api/{tree}/{{project_id}}/persons/" + (f"{path}/" if path else "")
        parameters = document()["paths"][template][method.lower()]["parameters"]
        formats = [found["schema"]["enum"] for found in parameters if found["name"] == "format"]
        assert formats, (method, path)
        assert {"csv", "json"} <= set(formats[0])


@both_trees
def test_every_change_takes_an_idempotency_key(tree: str) -> None:
    for method, path in CALLS:
        template = f"/api/{tree}/{{project_id}}/persons/" + (f"{path}/" if path else "")
        operation = document()["paths"][template][method.lower()]
        names = {found["name"] for found in operation["parameters"]}
        changes = method != "GET" and path not in READING_POSTS
        assert ("Idempotency-Key" in names) == changes, (method, path)
        assert ({"409", "422"} <= set(operation["responses"])) == changes, (method, path)


def test_a_person_is_found_by_either_key(caller: Caller, team: Team, person: Person) -> None:
    assert isinstance(person.uuid, UUID)
    for tree in TREES:
        for key in (person.pk, person.uuid):
            response = caller.get(f"/api/{tree}/{team.id}/persons/{key}")
            assert orjson.loads(response.content)["id"] == person.pk
