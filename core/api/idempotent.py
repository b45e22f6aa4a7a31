"""The `Idempotency-Key` header: a request sent again has its effect once, and is answered alike each time.

What is kept, and the order of lock, effect and answer, is in core.idempotency.services; this is the HTTP side.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request

from core.access.routing import Route
from core.api.errors import ApiError, Conflict, Invalid
from core.idempotency.services import (
    KEPT,
    MAX_KEY_LENGTH,
    AnswerWithheldError,
    KeptAnswer,
    KeyedRequest,
    KeyInUseError,
    KeyReusedError,
    Withheld,
    answer_find,
    answer_keep,
    is_key,
    keyed_request,
)

HEADER: Final = "Idempotency-Key"
META: Final = "HTTP_IDEMPOTENCY_KEY"
REPLAYED: Final = "Idempotent-Replayed"
RETRY_SECONDS: Final = 1
DESCRIPTION: Final = (
    f"1 to {MAX_KEY_LENGTH} printable ASCII characters, unique to this request. Sent again within "
    f"{KEPT.total_seconds() / 3600:.0f} hours, the request has no further effect and gets the first answer again."
)
STATUSES: Final = {
    "409": "A request with this Idempotency-Key is running, or its answer was not kept.",
    "422": "This Idempotency-Key was used for another request.",
}
_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEPT_HEADERS: Final = ("Content-Type", "Content-Disposition", "Location")
_WITHHELD: Final = {
    Withheld.LARGE: "it was too large to keep",
    Withheld.SECRET: "it contains a secret",
    Withheld.ERASED: "it was erased together with personal data",
}

type Handler = Callable[..., Any]


class KeyReused(ApiError):  # noqa: N818 as the other errors of the API
    """The caller used the key for a different request before."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request. Use a new key for a new request."


class KeyInUse(Conflict):
    """The first request with the key has not been answered yet."""

    code = "idempotency_key_in_use"
    detail = "A request with this Idempotency-Key is being carried out. Send it again shortly."
    retry_after = RETRY_SECONDS


def secret_answer(method: Handler) -> Handler:
    """Declare that a method answers with a secret: a repeat has no effect either, but gets no copy of the answer."""
    method.secret_answer = True  # type: ignore[attr-defined]
    return method


def takes_key(route: Route | None, method: str | None) -> bool:
    """Whether the header means something: on unsafe methods, unless a read scope says that the method only reads."""
    if route is None or method not in _METHODS:
        return False
    scopes = route.scopes.get(method)
    return not scopes or not all(scope.endswith(":read") for scope in scopes)


def once(view: Any, request: Request, handler: Handler) -> Handler:  # noqa: ANN401 the viewset, which imports this
    """Return a handler that carries out a request unless its key says that it was.

    Whatever is not a success is rolled back and not kept, so that the same key can be tried again.
    """
    asked = _asked(view, request)
    secret = getattr(getattr(view, view.action or "", None), "secret_answer", False)

    def handle(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 as DRF's handlers
        with transaction.atomic():
            kept = _find(asked)
            if kept is not None:
                return _replayed(kept)
            response: HttpResponse = view.finalize_response(request, handler(request, *args, **kwargs), *args, **kwargs)
            if callable(render := getattr(response, "render", None)):
                render()
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                transaction.set_rollback(True)
                return response
            team = view.access.team
            _keep(asked, response, team_id=None if team is None else team.id, secret=secret)
        return response

    return handle


def _asked(view: Any, request: Request) -> KeyedRequest:  # noqa: ANN401 as above
    key = request.META[META]
    if not is_key(key):
        message = f"The key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."
        raise Invalid(message, attr=HEADER)
    caller = view.caller
    return keyed_request(
        caller=f"key:{caller.key_id}" if caller.is_key else f"user:{caller.user_id}",
        key=key,
        parts=(
            str(request.method).encode(),
            request.path.encode("utf-8", "surrogateescape"),
            request.META.get("QUERY_STRING", "").encode("utf-8", "surrogateescape"),
            request.META.get("CONTENT_TYPE", "").encode("utf-8", "surrogateescape"),
            request.body,
        ),
    )


def _find(asked: KeyedRequest) -> KeptAnswer | None:
    try:
        return answer_find(asked)
    except KeyInUseError:
        raise KeyInUse from None
    except KeyReusedError:
        raise KeyReused(attr=HEADER) from None
    except AnswerWithheldError as error:
        why = _WITHHELD[Withheld(error.reason)]
        message = f"The request with this Idempotency-Key was carried out. Its answer was not kept: {why}."
        raise Conflict(message, code="idempotent_answer_withheld", extra={"reason": error.reason}) from None


def _keep(asked: KeyedRequest, response: HttpResponse, *, team_id: int | None, secret: bool) -> None:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    body = b"" if response.streaming else response.content
    withheld = Withheld.SECRET if secret else Withheld.LARGE if response.streaming else ""
    answer_keep(asked, KeptAnswer(response.status_code, body, headers), team_id=team_id, withheld=withheld)


def _replayed(kept: KeptAnswer) -> HttpResponse:
    response = HttpResponse(kept.body, status=kept.status)
    del response.headers["Content-Type"]
    for name, value in {**kept.headers, REPLAYED: "true"}.items():
        response.headers[name] = value
    return response
