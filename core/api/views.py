"""The base of every viewset: DRF's rules without its per-request overhead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, ClassVar, cast

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action as rest_action
from rest_framework.metadata import SimpleMetadata
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from core.access.context import Access, Caller
from core.access.rates import EVERY_REQUEST
from core.access.routing import Route
from core.api import idempotent
from core.api.conditional import conditional_response
from core.api.errors import ApiError
from core.api.json import dumps
from core.api.negotiation import FormatFirstNegotiation
from core.api.pagination import Window, page, read_window
from core.api.renderers import ORJSONRenderer
from core.tenancy.context import OrganizationContext, TeamContext
from core.tenancy.models import Level

_NEGOTIATION = FormatFirstNegotiation()
_JSON = ORJSONRenderer()

type Method = Callable[..., Any]


def action(*, scope: str | Sequence[str] | None = None, **options: Any) -> Callable[[Method], Method]:  # noqa: ANN401 as DRF's
    """Declare an extra action as DRF does; `scope` states an exception from the route's own scope."""

    def decorate(method: Method) -> Method:
        return cast("Method", rest_action(**options)(scoped(scope)(method) if scope is not None else method))

    return decorate


def scoped(scope: str | Sequence[str]) -> Callable[[Method], Method]:
    """State the scopes of a method where they differ from the route's own; `()` takes any key."""

    def decorate(method: Method) -> Method:
        method.required_scopes = (scope,) if isinstance(scope, str) else tuple(scope)  # type: ignore[attr-defined]
        return method

    return decorate


def at_least(level: Level) -> Callable[[Method], Method]:
    """State the level in the organization that a method needs, where a plain member may not use it."""

    def decorate(method: Method) -> Method:
        method.required_level = level  # type: ignore[attr-defined]
        return method

    return decorate


def any_session(method: Method) -> Method:
    """Let sessions of any age use this write, although its resource is sensitive."""
    method.sensitive = False  # type: ignore[attr-defined]
    return method


def sessions_only(method: Method) -> Method:
    """Refuse personal API keys on this method."""
    method.required_scopes = None  # type: ignore[attr-defined]
    return method


def refused(detail: str) -> Method:
    """Return a method that answers 405 with this text, to callers who would be allowed in."""

    def method(self: "ApiViewSet", request: Request, **_: Any) -> Response:  # noqa: ANN401 URL arguments
        del self, request
        error = ApiError(detail, code="method_not_allowed")
        error.status = status.HTTP_405_METHOD_NOT_ALLOWED
        raise error

    method.refused = True  # type: ignore[attr-defined]
    return cast("Method", extend_schema(exclude=True)(method))


@dataclass(slots=True)
class Answer:
    """What a view answers, before it is known in which form: JSON goes out without DRF's template response."""

    data: Any
    status: int = status.HTTP_200_OK
    conditional: bool = False


def conditional(method: Method) -> Method:
    """Declare that a method's answer carries an `ETag`, and is 304 to callers that have it already."""

    @wraps(method)
    def read(self: "ApiViewSet", request: Request, **arguments: Any) -> Any:  # noqa: ANN401 what the method answers
        answer = method(self, request, **arguments)
        if isinstance(answer, Answer):
            answer.conditional = True
        elif isinstance(answer, HttpResponse) and not answer.streaming:
            return conditional_response(request, answer)
        return answer

    read.conditional = True  # type: ignore[attr-defined]
    return read


class EmptySerializer(serializers.Serializer[Any]):
    """No fields: for methods that read their body themselves."""


@cache
def _shared[T](kinds: tuple[type[T], ...]) -> list[T]:
    """Parsers, authenticators and permissions keep nothing between calls, so one of each is enough."""
    return [kind() for kind in kinds]


@cache
def _allow_header(view_class: type, methods: tuple[tuple[str, str], ...]) -> str:
    allowed = {method.upper() for method, name in methods if not getattr(getattr(view_class, name), "refused", False)}
    return ", ".join([*sorted(allowed - {"HEAD"}), *(["HEAD"] if "HEAD" in allowed else []), "OPTIONS"])


def _json_response(answer: Answer, headers: Mapping[str, str]) -> HttpResponse:
    body = b"" if answer.data is None else dumps(answer.data)
    response = HttpResponse(body, status=answer.status, content_type=_JSON.media_type)
    if not body:
        # Some clients parse every answer that has a JSON content type.
        del response.headers["Content-Type"]
    for name, value in headers.items():
        response.headers[name] = value
    return response


def error_as_json(request: Request, response: object) -> None:
    """Show an error as JSON, whatever form was asked for; only people get a page of it."""
    accepted = getattr(request, "accepted_renderer", None)
    if getattr(response, "exception", False) and not isinstance(accepted, BrowsableAPIRenderer):
        request.accepted_renderer, request.accepted_media_type = _JSON, _JSON.media_type


