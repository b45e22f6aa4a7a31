"""The capture endpoints as OpenAPI paths, written by hand since their views are plain functions.

Every path is listed in the form that SDKs use; all of them work with and without a trailing slash.
"""

from typing import Any

type Json = dict[str, Any]

_TAG = "capture"
_ANY_OBJECT: Json = {"type": "object", "additionalProperties": True}
_TIME: Json = {"type": "string", "description": "ISO 8601; without a zone it is UTC."}
_EVENT: Json = {
    "type": "object",
    "required": ["event", "distinct_id"],
    "properties": {
        "event": {"type": "string", "description": "Name; cut to 200 characters."},
        "distinct_id": {"type": "string", "description": "Whose event it is; cut to 200 characters."},
        "uuid": {"type": "string", "format": "uuid", "description": "Made by the server when missing."},
        "timestamp": _TIME,
        "offset": {"type": "integer", "description": "Milliseconds ago; read when there is no timestamp."},
        "properties": _ANY_OBJECT,
        "$set": _ANY_OBJECT,
        "$set_once": _ANY_OBJECT,
        "$unset": {"type": "array", "items": {"type": "string"}},
        "api_key": {"type": "string", "description": "Project token, where the batch has none."},
    },
}
_BATCH: Json = {
    "type": "object",
    "required": ["api_key", "batch"],
    "properties": {
        "api_key": {"type": "string", "description": "Project token (`phc_`)."},
        "batch": {"type": "array", "minItems": 1, "items": _EVENT},
        "sent_at": _TIME,
        "historical_migration": {"type": "boolean", "default": False},
    },
}
_ANY_SHAPE: Json = {"anyOf": [_BATCH, {"type": "array", "minItems": 1, "items": _EVENT}, _EVENT]}
_V1_BATCH: Json = {
    "type": "object",
    "required": ["created_at", "batch"],
    "properties": {
        "created_at": {"type": "string", "format": "date-time"},
        "historical_migration": {"type": "boolean"},
        "batch": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["event", "uuid", "distinct_id", "timestamp"],
                "properties": {
                    "event": {"type": "string", "maxLength": 200},
                    "uuid": {"type": "string", "format": "uuid"},
                    "distinct_id": {"type": "string", "maxLength": 200},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "session_id": {"type": "string"},
                    "window_id": {"type": "string"},
                    "options": _ANY_OBJECT,
                    "properties": _ANY_OBJECT,
                },
            },
        },
    },
}
_ERROR: Json = {
    "type": "object",
    "required": ["type", "code", "detail", "attr"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "attr": {"type": "string", "nullable": True},
    },
}
_V1_ERROR: Json = {
    "type": "object",
    "required": ["error", "error_description", "error_uri"],
    "properties": {
        "error": {"type": "string"},
        "error_description": {"type": "string"},
        "error_uri": {"type": "string"},
    },
}
_V1_RESULTS: Json = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["result"],
                "properties": {
                    "result": {"type": "string", "enum": ["ok", "warning", "drop", "retry"]},
                    "details": {"type": "string"},
                },
            },
        }
    },
}
_ACCEPTED: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"type": "integer", "enum": [1]}},
}
_REFUSALS = {
    "400": "The request cannot be understood; nothing of it is stored.",
    "401": "The project token is missing, malformed or unknown.",
    "408": "The client stopped sending.",
    "413": "The request, or one event of it, is too big.",
    "503": "Postgres is away; send the same request again.",
}
_V1_HEADERS = (
    "User-Agent",
    "PostHog-Sdk-Info",
    "PostHog-Attempt",
    "PostHog-Request-Id",
    "PostHog-Request-Timestamp",
)
_INTAKES = {
    "/batch/": ("capture_batch", "Store a batch of events"),
    "/e/": ("capture_e", "Store events of a browser"),
    "/i/v0/e/": ("capture_i_v0_e", "Store events of a browser"),
    "/capture/": ("capture_capture", "Store events"),
    "/track/": ("capture_track", "Store events"),
    "/engage/": ("capture_engage", "Store person updates; an object without a name is an `$identify`"),
    "/s/": ("capture_recording", "Store session replay snapshots"),
}


