"""Checks answers against the OpenAPI document: whatever a test receives from a documented operation must fit it.

The document is read as strictly as clients may: a status, a media type or a key that is not declared is an error.
"""

import re
import threading
from functools import cache
from typing import Any

import orjson
from django.http.response import HttpResponseBase
from django.test import Client
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

_METHODS = {"GET": "get", "HEAD": "get", "PUT": "put", "PATCH": "patch", "POST": "post", "DELETE": "delete"}
_EMPTY = frozenset({204, 304})
# A page for people has no schema; a fault of the server is promised in the common shape only.
_PAGE = "text/html"
_SERVER_ERROR = 500
_FORMATS = FormatChecker(formats=["date", "date-time", "uuid"])
_ERROR = {"$ref": "#/components/schemas/Error"}


_one_at_a_time = threading.Lock()


class ContractError(AssertionError):
    """An answer is not what the document says."""


@cache
def _document() -> dict[str, Any]:
    # Imported late: conftest files import this module before Django is set up.
    from drf_spectacular.generators import SchemaGenerator

    generated = SchemaGenerator(urlconf="persons_api.urls").get_schema(request=None, public=True)
    found: dict[str, Any] = orjson.loads(orjson.dumps(generated))
    return found


def document() -> dict[str, Any]:
    """Return the document as the server publishes it, whatever URLs the test at hand uses."""
    # drf-spectacular's first use of its classes is not safe in threads, and tests ask in several.
    with _one_at_a_time:
        return _document()


@cache
def _components() -> dict[str, Any]:
    schemas = document()["components"]["schemas"]
    return {name: json_schema(schema) for name, schema in schemas.items()}


def json_schema(schema: Any) -> Any:
    """Return an OpenAPI 3.0 schema of an answer as JSON Schema, closed to keys that are not declared."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _converted(key, value) for key, value in schema.items() if key != "nullable"}
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") else found


def _converted(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: json_schema(item) for name, item in value.items()}
    return value if key in {"enum", "required", "example", "default"} else json_schema(value)


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    """Return every path of the document as a pattern; those with fewer parameters come first."""
    paths = sorted(document()["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path.rstrip("/"))) + "/?"), path) for path in paths]


@cache
def template_of(path: str) -> str | None:
    """Return the documented path that an address is an instance of, or None."""
    path = re.sub(r"\.(json|csv|ndjson)(?=/?$)", "", path)
    return next((template for pattern, template in _templates() if pattern.fullmatch(path)), None)


@cache
def _validator(method: str, template: str, status: int, media_type: str) -> Validator | None:
    operation = document()["paths"][template][method]
    declared = operation["responses"].get(str(status))
    if status == _SERVER_ERROR and declared is None:
        schema: Any = _ERROR
    else:
        if declared is None:
            message = f"{method.upper()} {template} does not declare the status {status}"
            raise ContractError(message)
        content = declared.get("content", {})
        if media_type not in content:
            message = f"{method.upper()} {template} does not declare {media_type or 'an empty body'} for {status}"
            raise ContractError(message)
        schema = content[media_type].get("schema", {})
    if media_type != "application/json":
        return None
    return Draft202012Validator(
        {**json_schema(schema), "components": {"schemas": _components()}}, format_checker=_FORMATS
    )


@cache
def _must_be_empty(method: str, template: str, status: int) -> bool:
    declared = document()["paths"][template][method]["responses"].get(str(status))
    if declared is None:
        message = f"{method.upper()} {template} does not declare the status {status}"
        raise ContractError(message)
    return not declared.get("content")


def check(method: str, template: str, response: HttpResponseBase) -> None:
    """Raise ContractError unless the answer of an operation is one that the document declares."""
    name = _METHODS[method]
    status = response.status_code
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if status in _EMPTY or (not media_type and status < 400):
        empty = not getattr(response, "content", b"")
        if not empty or not _must_be_empty(name, template, status):
            message = f"{method} {template} answers {status}, with a body where there is none or without one"
            raise ContractError(message)
        return
    if media_type == _PAGE:
        return
    validator = _validator(name, template, status, media_type)
    if validator is None or method == "HEAD" or response.streaming:
        return
    body = orjson.loads(response.content)  # type: ignore[attr-defined]  # not streaming
    error = next(iter(sorted(validator.iter_errors(body), key=lambda found: -len(found.absolute_path))), None)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the answer"
        message = f"{method} {template} {status}: {place}: {error.message[:500]}"
        raise ContractError(message)


class CheckedClient(Client):
    """Django's test client; every answer of a documented operation is held against the document."""

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        method, path = request.get("REQUEST_METHOD", "GET"), request["PATH_INFO"]
        template = template_of(path) if method in _METHODS else None
        if template is not None and _METHODS[method] in document()["paths"][template]:
            check(method, template, response)
        return response
