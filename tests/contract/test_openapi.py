"""The OpenAPI document: valid, complete, and no surprise for those who generated clients from it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from openapi_spec_validator import validate

from core import routes
from core.access.scopes import is_scope
from persons_api.middleware import route_label

GOLDEN = settings.BASE_DIR / "docs" / "openapi.yaml"
METHODS = ("get", "put", "patch", "post", "delete")
# Pages for people, the answer to unknown paths, and the suffix form of a path that is there.
NOT_DOCUMENTED = re.compile(
    r"^/(login|logout|admin(/.*)?|api/schema/(swagger-ui|redoc)|.*\.\{format\}|.*\.csv|.*\.json)?$"
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    response = Client().get("/api/schema/?format=json")
    assert response.status_code == 200
    return orjson.loads(response.content)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        text = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield text
        else:
            yield from patterns(pattern, text)


def plain(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path).rstrip("/")


def test_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_document_equals_the_golden_file(tmp_path: Path) -> None:
    out = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(out), validate=True, fail_on_warn=True)
    assert out.read_text() == GOLDEN.read_text(), "run `make schema` and look at the diff"


def test_every_url_pattern_is_documented(document: dict[str, Any]) -> None:
    documented = {plain(path) for path in document["paths"]}
    found = set()
    for pattern in patterns(get_resolver()):
        for alternative in expand(pattern):
            path = route_label(alternative)
            if path != "/" and not NOT_DOCUMENTED.match(path):
                found.add(plain(path))
    assert found - documented == set()


def expand(pattern: str) -> list[str]:
    """Give one pattern for each word of a group such as `(?:e|track)`."""
    match = re.search(r"\(\?:([^()]+)\)", pattern)
    return [pattern.replace(match.group(0), word) for word in match.group(1).split("|")] if match else [pattern]


def test_every_route_of_the_table_is_documented(document: dict[str, Any]) -> None:
    documented = {(path, method) for path, method, _ in operations(document)}
    for route, viewset, actions in routes.routes():
        for method, name in actions.items():
            if not getattr(getattr(viewset, name), "refused", False):
                assert (route.template, method) in documented


def test_scopes_of_the_table_are_published(document: dict[str, Any]) -> None:
    for route, viewset, actions in routes.routes():
        for method, name in actions.items():
            if getattr(getattr(viewset, name), "refused", False):
                continue
            security = document["paths"][route.template][method]["security"]
            scopes = route.scopes.get(method.upper())
            expected = [{"SessionAuth": []}] if scopes is None else [{"PersonalAPIKeyAuth": list(scopes)}]
            assert security == expected, (route.template, method)
            assert all(is_scope(scope) for scope in scopes or ())


def test_operation_ids_are_unique_and_follow_the_convention(document: dict[str, Any]) -> None:
    ids = {(method, path): operation["operationId"] for path, method, operation in operations(document)}
    assert len(set(ids.values())) == len(ids)
    expected = {
        ("get", "/api/projects/{project_id}/persons/"): "persons_list",
        ("get", "/api/projects/{project_id}/persons/{id}/"): "persons_retrieve",
        ("patch", "/api/projects/{project_id}/persons/{id}/"): "persons_partial_update",
        ("delete", "/api/environments/{project_id}/persons/{id}/"): "environments_persons_destroy",
        ("get", "/api/organizations/{organization_id}/projects/{id}/"): "organizations_projects_retrieve",
        ("get", "/api/projects/"): "projects_list",
        ("get", "/api/projects/{project_id}/persons/activity/"): "persons_activity_retrieve",
        ("get", "/api/projects/{project_id}/persons/{id}/activity/"): "persons_activity_retrieve_2",
        ("get", "/api/projects/{project_id}/persons/cohorts/"): "persons_cohorts_retrieve",
        ("get", "/api/projects/{project_id}/persons/values/"): "persons_values_retrieve",
        ("get", "/api/projects/{project_id}/persons/deletion_status/"): "persons_deletion_status_list",
        ("post", "/api/projects/{project_id}/persons/bulk_delete/"): "persons_bulk_delete_create",
        ("post", "/api/projects/{project_id}/persons/{id}/split/"): "persons_split_create",
    }
    assert {key: ids[key] for key in expected} == expected


def test_documented_operation_ids_are_offered_as_a_variant(document: dict[str, Any]) -> None:
    variant = orjson.loads(Client().get("/api/schema/?format=json&operation_ids=documented").content)
    path = "/api/projects/{project_id}/persons/{id}/"
    assert variant["paths"][path]["patch"]["operationId"] == "Persons_updatePersonById"
    assert document["paths"][path]["patch"]["x-documented-operation-id"] == "Persons_updatePersonById"
    validate(variant)


def test_every_operation_of_a_resource_declares_the_error(document: dict[str, Any]) -> None:
    templates = {route.template for route, _, _ in routes.routes()}
    for path, method, operation in operations(document):
        if path in templates:
            for status in ("400", "401", "403", "404"):
                content = operation["responses"][status]["content"]
                schema = content["application/json"]["schema"]
                # A query that failed in the background answers 400 with its status.
                declared = schema.get("oneOf", [schema]) if path.endswith("/query/{id}/") else [schema]
                assert {"$ref": "#/components/schemas/Error"} in declared, (path, method)


def test_bodies_of_resources_are_listed_as_json_only(document: dict[str, Any]) -> None:
    templates = {route.template for route, _, _ in routes.routes()}
    for path, _, operation in operations(document):
        if path in templates and "requestBody" in operation:
            assert list(operation["requestBody"]["content"]) == ["application/json"]


def test_path_parameters_are_text(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "path":
                assert parameter["schema"]["type"] == "string", path


def test_document_is_yaml_unless_told() -> None:
    response = Client().get("/api/schema")
    assert response["Content-Type"].startswith("application/vnd.oai.openapi")
    assert yaml.safe_load(response.content)["info"]["title"] == "persons-api"


@pytest.mark.django_db
def test_swagger_and_redoc_load_nothing_from_elsewhere(client: Client) -> None:
    for page in ("swagger-ui", "redoc"):
        text = client.get(f"/api/schema/{page}/").content.decode()
        sources = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
        assert sources
        for source in sources:
            assert source.startswith("/"), source
        for source in sources:
            if source.startswith("/static/"):
                response = client.get(source)
                assert response.status_code == 200, source
                response.close()


def test_tags_tell_the_two_prefixes_apart(document: dict[str, Any]) -> None:
    assert document["paths"]["/api/projects/{project_id}/persons/"]["get"]["tags"] == ["persons"]
    assert document["paths"]["/api/environments/{project_id}/persons/"]["get"]["tags"] == ["environments"]
    members = document["paths"]["/api/organizations/{organization_id}/members/"]["get"]
    assert members["tags"] == ["organizations", "members"]


def test_errors_that_a_body_can_cause_are_declared_where_there_is_one(document: dict[str, Any]) -> None:
    templates = {route.template for route, _, _ in routes.routes()}
    for path, method, operation in operations(document):
        if path in templates:
            declared = set(operation["responses"])
            assert ({"413", "415"} <= declared) == ("requestBody" in operation), (method, path)
            assert {"406", "503"} <= declared, (method, path)


def test_unsafe_operations_take_an_idempotency_key_unless_they_only_read(document: dict[str, Any]) -> None:
    for route, viewset, actions in routes.routes():
        for method, name in actions.items():
            if getattr(getattr(viewset, name), "refused", False):
                continue
            operation = document["paths"][route.template][method]
            takes = "Idempotency-Key" in {found["name"] for found in operation.get("parameters", [])}
            scopes = route.scopes.get(method.upper()) or ()
            only_reads = bool(scopes) and all(scope.endswith(":read") for scope in scopes)
            assert takes == (method != "get" and not only_reads), (method, route.template)
            assert takes == ({"409", "422"} <= set(operation["responses"])), (method, route.template)


def test_the_retrieval_of_a_person_is_conditional(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/projects/{project_id}/persons/{id}/"]["get"]
    assert "If-None-Match" in {found["name"] for found in operation["parameters"]}
    assert "ETag" in operation["responses"]["200"]["headers"]
    assert "content" not in operation["responses"]["304"]
