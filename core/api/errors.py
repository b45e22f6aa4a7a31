"""Every error as `{"type", "code", "detail", "attr"}`: own exceptions, DRF's, Django's and the stores'."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response

from core.api.json import dumps
from core.tenancy.holding import TeamGoneError
from events import errors as event_errors

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 2
UNSUPPORTED = "query_not_supported_by_engine"
"""The code for HogQL that is right, and that ClickHouse's planner cannot run."""
NON_FIELD_KEYS = frozenset({"non_field_errors", "__all__"})


class ApiError(Exception):
    """An error with its own status; raise it from any layer above core.access."""

    status = 400
    type = "invalid_request"
    code = "error"
    detail = "The request cannot be served."
    also: Mapping[str, Any] | None = None
    """Keys that some old servers used (`error`, `message`), kept beside the envelope."""
    retry_after: int | None = None
    """Whole seconds after which the same request may fare better."""

    def __init__(
        self,
        detail: str | None = None,
        code: str | None = None,
        attr: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the class's text and code where none are given; `extra` travels in the answer."""
        self.detail = detail or self.detail
        self.code = code or self.code
        self.attr = attr
        self.extra = extra
        super().__init__(self.detail)


class Invalid(ApiError):  # noqa: N818 the name that all layers use
    """A value of the caller is wrong; `attr` names the field."""

    type = "validation_error"
    code = "invalid_input"
    detail = "Invalid input."


class NotFound(ApiError):  # noqa: N818 the name that all layers use
    """What the caller speaks of is not there, or not for the caller."""

    status = 404
    code = "not_found"
    detail = "Not found."


class Forbidden(ApiError):  # noqa: N818 the name that all layers use
    """The caller may not do this."""

    status = 403
    type = "authentication_error"
    code = "permission_denied"
    detail = "You do not have permission to perform this action."


class Conflict(ApiError):  # noqa: N818 the name that all layers use
    """The state of things forbids this now; 409 has this type on the original servers too."""

    status = 409
    type = "server_error"
    code = "conflict"
    detail = "Conflict with the current state."


class ServiceUnavailable(ApiError):  # noqa: N818 the name that all layers use
    """A store does not answer; the caller is asked to come back."""

    status = 503
    type = "server_error"
    code = "service_unavailable"
    detail = "A data store is not available right now. Try again shortly."
    retry_after = RETRY_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it is answered."""

    status: int
    type: str
    code: str
    detail: str
    attr: str | None = None
    extra: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Return the envelope."""
        body: dict[str, Any] = {"type": self.type, "code": self.code, "detail": self.detail, "attr": self.attr}
        if self.extra is not None:
            body["extra"] = self.extra
        if self.also is not None:
            body.update(self.also)
        return body


SERVER_ERROR = Problem(500, "server_error", "error", "A server error occurred.")
NOT_FOUND_PATH = Problem(404, "invalid_request", "not_found", "Endpoint not found.")
_UNAVAILABLE = Problem(
    ServiceUnavailable.status,
    ServiceUnavailable.type,
    ServiceUnavailable.code,
    ServiceUnavailable.detail,
    headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
)
_PROBLEMS: tuple[tuple[tuple[type[BaseException], ...], Problem], ...] = (
    ((TeamGoneError,), Problem(404, "invalid_request", "not_found", "Project not found.")),
    ((Http404, ObjectDoesNotExist), Problem(404, "invalid_request", "not_found", "Not found.")),
    ((PermissionDenied,), Problem(403, Forbidden.type, Forbidden.code, Forbidden.detail)),
    (
        (RequestDataTooBig,),
        Problem(413, "invalid_request", "payload_too_large", "The request body is larger than 20 MB."),
    ),
    ((SuspiciousOperation,), Problem(400, "invalid_request", "invalid_request", "The request is malformed.")),
    (
        (UnreadablePostError,),
        Problem(400, "invalid_request", "parse_error", "The request body could not be read."),
    ),
    (
        (ProtectedError, RestrictedError),
        Problem(
            409,
            "invalid_request",
            "protected_error",
            "Requested operation cannot be completed because a related object is protected.",
        ),
    ),
    ((OperationalError, InterfaceError, PoolTimeout, event_errors.StoreUnavailable), _UNAVAILABLE),
    (
        (event_errors.QueryTimeout,),
        Problem(504, "server_error", "query_timeout", event_errors.QueryTimeout.text),
    ),
    (
        (event_errors.QueryTooBig,),
        Problem(513, "server_error", "query_too_big", event_errors.QueryTooBig.text),
    ),
    (
        (event_errors.QueryUnsupported,),
        Problem(400, Invalid.type, UNSUPPORTED, event_errors.QueryUnsupported.text),
    ),
    (
        (event_errors.QueryRefused,),
        Problem(400, Invalid.type, Invalid.code, event_errors.QueryRefused.text),
    ),
    (
        (DataError,),
        Problem(400, Invalid.type, Invalid.code, "The request contains a value that cannot be stored."),
    ),
)


def problem_of(error: BaseException) -> Problem:
    """Say how an exception is answered; what is unknown is a 500 without its text."""
    if isinstance(error, ApiError):
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return Problem(error.status, error.type, error.code, error.detail, error.attr, error.extra, headers, error.also)
    if isinstance(error, exceptions.APIException):
        return _rest_problem(error)
    if isinstance(error, ValidationError):
        return Problem(400, Invalid.type, Invalid.code, " ".join(error.messages))
    if isinstance(error, event_errors.QueryMistake):
        return Problem(400, Invalid.type, error.code_name, error.message)
    for kinds, problem in _PROBLEMS:
        if isinstance(error, kinds):
            return problem
    return SERVER_ERROR


def _rest_problem(error: exceptions.APIException) -> Problem:
    extra = getattr(error, "extra", None)
    if isinstance(error, exceptions.ValidationError):
        code, detail, attr = _first_error(error.detail, ())
        return Problem(error.status_code, "validation_error", code, detail, attr, extra)
    headers: dict[str, str] = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]  # set by DRF on a 401
    wait: float | None = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    code, detail, _ = _first_error(error.detail, ())
    return Problem(error.status_code, _rest_type(error), code, detail, None, extra, headers)


