"""Pages that belong to no resource: the landing page, the list of resources, the documents, and what is not there."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import TemplateView, View
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema, extend_schema_view
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.browsing import CONTENT_SECURITY_POLICY
from core.api.errors import NOT_FOUND_PATH, SERVER_ERROR, problem_response
from core.api.views import error_as_json
from persons_api.signing_in import GuardedSignIn, answer_of_sign_in


class PageMixin(View):
    """A page of this server that loads nothing from anywhere else."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401 Django's
        """Answer with the policy that keeps the page to itself."""
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


class LandingView(PageMixin, TemplateView):
    """What this server is, and where to go on."""

    template_name = "landing.html"


def _wants_page(request: HttpRequest) -> bool:
    """Whether the caller is a person: browsers prefer HTML, programs ask for something else or for anything."""
    return request.get_preferred_type(("application/json", "text/html")) == "text/html"


@csrf_exempt
def not_found(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:  # noqa: ANN401 Django's handler signature
    """Answer every path that is not there: in the API's own form, to people with a page."""
    if _wants_page(request):
        response = render(request, "not_found.html", status=NOT_FOUND_PATH.status)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    else:
        response = problem_response(NOT_FOUND_PATH)
    patch_vary_headers(response, ["Accept"])
    return response


def server_error(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:  # noqa: ANN401 Django's handler signature
    """Answer what failed outside of every view."""
    del request
    return problem_response(SERVER_ERROR)


def bad_request(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:  # noqa: ANN401 Django's handler signature
    """Answer requests that Django refuses before any view."""
    from core.api.errors import Problem

    del request
    return problem_response(Problem(400, "invalid_request", "invalid_request", "The request is malformed."))


_one_schema_at_a_time = threading.Lock()


class _ReadableRenderer(OpenApiYamlRenderer):
    """The document as text, which browsers show where they would save YAML."""

    media_type = "text/plain"
    charset = "utf-8"


class _SchemaNegotiation(DefaultContentNegotiation):
    """YAML unless asked otherwise, to be read by people."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its media type."""
        if "format" not in request.query_params and _wants_page(request):
            return _ReadableRenderer(), _ReadableRenderer.media_type
        result: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return result


class _PageRenderer(TemplateHTMLRenderer):
    """Pages of templates, of which errors have one too."""

    exception_template_names = ["problem.html"]

    def get_template_context(self, data: Any, renderer_context: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 DRF's
        """Add to an error what its status means, and after how many seconds to come back."""
        context: dict[str, Any] = super().get_template_context(data, renderer_context)
        response = renderer_context["response"]
        if response.exception:
            context |= {"status_text": response.status_text, "seconds": response.headers.get("Retry-After")}
        return context


_OPEN: dict[str, Any] = {
    "permission_classes": [AllowAny],
    "authentication_classes": [],
    "content_negotiation_class": DefaultContentNegotiation,
}


@extend_schema_view(get=extend_schema(exclude=True))
class SchemaView(SpectacularAPIView):
    """The OpenAPI document, for everyone; `?operation_ids=documented` names operations as the published page does."""

    permission_classes = _OPEN["permission_classes"]
    authentication_classes = _OPEN["authentication_classes"]
    content_negotiation_class = _SchemaNegotiation
    renderer_classes = [OpenApiYamlRenderer, OpenApiYamlRenderer2, OpenApiJsonRenderer, OpenApiJsonRenderer2]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 DRF's signature
        """Build the document; one at a time, because drf-spectacular's first use of its classes is not safe."""
        with _one_schema_at_a_time:
            response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 DRF's
        """Answer errors, such as that of a used up rate limit, as the API does and not as YAML."""
        error_as_json(request, response)
        return super().finalize_response(request, response, *args, **kwargs)


class SwaggerView(PageMixin, SpectacularSwaggerSplitView):
    """Swagger UI, served from this machine."""

    url_name = "schema"
    url_self = None
    permission_classes = _OPEN["permission_classes"]
    authentication_classes = _OPEN["authentication_classes"]
    content_negotiation_class = _OPEN["content_negotiation_class"]
    renderer_classes = [_PageRenderer]


class RedocView(PageMixin, SpectacularRedocView):
    """Redoc, served from this machine; the package's own template asks Google for fonts."""

    template_name = "redoc.html"
    url_name = "schema"
    permission_classes = _OPEN["permission_classes"]
    authentication_classes = _OPEN["authentication_classes"]
    content_negotiation_class = _OPEN["content_negotiation_class"]
    renderer_classes = [_PageRenderer]


@method_decorator(csrf_protect, name="dispatch")
class SignInView(PageMixin, LoginView):
    """Sign in by e-mail address, for the browsable API."""

    template_name = "login.html"
    authentication_form = GuardedSignIn

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again; 429 with Retry-After after too many attempts."""
        return answer_of_sign_in(super().form_invalid(form))


@method_decorator(csrf_protect, name="dispatch")
class SignOutView(PageMixin, LogoutView):  # type: ignore[misc]  # Django's stubs type the same dispatch otherwise
    """Sign out; whoever comes by a link is asked first."""

    http_method_names = [*LogoutView.http_method_names, "get", "head"]
    template_name = "logout.html"
    next_page = "/"
