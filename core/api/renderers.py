"""JSON by orjson for clients, browsable pages for people."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth import get_user
from django.utils.safestring import SafeString
from rest_framework import exceptions, renderers
from rest_framework.request import Request, override_method

from core.access.sessions import SIGN_IN_AGAIN_CODE
from core.api import browsing, operations
from core.api.errors import ApiError, problem_of
from core.api.forms import with_code
from core.api.json import dumps, loads

if TYPE_CHECKING:  # DRF's views read these classes from the settings while they are imported
    from rest_framework.views import APIView


class ORJSONRenderer(renderers.BaseRenderer):
    """JSON text; `orjson.Fragment` values are written through as they are."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body; no data is an empty body."""
        del renderer_context
        if data is None:
            return b""
        return dumps(data, indent="indent" in (accepted_media_type or ""))


class _StreamRenderer(renderers.BaseRenderer):
    """Stands for a form in negotiation and in the documents; the view itself writes the answer."""

    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return JSON, for answers that are no table after all."""
        del accepted_media_type, renderer_context
        return b"" if data is None else dumps(data)


class TableRenderer(_StreamRenderer):
    """A table, by `format=csv` or `Accept: text/csv`."""

    media_type = "text/csv"
    format = "csv"


class LinesRenderer(_StreamRenderer):
    """One JSON document per line, by `format=ndjson` or `Accept: application/x-ndjson`."""

    media_type = "application/x-ndjson"
    format = "ndjson"


_BODY_METHODS: Final = ("POST", "PUT", "PATCH")
_WITHOUT_FORMS: Final = frozenset({
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_ACCEPTABLE,
})  # fmt: skip


class BrowsableRenderer(renderers.BrowsableAPIRenderer):
    """Pages around indented JSON, with a form for every operation that the caller may use.

    Fields come from the operation's serializer in the OpenAPI document, so a new endpoint has its form at once.
    """

    template = "browsable/page.html"

    def get_default_renderer(self, view: "APIView") -> renderers.BaseRenderer:
        """Show JSON, whatever else the view can render."""
        del view
        return ORJSONRenderer()

    def get_content(
        self,
        renderer: renderers.BaseRenderer,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None,
        renderer_context: Mapping[str, Any],
    ) -> str:
        """Return the JSON as people read it, as HTML whose links stay on this server."""
        del renderer, accepted_media_type
        if data is None:
            return ""
        text = dumps(loads(dumps(data)), indent=True).decode()
        return browsing.with_links(text, renderer_context["request"].build_absolute_uri("/api/"))

    def show_form_for_method(self, view: "APIView", method: str, request: Request, obj: object) -> bool:
        """Offer what this caller may do here, but nothing that always answers 405."""
        del obj
        return _is_served(view, method) and _refusal(view, request) is None

    def get_filter_form(self, data: Any, view: "APIView", request: Request) -> None:  # noqa: ANN401
        """Leave the query string to the page's own form."""
        del data, view, request

    def get_raw_data_form(self, data: Any, view: "APIView", method: str, request: Request) -> None:  # noqa: ANN401
        """Leave bodies to the page's own forms."""
        del data, view, method, request

    def get_rendered_html_form(self, data: Any, view: "APIView", method: str, request: Request) -> Any:  # noqa: ANN401
        """Say only whether a method without a body is offered."""
        return None if method in _BODY_METHODS else super().get_rendered_html_form(data, view, method, request)

    def get_description(self, view: "APIView", status_code: int) -> SafeString | str:
        """Describe the resource, with its names in code type."""
        del status_code
        return with_code(view.get_view_description(html=False))

    def get_context(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None,
        renderer_context: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Add the forms, the query string's form and the pages that lie below to DRF's context."""
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        response.headers["Content-Security-Policy"] = browsing.CONTENT_SECURITY_POLICY
        _authenticate_again(request)
        offered, waiting = _methods(view, request)
        context: dict[str, Any] = super().get_context(data, accepted_media_type, renderer_context)
        shown = browsing.Shown(view=view, request=request, status=response.status_code, data=data)
        # Its forms are offered all the same: they keep what was typed until the person has signed in.
        too_late = response.status_code == HTTPStatus.FORBIDDEN and data.get("code") == SIGN_IN_AGAIN_CODE
        if too_late and request.method in _BODY_METHODS:
            offered = [method for method in waiting if method in _BODY_METHODS]
        context["display_edit_forms"] = too_late or response.status_code not in _WITHOUT_FORMS
        if waiting and context["display_edit_forms"]:
            context["signed_in_before"] = browsing.span_of(settings.SESSION_SENSITIVE_ACTIONS_AGE)
            context["is_too_late"] = too_late
        context["panels"] = browsing.panels(shown, offered)
        context["query_fields"] = browsing.query_fields(shown, "GET")
        context["delete_fields"] = browsing.query_fields(shown, "DELETE")
        context["delete_effect"] = with_code(operations.description(view, "DELETE"))
        context["object_name"] = browsing.name_of_object(shown)
        context["has_secret"] = browsing.has_secret(shown)
        context["below"] = browsing.pages_below(shown)
        context["objects"] = browsing.objects_of(shown)
        context["address"] = browsing.address(request)
        context["formats"] = browsing.formats(shown)
        return context


def _is_served(view: "APIView", method: str) -> bool:
    return method in view.allowed_methods and (method == "OPTIONS" or operations.handler_of(view, method) is not None)


def _refusal(view: "APIView", request: Request) -> str | None:
    """Return the code of the error with which this caller would be refused; None for who may do it."""
    try:
        view.check_permissions(request)
    except (exceptions.APIException, ApiError) as error:
        return problem_of(error).code
    return None


def _methods(view: "APIView", request: Request) -> tuple[list[str], list[str]]:
    """Return the methods with a body that the caller may use, and all methods that only want a new sign-in."""
    offered: list[str] = []
    waiting: list[str] = []
    for method in (*_BODY_METHODS, "DELETE"):
        if not _is_served(view, method):
            continue
        with override_method(view, request, method) as overridden:
            code = _refusal(view, overridden)
        if code == SIGN_IN_AGAIN_CODE:
            waiting.append(method)
        elif code is None and method in _BODY_METHODS:
            offered.append(method)
    return offered, waiting


def _authenticate_again(request: Request) -> None:
    """Find out who asks when the body was no JSON: it fails authentication, for it may hold a key, and is empty now."""
    if request.auth is None and hasattr(request, "session"):
        with suppress(exceptions.APIException, ApiError):
            # DRF has taken the session's user away when it failed.
            request._request.user = get_user(request._request)  # noqa: SLF001 DRF keeps Django's request there
            request._authenticate()  # type: ignore[attr-defined]  # noqa: SLF001 DRF offers no other way to ask once more