def capture_openapi_paths() -> Json:
    """Return the path items of everything in `core.capture.urls`."""
    paths: Json = {}
    for path, (name, summary) in _INTAKES.items():
        paths[path] = {"post": _intake(f"{name}_create", summary), "get": _pixel(f"{name}_retrieve", summary)}
    paths["/i/v0/ai/batch/"] = {"post": _intake("capture_ai_batch_create", "Store a batch of AI events")}
    paths["/i/v1/analytics/events"] = {"post": _v1()}
    paths["/test/black_hole"] = {
        "post": _intake("capture_black_hole_create", "Read and discard a request"),
        "get": _operation("capture_black_hole_retrieve", "Read and discard a request", _json(_ACCEPTED)),
    }
    for path, name in (("/_readiness", "readiness"), ("/_liveness", "liveness")):
        text = {"description": "Alive.", "content": {"text/plain": {"schema": {"type": "string"}}}}
        paths[path] = {"get": _operation(f"capture_{name}_retrieve", f"Capture {name}", text)}
    return paths | _remote_paths()


def _remote_paths() -> Json:
    token = _parameter("token", where="path")
    script = {"description": "A script.", "content": {"application/javascript": {"schema": {"type": "string"}}}}
    config = _operation("remote_config_retrieve", "Remote config of posthog-js", _json(_ANY_OBJECT), [token])
    config_script = _operation("remote_config_script_retrieve", "The same as a script", script, [token])
    paths: Json = {
        "/array/{token}/config": {"get": _refusing(config, "404")},
        "/array/{token}/config.js": {"get": _refusing(config_script, "404")},
    }
    for path, name in (("/flags/", "flags"), ("/decide/", "decide")):
        summary = "Feature flags of a person (there are none)"
        post = _operation(f"{name}_create", summary, _json(_ANY_OBJECT), [_parameter("v")])
        post["requestBody"] = _body(_ANY_OBJECT)
        query = [_parameter("v"), _parameter("token"), _parameter("data")]
        get = _operation(f"{name}_retrieve", summary, _json(_ANY_OBJECT), query)
        paths[path] = {"post": _refusing(post, *_REFUSALS), "get": _refusing(get, *_REFUSALS)}
    for path, name in (
        ("/flags/definitions", "flag_definitions"),
        ("/api/feature_flag/local_evaluation/", "feature_flag_local_evaluation"),
    ):
        summary = "Feature flags for evaluation by server SDKs (there are none)"
        get = _operation(f"{name}_retrieve", summary, _json(_ANY_OBJECT), [_parameter("token")])
        paths[path] = {"get": _refusing(get, "401")}
    return paths


def _intake(name: str, summary: str) -> Json:
    query = [_parameter("beacon"), _parameter("compression"), _parameter("_"), _parameter("data")]
    operation = _operation(name, summary, _json(_ACCEPTED), query)
    operation["requestBody"] = _body(_ANY_SHAPE)
    operation["responses"]["204"] = {"description": "Stored, answer to `beacon=1`."}
    return _refusing(operation, *_REFUSALS)


def _pixel(name: str, summary: str) -> Json:
    query = [_parameter("data", required=True), _parameter("compression"), _parameter("_")]
    return _refusing(_operation(name, summary, _json(_ACCEPTED), query), *_REFUSALS)


def _v1() -> Json:
    headers = [_parameter(name, where="header", required=True) for name in _V1_HEADERS]
    operation = _operation(
        "capture_v1_create", "Store a batch, with a result for each event", _json(_V1_RESULTS), headers
    )
    operation["requestBody"] = _body(_V1_BATCH)
    operation["description"] = "Needs `Authorization: Bearer <project token>`; bodies may be gzip, deflate, br or zstd."
    return _refusing(operation, *_REFUSALS, "415", schema=_V1_ERROR)


def _operation(name: str, summary: str, success: Json, parameters: list[Json] | None = None) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [_TAG],
        "security": [],
        "parameters": parameters or [],
        "responses": {"200": success},
    }


def _refusing(operation: Json, *statuses: str, schema: Json = _ERROR) -> Json:
    for status in statuses:
        operation["responses"][status] = _json(schema, _REFUSALS.get(status, "Refused."))
    return operation


def _json(schema: Json, description: str = "Accepted.") -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(schema: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _parameter(name: str, *, where: str = "query", required: bool = False) -> Json:
    required = required or where == "path"
    return {"name": name, "in": where, "required": required, "schema": {"type": "string"}}
