"""The OpenAPI document: operation ids and tags by convention, scopes and errors on every operation."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from core.access.routing import Route, Tree
from core.api import conditional, idempotent
from core.idempotency.services import MAX_KEY_LENGTH

SCHEME: Final = "PersonalAPIKeyAuth"
ERROR_COMPONENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Every error of the API.",
    "properties": {
        "type": {
            "type": "string",
            "description": "`validation_error`, `invalid_request`, `authentication_error`, `throttled_error` or "
            "`server_error`.",
        },
        "code": {"type": "string", "description": "A machine-readable reason, such as `required` or `not_found`."},
        "detail": {"type": "string", "description": "The reason in words."},
        "attr": {
            "type": "string",
            "nullable": True,
            "description": "The field in question; nested names are joined by `__`.",
        },
        "extra": {"type": "object", "additionalProperties": {}, "description": "More about the error, where there is."},
        "error": {"type": "string", "description": "`detail` again, where older servers answered this key only."},
        "message": {"type": "string", "description": "`detail` again, where older servers answered this key only."},
    },
    "required": ["type", "code", "detail", "attr"],
}
ERRORS: Final = {
    "400": "The request is malformed or a value is refused.",
    "401": "No credential, or one that is not valid.",
    "403": "The credential does not allow this.",
    "404": "There is no such thing, or not for this caller.",
    "406": "No form of the answer is one that the caller accepts.",
    "429": "A rate limit is used up; `Retry-After` says when to try again.",
    "503": "A data store does not answer; `Retry-After` says when to try again.",
    "504": "The question took longer to answer than it may.",
    "513": "The answer needs more rows or memory than it may use.",
}
LIMIT_HEADERS: Final[dict[str, Any]] = {
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": "The limits that the request counts in, on every answer to a personal API key while limits "
        'are on: `"burst";q=480;w=60` is 480 requests in any 60 seconds.',
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": "How each limit stands, on the same answers: "
        '`"burst";r=0;t=42` is no request left, and none more for 42 seconds.',
    },
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds after which to try again."},
}
BODY_ERRORS: Final = {
    "413": "The request body is too large.",
    "415": "The content type of the body is not one that is read here.",
}
QUERY_ERRORS: Final = {
    "504": "The query took longer than it may.",
    "513": "The query needed more memory than it may.",
}
_METHODS: Final = ("get", "put", "patch", "post", "delete")
_VERBS: Final = {
    "list": "list", "create": "create", "retrieve": "retrieve", "update": "update",
    "partial_update": "partial_update", "destroy": "destroy", "deletion_status": "list",
}  # fmt: skip
_METHOD_VERBS: Final = {
    "GET": "retrieve", "POST": "create", "PUT": "update", "PATCH": "partial_update", "DELETE": "destroy",
}  # fmt: skip
_FORMAT: Final = "The form of the answer, JSON unless told. Operations without a table answer JSON to `csv` too."
_AS_TEXT: Final = {
    "text/csv": {"type": "string", "description": "A table with a line of column names."},
    "application/x-ndjson": {"type": "string", "description": "One JSON object per line."},
}
_IDEMPOTENCY_KEY: Final = OpenApiParameter(
    idempotent.HEADER,
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
    OpenApiParameter.HEADER,
    description=idempotent.DESCRIPTION,
)
_IF_NONE_MATCH: Final = OpenApiParameter(
    conditional.HEADER, str, OpenApiParameter.HEADER, description=conditional.DESCRIPTION
)
_RESOURCE_TAGS: Final = {Tree.ORGANIZATION: "organizations"}


class PersonalAPIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base hook
    """Bearer keys; each operation lists the scopes it needs."""

    target_class = "core.access.auth.PersonalAPIKeyAuthentication"
    name = SCHEME

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Describe the header."""
        del auto_schema
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A personal API key (`phx_...`). The scopes of an operation are listed with it.",
        }

    def get_security_requirement(self, auto_schema: AutoSchema) -> Any:  # noqa: ANN401 spectacular's type is wider
        """Name the scopes of the operation."""
        route: Route | None = getattr(auto_schema.view, "route", None)
        if route is None:
            return {SCHEME: []}
        scopes = route.scopes.get(auto_schema.method)
        return [] if scopes is None else {SCHEME: list(scopes)}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # untyped base hook
    """The session cookie of a logged-in browser; listed only where keys are refused."""

    target_class = "core.access.auth.SessionAuthentication"
    name = "SessionAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Describe the cookie."""
        del auto_schema
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}

    def get_security_requirement(self, auto_schema: AutoSchema) -> Any:  # noqa: ANN401 spectacular's type is wider
        """Stay out of the list where a key will do."""
        route: Route | None = getattr(auto_schema.view, "route", None)
        if route is None or route.scopes.get(auto_schema.method) is not None:
            return []
        return {self.name: []}


