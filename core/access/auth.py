"""Who is calling: a personal API key in header, body or query, else a session."""

import hmac
import re
from typing import Any

import structlog
from django.db import DatabaseError, connection
from django.utils.functional import SimpleLazyObject
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from core.access.context import Access
from core.access.models import hash_key_value
from core.access.queries import Target, key_access, read_target, session_access
from core.tenancy.models import User

log = structlog.get_logger()

_BEARER = re.compile(r"^Bearer\s+(\S.+)$")
_TOUCH = """
    UPDATE core_personalapikey SET last_used_at = statement_timestamp()
    WHERE id = (SELECT id FROM core_personalapikey WHERE id = %s FOR UPDATE SKIP LOCKED)"""


class PersonalAPIKeyAuthentication(authentication.BaseAuthentication):
    """A key authenticates its user; only the first place that holds one is tried."""

    def authenticate(self, request: Request) -> tuple[Any, Access] | None:
        """Return the lazy user and the access of the key, None without a key, or fail."""
        key, place = find_key(request)
        if not key:
            return None
        secure_value = hash_key_value(key)
        found = key_access(secure_value=secure_value, target=_target(request))
        if found is None or not hmac.compare_digest(found.secure_value, secure_value):
            message = f"Personal API key found in request {place} is invalid."
            raise exceptions.AuthenticationFailed(message)
        if found.is_stale:
            _touch(found.access.caller.key_id)
        return lazy_user(found.access.caller.user_id), found.access

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme on a 401."""
        del request
        return "Bearer"


class SessionAuthentication(authentication.SessionAuthentication):
    """A logged-in browser; unsafe methods need the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Access] | None:
        """Return the user of the session with the rights about the tenant of the URL."""
        if getattr(request._request, "user", None) is None:  # noqa: SLF001 DRF keeps Django's request there
            return None
        found = super().authenticate(request)
        if found is None:
            return None
        access = session_access(user_id=found[0].pk, target=_target(request))
        return None if access is None else (found[0], access)

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme on a 401."""
        del request
        return "Bearer"


def find_key(request: Request) -> tuple[str | None, str]:
    """Return the first key candidate and where it was."""
    header = request.META.get("HTTP_AUTHORIZATION")
    if header and (match := _BEARER.match(header)):
        return match.group(1).strip(), "Authorization header"
    if request.META.get("CONTENT_LENGTH") not in {None, "", "0"}:
        data = request.data
        key = data.get("personal_api_key") if hasattr(data, "get") else None
        if key and isinstance(key, str):
            return key, "body"
    if "personal_api_key" in request.META.get("QUERY_STRING", ""):
        return request.query_params.get("personal_api_key"), "query string"
    return None, ""


def query_token(request: Request) -> str | None:
    """Return the project token of the query string."""
    if "token=" not in request.META.get("QUERY_STRING", ""):
        return None
    return request.query_params.get("token", "").replace("\x00", "\ufffd") or None


def _target(request: Request) -> Target:
    view = (request.parser_context or {}).get("view")
    return read_target(getattr(view, "route", None), getattr(view, "kwargs", {}), query_token(request))


def lazy_user(user_id: int) -> Any:  # noqa: ANN401 a proxy that behaves as User
    """Return a user that is loaded when first looked at: most requests never do."""
    return SimpleLazyObject(lambda: User.objects.select_related("current_organization", "current_team").get(pk=user_id))


def _touch(key_id: str | None) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TOUCH, [key_id])
    except DatabaseError as error:  # a read-only replica must not refuse reads for the sake of a date
        log.warning("key_touch_failed", error=type(error).__name__)
