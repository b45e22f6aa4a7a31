"""`ETag` and `If-None-Match`: a caller that has the answer already is not sent it again."""

from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from django.http import HttpResponse
from django.utils.http import parse_etags
from rest_framework.request import Request

HEADER: Final = "If-None-Match"
PRIVATE: Final = "private, no-cache"
DESCRIPTION: Final = "Tags of answers the caller has (`ETag`), or `*`. When one still holds, the answer is 304."


def etag_of(body: bytes) -> str:
    """Return the strong tag of a body: equal tags, equal bytes."""
    return f'"{blake2b(body, digest_size=16).hexdigest()}"'


def names(given: str, etag: str) -> bool:
    """Whether an `If-None-Match` value names a tag, by the weak comparison that the header asks for."""
    tags = parse_etags(given)
    return tags == ["*"] or etag in {tag.removeprefix("W/") for tag in tags}


def conditional_response(request: Request, response: HttpResponse) -> HttpResponse:
    """Tag a response, and empty it into a 304 when the caller has it.

    Shared caches may not keep it, and others ask each time: it is personal data that can change at any moment.
    """
    etag = etag_of(response.content)
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = PRIVATE
    given = request.META.get("HTTP_IF_NONE_MATCH")
    if given is not None and response.status_code == HTTPStatus.OK and names(given, etag):
        response.status_code = HTTPStatus.NOT_MODIFIED
        response.content = b""
        del response.headers["Content-Type"]
    return response