class RouteSchema(AutoSchema):
    """Reads ids, tags and path parameters off the route table."""

    def get_operation_id(self) -> str:
        """Return an id that is unique; `name_operations` makes the published one of it."""
        route: Route | None = getattr(self.view, "route", None)
        if route is None:
            return str(super().get_operation_id())
        return self.method.lower() + route.template.replace("/", "|")

    def get_tags(self) -> list[str]:
        """Group by resource, as the generators of the existing SDKs do."""
        route: Route | None = getattr(self.view, "route", None)
        if route is None:
            return [str(tag) for tag in super().get_tags()]
        if route.tree is Tree.ENVIRONMENT:
            return ["environments"]
        tree_tag = _RESOURCE_TAGS.get(route.tree)
        return [tree_tag, _tag(route)] if tree_tag else [_tag(route)]

    def get_override_parameters(self) -> list[Any]:
        """Declare the parameters that whole groups of operations share."""
        route: Route | None = getattr(self.view, "route", None)
        if route is None:
            return list(super().get_override_parameters())
        found = []
        if route.resource == "persons":
            names = sorted({"csv", "json", *self._formats()})
            found.append(OpenApiParameter("format", {"type": "string", "enum": names}, description=_FORMAT))
        if idempotent.takes_key(route, self.method):
            found.append(_IDEMPOTENCY_KEY)
        if self._is_conditional():
            found.append(_IF_NONE_MATCH)
        return found

    def _formats(self) -> dict[str, str]:
        """Return the media types of the view by name, but for pages for people."""
        renderers = [renderer for renderer in self.view.get_renderers() if renderer.format != "api"]
        return {renderer.format: renderer.media_type for renderer in renderers if renderer.media_type}

    def _is_conditional(self) -> bool:
        method = getattr(self.view, getattr(self.view, "action", None) or "", None)
        return bool(getattr(method, "conditional", False))

    def get_extensions(self) -> dict[str, Any]:
        """Carry the verb to the hook that makes the published operation id."""
        route: Route | None = getattr(self.view, "route", None)
        if route is None:
            return {}
        action = getattr(self.view, "action", "")
        many = self._is_list_view() if action not in _VERBS and self.method == "GET" else False
        return {"x-verb": "list" if many else _VERBS.get(action) or _METHOD_VERBS[self.method]}

    def map_parsers(self) -> list[str]:
        """List JSON only: with three media types generators emit code that sends the wrong one."""
        return ["application/json"]

    def map_renderers(self, attribute: str) -> list[str]:
        """List JSON, and tables where the view declares them."""
        found = self._formats()
        return list(found) if attribute == "format" else list(found.values())

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        """Declare path parameters as text: ids have several forms, and all come as text."""
        return [
            {
                "in": "path",
                "name": name,
                "schema": {"type": "string"},
                "required": True,
                "description": _path_description(name, getattr(self.view, "route", None)),
            }
            for name in sorted(variables)
        ]


def _tag(route: Route) -> str:
    return "roles" if route.resource == "role_memberships" else route.resource