def _rest_type(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.AuthenticationFailed | exceptions.NotAuthenticated | exceptions.PermissionDenied):
        return "authentication_error"
    if isinstance(error, exceptions.Throttled):
        return "throttled_error"
    known = (
        exceptions.ParseError,
        exceptions.NotFound,
        exceptions.MethodNotAllowed,
        exceptions.NotAcceptable,
        exceptions.UnsupportedMediaType,
    )
    return "invalid_request" if isinstance(error, known) else "server_error"


def _first_error(detail: Any, path: tuple[str, ...]) -> tuple[str, str, str | None]:  # noqa: ANN401 DRF's nesting
    """Return code, text and attr of the first error in DRF's nested detail."""
    if isinstance(detail, Mapping):
        key, nested = next(((str(key), nested) for key, nested in detail.items() if nested), ("", ""))
        return _first_error(nested, path if key in NON_FIELD_KEYS and not path else (*path, key))
    if isinstance(detail, list | tuple):
        for index, nested in enumerate(detail):
            if isinstance(nested, Mapping | list | tuple):
                if nested:
                    return _first_error(nested, (*path, str(index)))
                continue
            return _first_error(nested, path)
        return "invalid_input", "Invalid input.", "__".join(path) or None
    code = getattr(detail, "code", None) or "invalid_input"
    return "invalid_input" if code == "invalid" else str(code), str(detail), "__".join(path) or None


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an exception of a view (DRF's EXCEPTION_HANDLER)."""
    problem = problem_of(error)
    _report(error, problem, context.get("request"))
    return Response(problem.body(), status=problem.status, headers=dict(problem.headers))


def error_response(error: BaseException, request: HttpRequest | None = None) -> HttpResponse:
    """Answer an exception outside of DRF."""
    problem = problem_of(error)
    _report(error, problem, request)
    return problem_response(problem)


def problem_response(problem: Problem) -> HttpResponse:
    """Answer a problem outside of DRF."""
    return HttpResponse(
        dumps(problem.body()), status=problem.status, content_type="application/json", headers=dict(problem.headers)
    )


def _report(error: BaseException, problem: Problem, request: Any) -> None:  # noqa: ANN401 Django's or DRF's request
    if problem is SERVER_ERROR:
        log.error("unexpected_error", path=getattr(request, "path", None), exc_info=error)
    elif problem.status >= SERVER_ERROR.status:
        log.warning(
            "store_error", status=problem.status, error=type(error).__name__, cause=str(error.__cause__ or "")[:200]
        )
    elif isinstance(error, DataError):
        log.warning("value_refused_by_postgres", path=getattr(request, "path", None))
