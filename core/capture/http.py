"""What all capture endpoints share: CORS on every answer, one error shape, and who the client is."""

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address

import orjson
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from psycopg import OperationalError as DriverOperationalError

from core.capture.refusals import Refusal, token_invalid
from core.persons.ingest import MergeRaceError
from core.recordings.errors import BlobStoreUnavailable
from core.tenancy.holding import TeamGoneError

RETRY_AFTER_SECONDS = "1"
# A lost race over the same persons passes like an outage does: the client sends the batch again.
STORE_ERRORS = (OperationalError, InterfaceError, DriverOperationalError, MergeRaceError, BlobStoreUnavailable)
log = structlog.get_logger(__name__)

type View = Callable[..., HttpResponse]
type Failure = Callable[[HttpRequest, Refusal], HttpResponse]


def json_response(document: object, status: int = 200) -> HttpResponse:
    """Answer JSON."""
    return HttpResponse(orjson.dumps(document), status=status, content_type="application/json")


def envelope(_request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Answer a refusal in the form of the whole API, whose `detail` posthog-python prints."""
    body = {"type": refusal.kind, "code": refusal.code, "detail": refusal.detail, "attr": None}
    return json_response(body, refusal.status)


def public_view(*methods: str, failure: Failure = envelope) -> Callable[[View], View]:
    """Make a view of an SDK endpoint: no CSRF, CORS everywhere, refusals and outages as answers."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def wrapped(request: HttpRequest, **captured: str) -> HttpResponse:
            if request.method == "OPTIONS":
                response = json_response({"status": 1})
            elif request.method not in methods:
                detail = f'Method "{request.method}" not allowed.'
                refusal = Refusal(405, "method_not_allowed", detail, kind="invalid_request")
                response = failure(request, refusal)
                response["Allow"] = ", ".join((*methods, "OPTIONS"))
            else:
                response = _answered(view, request, captured, failure)
            return with_cors(request, response)

        return wrapped

    return decorate


def _answered(view: View, request: HttpRequest, captured: dict[str, str], failure: Failure) -> HttpResponse:
    try:
        return view(request, **captured)
    except Refusal as refusal:
        return failure(request, refusal)
    except TeamGoneError:
        # The project was deleted between the look at its token and the commit: nothing was stored.
        return failure(request, token_invalid("unknown project token"))
    except STORE_ERRORS as error:
        log.warning("capture_store_unavailable", error=type(error).__name__)
        outage = Refusal(503, "service_unavailable", "transient error, please retry", kind="server_error")
        response = failure(request, outage)
        response["Retry-After"] = RETRY_AFTER_SECONDS
        return response
    except Exception:
        # Without CORS headers a browser hides even the status, so Django's own 500 page will not do.
        log.exception("capture_failed", path=request.path)
        return failure(request, Refusal(500, "error", "A server error occurred.", kind="server_error"))


def with_cors(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Let any page read the answer; errors too, or browsers would hide them."""
    origin = request.META.get("HTTP_ORIGIN")
    if origin:
        response["Access-Control-Allow-Origin"] = _one_line(origin)
        response["Access-Control-Allow-Credentials"] = "true"
        response["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response["Vary"] = "Origin"
        if wanted := request.META.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"):
            response["Access-Control-Allow-Headers"] = _one_line(wanted)
    return response


def _one_line(value: str) -> str:
    return value.replace("\r", "").replace("\n", "")


def client_ip(request: HttpRequest) -> str | None:
    """Return the client's address; the first forwarded hop only behind a proxy that is trusted."""
    if settings.TRUST_FORWARDED_HEADERS:
        first = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[0].strip()
        for candidate in (first, first.rpartition(":")[0].strip("[]")):
            if address := _address(candidate):
                return address
    return _address(request.META.get("REMOTE_ADDR", ""))


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