def _path_description(name: str, route: Route | None) -> str:
    if name == "project_id" or (name == "id" and route is not None and route.resource in {"projects", "environments"}):
        return "Id of the project, or `@current`."
    if name == "organization_id" or (name == "id" and route is not None and route.resource == "organizations"):
        return "Id of the organization, or `@current`."
    if name == "id" and route is not None and route.resource == "persons":
        return "The person's integer id or UUID."
    return "Id of the object."


def operation_name(path: str, verb: str) -> str:
    """Return the conventional id: words of the path without its prefix, then the verb."""
    words = [word.replace("-", "_") for word in path.split("/") if word and not word.startswith("{")][1:]
    nested = path.startswith(("/api/projects/{project_id}/", "/api/organizations/{organization_id}/"))
    if nested and words[1:] and words[:2] != ["organizations", "projects"]:
        words = words[1:]
    return "_".join([*words, verb])


def name_operations(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:  # noqa: ANN401, FBT001
    """Postprocessing hook: published operation ids, the documented ones beside them, and the error component."""
    del generator, public
    documented = request is not None and request.GET.get("operation_ids") == "documented"
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR_COMPONENT
    result["components"]["headers"] = LIMIT_HEADERS
    # In the order of the document, for equal names are numbered: `activity/` comes before `{id}/activity/`.
    operations = [
        (path, method, item[method])
        for path, item in sorted(result["paths"].items())
        for method in _METHODS
        if method in item
    ]
    for path, method, operation in operations:
        verb = operation.pop("x-verb", None)
        if verb:
            operation["operationId"] = operation_name(path, verb)
            _add_errors(path, operation)
            _add_not_modified(operation)
            _describe_texts(operation)
            operation["responses"] = dict(sorted(operation["responses"].items()))
        name = DOCUMENTED_IDS.get((method.upper(), path.rstrip("/")))
        if name:
            operation["x-documented-operation-id"] = name
            if documented:
                operation["operationId"] = name
    _number_duplicates([operation for _, _, operation in operations])
    return result


def throttled_response() -> dict[str, Any]:
    """Return the answer to a caller whose rate limit is used up, as the document declares it."""
    return {
        "description": ERRORS["429"],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in LIMIT_HEADERS},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _add_errors(path: str, operation: dict[str, Any]) -> None:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    errors = {
        **ERRORS,
        **(QUERY_ERRORS if "/persons/" in path else {}),
        **(BODY_ERRORS if "requestBody" in operation else {}),
        **(idempotent.STATUSES if _header(operation, idempotent.HEADER) else {}),
    }
    for status, description in errors.items():
        found = operation["responses"].setdefault(status, {"description": description})
        if not found.get("content"):
            found["content"] = content
            found["description"] = found["description"] or description
    operation["responses"]["429"] = throttled_response()


def _add_not_modified(operation: dict[str, Any]) -> None:
    if not _header(operation, conditional.HEADER):
        return
    tag = {"ETag": {"schema": {"type": "string"}, "description": "Changes whenever the answer does."}}
    operation["responses"]["200"].setdefault("headers", {}).update(tag)
    operation["responses"]["304"] = {"description": "The caller has this answer already.", "headers": tag}


def _describe_texts(operation: dict[str, Any]) -> None:
    """Say that tables and lines are text: their schema would otherwise be that of the JSON answer."""
    for response in operation["responses"].values():
        for media_type, schema in _AS_TEXT.items():
            if media_type in response.get("content", {}):
                response["content"][media_type] = {"schema": schema}


def _header(operation: dict[str, Any], name: str) -> bool:
    return any(found["in"] == "header" and found["name"] == name for found in operation.get("parameters", ()))


def _number_duplicates(operations: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for operation in operations:
        name = operation["operationId"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            operation["operationId"] = f"{name}_{seen[name]}"


def _documented(prefix: str, names: dict[str, str]) -> dict[tuple[str, str], str]:
    found = {}
    for target, name in names.items():
        method, _, path = target.partition(" ")
        found[method, prefix + path] = name
    return found


# The names of the published page (seed 004). They were made by a third party and occur in no client.
DOCUMENTED_IDS: Final[dict[tuple[str, str], str]] = {
    **_documented(
        "/api/organizations/{organization_id}/",
        {
            "DELETE projects/{id}": "Organizations_deleteProjectById",
            "GET projects/{id}": "Organizations_getProjectsById",
            "PATCH projects/{id}": "Organizations_updateProject",
            "PUT projects/{id}": "Organizations_updateProjectById",
            "GET projects/{id}/activity": "activity_retrieve",
            "GET projects/{id}/is_generating_demo_data": "Organizations_getIsGeneratingDemoData",
            "PATCH projects/{id}/reset_token": "Organizations_projectsResetTokenPartialUpdate",
            "GET roles": "roles_list",
            "POST roles": "roles_create",
            "DELETE roles/{id}": "roles_destroy",
            "GET roles/{id}": "roles_retrieve",
            "PATCH roles/{id}": "Organizations_updateRoleById",
            "PUT roles/{id}": "roles_update",
            "GET roles/{role_id}/role_memberships": "Organizations_listRoleMemberships",
            "POST roles/{role_id}/role_memberships": "Organizations_createRoleMemberships",
            "DELETE roles/{role_id}/role_memberships/{id}": "Organizations_removeRoleMembership",
        },
    ),
    **_documented(
        "/api/projects/{project_id}/persons",
        {
            "GET ": "persons_list",
            "GET /activity": "Persons_getActivity",
            "GET /cohorts": "Persons_listCohorts",
            "GET /funnel": "Persons_getFunnel",
            "POST /funnel": "Persons_createOrUpdateFunnel",
            "GET /funnel/correlation": "Persons_funnelCorrelationRetrieve",
            "POST /funnel/correlation": "Persons_createOrUpdateFunnelCorrelation",
            "GET /lifecycle": "Persons_getLifecyclePath",
            "GET /path": "Persons_getPath",
            "POST /path": "Persons_createOrUpdatePath",
            "GET /retention": "Persons_retentionRetrieve",
            "GET /stickiness": "Persons_getStickiness",
            "GET /trends": "Persons_getTrends",
            "GET /values": "Persons_getValues",
            "DELETE /{id}": "persons_destroy",
            "GET /{id}": "persons_retrieve",
            "PATCH /{id}": "Persons_updatePersonById",
            "PUT /{id}": "persons_update",
            "GET /{id}/activity": "Persons_getActivity",
            "POST /{id}/delete_property": "Persons_deletePropertyApi",
            "GET /{id}/properties_timeline": "Persons_getPropertiesTimeline",
            "POST /{id}/split": "Persons_createOrUpdateSplit",
            "POST /{id}/update_property": "Persons_createOrUpdateProperty",
        },
    ),
    **_documented(
        "/api/projects/{project_id}/",
        {
            "GET pipeline_destination_configs": "Pipelinedestinationconfigs_getList",
            "POST pipeline_destination_configs": "Pipelinedestinationconfigs_createOrUpdate",
            "PATCH pipeline_destination_configs/rearrange": "Pipelinedestinationconfigs_rearrangePartialUpdate",
            "DELETE pipeline_destination_configs/{id}": "Pipelinedestinationconfigs_deleteById",
            "GET pipeline_destination_configs/{id}": "Pipelinedestinationconfigs_get",
            "PATCH pipeline_destination_configs/{id}": "Pipelinedestinationconfigs_patchById",
            "PUT pipeline_destination_configs/{id}": "Pipelinedestinationconfigs_updateById",
            "GET pipeline_destination_configs/{id}/frontend": "Pipelinedestinationconfigs_getFrontend",
            "POST pipeline_destination_configs/{id}/job": "Pipelinedestinationconfigs_createJob",
            "GET pipeline_frontend_apps_configs": "Pipelinefrontendappsconfigs_get",
            "POST pipeline_frontend_apps_configs": "Pipelinefrontendappsconfigs_createOrUpdate",
        },
    ),
}
