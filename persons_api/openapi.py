"""Puts the paths that belong to no resource into the OpenAPI document: capture, health, metrics, itself."""

from typing import Any, Final

from core.api.openapi import throttled_response

_JSON_OBJECT: Final = {"application/json": {"schema": {"type": "object", "additionalProperties": {}}}}


def _operation(name: str, summary: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 OpenAPI
    responses = {"200": {"description": summary, "content": content}, **more.pop("responses", {})}
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "tags": ["server"],
            "security": [{}],
            **more,
            "responses": responses,
        }
    }


def _parameter(name: str, description: str, *choices: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", **({"enum": list(choices)} if choices else {})}
    return {"in": "query", "name": name, "schema": schema, "description": description}


SERVER_PATHS: Final[dict[str, Any]] = {
    "/_livez": _operation("server_live", "Whether this process answers", _JSON_OBJECT),
    "/_readyz": _operation(
        "server_ready",
        "Whether the stores of a role answer",
        _JSON_OBJECT,
        parameters=[
            _parameter("role", "Which process asks; `web` unless told.", "web", "worker"),
            _parameter("exclude", "Stores to leave out, comma-separated."),
        ],
        responses={"503": {"description": "A store does not answer; the body says which.", "content": _JSON_OBJECT}},
    ),
    "/metrics": _operation("server_metrics", "Prometheus metrics", {"text/plain": {"schema": {"type": "string"}}}),
    "/api/": _operation(
        "server_resources", "Where the resources are", _JSON_OBJECT, responses={"429": throttled_response()}
    ),
    "/api/schema/": _operation(
        "server_schema",
        "This document",
        {media: {"schema": {"type": "object", "additionalProperties": {}}}
         for media in ("application/vnd.oai.openapi", "application/vnd.oai.openapi+json")},
        parameters=[
            _parameter("format", "YAML unless told.", "json", "yaml"),
            _parameter("operation_ids", "Name operations as the published page does.", "documented"),
        ],
        responses={"429": throttled_response()},
    ),
}  # fmt: skip


def add_plain_paths(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: ANN401, FBT001
    """Postprocessing hook: merge what plain Django views serve, and what core.capture says about its own paths."""
    del generator, request, public
    from core.capture.openapi import capture_openapi_paths

    result["paths"] = dict(sorted({**result["paths"], **SERVER_PATHS, **capture_openapi_paths()}.items()))
    return result
