"""Pages that belong to no resource: the landing page, the list of resources, the documents, and what is not there."""

import threading
from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
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
from rest_framework.renderers import TemplateHTMLRenderer
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


@csrf_exempt
def not_found(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:  # noqa: ANN401 Django's handler signature
    """Answer every path that is not there in the API's own form."""
    del request
    return problem_response(NOT_FOUND_PATH)


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


class _SpectacularNegotiation(DefaultContentNegotiation):
    """YAML unless asked otherwise."""


_OPEN: dict[str, Any] = {
    "permission_classes": [AllowAny],
    "authentication_classes": [],
    "content_negotiation_class": _SpectacularNegotiation,
}


@extend_schema_view(get=extend_schema(exclude=True))
class SchemaView(SpectacularAPIView):
    """The OpenAPI document, for everyone; `?operation_ids=documented` names operations as the published page does."""

    permission_classes = _OPEN["permission_classes"]
    authentication_classes = _OPEN["authentication_classes"]
    content_negotiation_class = _OPEN["content_negotiation_class"]
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
    renderer_classes = [TemplateHTMLRenderer]


class RedocView(PageMixin, SpectacularRedocView):
    """Redoc, served from this machine; the package's own template asks Google for fonts."""

    template_name = "redoc.html"
    url_name = "schema"
    permission_classes = _OPEN["permission_classes"]
    authentication_classes = _OPEN["authentication_classes"]
    content_negotiation_class = _OPEN["content_negotiation_class"]
    renderer_classes = [TemplateHTMLRenderer]


@method_decorator(csrf_protect, name="dispatch")
class SignInView(PageMixin, LoginView):
    """Sign in by e-mail address, for the browsable API."""

    template_name = "login.html"
    authentication_form = GuardedSignIn

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again; 429 with Retry-After after too many attempts."""
        return answer_of_sign_in(super().form_invalid(form))


@method_decorator(csrf_protect, name="dispatch")
class SignOutView(LogoutView):
    """Sign out."""

    next_page = "/"