class RouteMetadata(SimpleMetadata):
    """Answers OPTIONS without looking for an object: what may be sent is in the OpenAPI document."""

    def determine_actions(self, request: Request, view: APIView) -> dict[str, Any]:
        """Say nothing of fields."""
        del request, view
        return {}


class ApiMixin(APIView):
    """Dispatch without building what this request does not need."""

    metadata_class = RouteMetadata
    route: Route | None = None

    def get_parsers(self) -> list[Any]:
        """Share parsers between requests."""
        return _shared(tuple(self.parser_classes))

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Share authenticators between requests."""
        return _shared(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        """Share permissions between requests."""
        return _shared(cast("tuple[type[BasePermission], ...]", tuple(self.permission_classes)))

    def get_renderers(self) -> list[BaseRenderer]:
        """Share renderers; negotiation makes a fresh one of those that keep state."""
        return _shared(tuple(self.renderer_classes))

    def get_content_negotiator(self) -> Any:  # noqa: ANN401 DRF types it loosely
        """Share the negotiation."""
        return _NEGOTIATION

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Name the methods of this URL; the answer depends on Accept because of the browsable pages."""
        methods = getattr(self, "action_map", None)
        if methods is None:
            return super().default_response_headers
        return {"Allow": _allow_header(cast("Any", type(self)), tuple(methods.items())), "Vary": "Accept"}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 DRF's signature
        """Negotiate, authenticate, permit, throttle: DRF's order, without its versioning."""
        del args
        keyed = idempotent.META in request.META and idempotent.takes_key(self.route, request.method)
        if keyed:
            # Before anyone parses the body, which would leave no bytes to compare.
            _ = request.body
        self.format_kwarg = kwargs.get("format")
        request.accepted_renderer, request.accepted_media_type = _NEGOTIATION.select_renderer(
            request, self.get_renderers(), self.format_kwarg
        )
        request.version = request.versioning_scheme = None
        self.check_permissions(request)
        if self.throttle_classes:
            self.check_throttles(request)
        if keyed:
            self._answer_once(request)

    def _answer_once(self, request: Request) -> None:
        """Wrap the handler of this request, so that its Idempotency-Key is obeyed; the answer is JSON."""
        request.accepted_renderer, request.accepted_media_type = _JSON, _JSON.media_type
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if handler is not None:
            setattr(self, name, idempotent.once(self, request, handler))

    def check_permissions(self, request: Request) -> None:
        """Authenticate (as a side effect of looking at the user) and ask each permission."""
        _ = request.user
        for permission in self.get_permissions():
            if not permission.has_permission(request, self):
                self.permission_denied(request)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 DRF's
        """Show errors as JSON where the caller asked for a table."""
        accepted = getattr(request, "accepted_renderer", None)
        if isinstance(response, Answer):
            if isinstance(accepted, ORJSONRenderer):
                found = _json_response(response, self.headers)
                return conditional_response(request, found) if response.conditional else found
            response = Response(response.data, status=response.status)
        error_as_json(request, response)
        return super().finalize_response(request, response, *args, **kwargs)


class ApiViewSet(ApiMixin, GenericViewSet[Any]):
    """A viewset in the route table."""

    route: Route
    identity: ClassVar[str | None] = None
    """`project` or `organization` where the resource is the tenant itself: strangers get 404, not 403."""
    ignores_restrictions: ClassVar[bool] = False
    """Whether a key's projects and organizations do not matter here."""
    sensitive: ClassVar[bool] = False
    """Whether writes want a session that signed in lately."""
    read_limits: ClassVar[tuple[str, ...]] = EVERY_REQUEST
    """The rate limits in which reads count, by their names in the setting RATE_LIMITS; writes have the default."""
    lookup_value_regex = "[^/]+"

    @property
    def access(self) -> Access:
        """Return who is asking, about which tenant."""
        return cast("Access", self.request.auth)

    @property
    def caller(self) -> Caller:
        """Return who is asking."""
        return self.access.caller

    @property
    def organization(self) -> OrganizationContext:
        """Return the organization that the permission step let pass."""
        organization = self.access.organization
        if organization is None:
            raise exceptions.NotFound
        return organization

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Fall back to no fields: most views read their body with plain functions."""
        return self.serializer_class or EmptySerializer

    def window(self, **options: int) -> Window:
        """Read `limit` and `offset`."""
        return read_window(self.request, **options)

    def page_response(
        self, window: Window, results: Sequence[Any], *, count: int | None = None, more: bool | None = None
    ) -> Answer:
        """Answer one page of a list."""
        return Answer(page(self.request, window, results, count=count, more=more))


class TeamViewSet(ApiViewSet):
    """A resource of one project."""

    @property
    def team(self) -> TeamContext:
        """Return the project that the permission step let pass."""
        team = self.access.team
        if team is None:
            raise exceptions.NotFound
        return team
