"""What the OpenAPI document says of one operation of a view, asked while a request is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

if TYPE_CHECKING:  # DRF's views read the renderers, which use this module, from the settings while they are imported
    from rest_framework.views import APIView

type AnySerializer = serializers.Serializer[Any]


def handler_of(view: "APIView", method: str) -> Any:  # noqa: ANN401 a method of any signature
    """Return the method of a viewset that serves an HTTP method here; None where it is refused or there is none."""
    name = getattr(view, "action_map", {}).get(method.lower())
    handler = getattr(type(view), name, None) if name else None
    return None if getattr(handler, "refused", False) else handler


def request_serializer(view: "APIView", method: str) -> AnySerializer | None:
    """Return a serializer of the body as `@extend_schema(request=...)` names it; None where no object is taken."""
    if method in SAFE_METHODS:
        return None
    with _schema(view, method) as schema:
        found = None if schema is None else schema.get_request_serializer()
    if isinstance(found, dict):
        found = next(iter(found.values()), None)
    found = getattr(found, "request", found)
    if isinstance(found, type) and issubclass(found, serializers.Serializer):
        return found()
    return found if isinstance(found, serializers.Serializer) else None


def query_parameters(view: "APIView", method: str) -> list[Any]:
    """Return the documented OpenApiParameters of the query string."""
    with _schema(view, method) as schema:
        found = [] if schema is None else schema.get_override_parameters()
    return [parameter for parameter in found if parameter.location == "query"]


def summary(view: "APIView", method: str) -> str:
    """Return what the operation does: its first paragraph, in one line."""
    with _schema(view, method) as schema:
        text = "" if schema is None else str(schema.get_summary() or schema.get_description() or "")
    return " ".join(text.strip().partition("\n\n")[0].split())


def description(view: "APIView", method: str) -> str:
    """Return what the operation does in all its words; what it does in short where there are no more."""
    with _schema(view, method) as schema:
        text = "" if schema is None else str(schema.get_description() or schema.get_summary() or "")
    return " ".join(text.split())


@contextmanager
def _schema(view: Any, method: str) -> Iterator[Any]:  # noqa: ANN401 spectacular's schemas are made on the fly
    """Yield the schema of an operation, while the view takes itself for one that serves it; None for no operation."""
    handler = handler_of(view, method)
    if handler is None:
        yield None
        return
    made = getattr(handler, "kwargs", {}).get("schema")
    schema = made() if isinstance(made, type) else type(type(view).schema)()
    schema.view, schema.method, schema.path = view, method, ""
    action, view.action = view.action, view.action_map[method.lower()]
    try:
        yield schema
    finally:
        view.action = action
