"""From an HTTP request to a JSON document: the v0 rules for where the payload is and how it is wrapped."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest

from core.capture.compression import GZIP_MAGIC, OutputTooLarge, gunzip
from core.capture.documents import read_document
from core.capture.lz64 import TooMuchOutput, lz64_decode
from core.capture.refusals import malformed, stalled, too_big

_READ_BYTES = 1024 * 1024
_MAX_FIELDS = 1000
# Padding only at the end: `data=eyJ...` is made of the same characters but is a form.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\Z")
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_FORM = "application/x-www-form-urlencoded"
_HINTS = {
    "gzip": "gzip",
    "gzip-js": "gzip",
    "lz64": "lz64",
    "lz-string": "lz64",
    "base64": "base64",
    "b64": "base64",
}
_NO_DATA = "request missing data payload"
_NO_FORM = "failed to decode request: expected form data in POST request payload"


@dataclass(frozen=True, slots=True)
class Payload:
    """A decoded request: the document, its size in bytes, and what stood beside it."""

    document: Any
    size: int
    query: Mapping[str, str]
    form: Mapping[str, str]

    @property
    def form_token(self) -> str | None:
        """The token of clients that send it next to `data` in a form."""
        return self.form.get("api_key") or self.form.get("token") or None


def read_query(request: HttpRequest) -> dict[str, str]:
    """Return the query parameters; a broken query string is a refusal, never an exception of Django's."""
    return _fields(request.META.get("QUERY_STRING", ""))


def read_body(request: HttpRequest, limit: int) -> bytes:
    """Read the whole body, but never more than `limit` bytes of it; works for chunked bodies too."""
    cached: bytes | None = getattr(request, "_body", None)
    if cached is not None:
        if len(cached) > limit:
            raise _body_too_big(limit)
        return cached
    length = _content_length(request)
    if length is None and not _ends_by_itself(request):
        return b""
    if length is not None and length > limit:
        raise _body_too_big(limit)
    # Django's own stream reads nothing when a chunked request has no length.
    source = request.environ["wsgi.input"] if hasattr(request, "environ") else request
    parts: list[bytes] = []
    size = 0
    wanted = limit + 1 if length is None else length
    try:
        while size < wanted and (part := source.read(min(_READ_BYTES, wanted - size))):
            parts.append(part)
            size += len(part)
    except OSError as error:
        raise stalled() from error
    if size > limit:
        raise _body_too_big(limit)
    if length is not None and size < length:
        raise stalled()
    return b"".join(parts)


def decode(request: HttpRequest, *, limit: int) -> Payload:
    """Find, unwrap and parse the payload of a v0 request."""
    query = read_query(request)
    raw = query.get("data", "").encode("utf-8", "replace")
    in_body = not raw
    if in_body:
        raw = read_body(request, limit)
    elif len(raw) > limit:
        raise _body_too_big(limit)
    if not raw:
        raise malformed(_NO_DATA)
    form: dict[str, str] = {}
    if in_body and request.META.get("CONTENT_TYPE", "").lower().startswith(_FORM):
        raw, form = _unwrap_form(raw)
    hint = _hint(query.get("compression"), form.get("compression"), request.META.get("HTTP_CONTENT_ENCODING"))
    text = _unwrap(raw, hint, query_or_form=bool(form) or not in_body)
    return Payload(document=read_document(text), size=len(text), query=query, form=form)


def _unwrap(raw: bytes, hint: str | None, *, query_or_form: bool) -> bytes:
    if hint == "lz64" and not raw.startswith(GZIP_MAGIC):
        return _unbase64(_text_of_lz64(raw), hint=None, spaces=False)
    raw = _unbase64(raw, hint=hint, spaces=query_or_form)
    if hint == "gzip" or raw.startswith(GZIP_MAGIC):
        bound = settings.CAPTURE_MAX_DECOMPRESSED_BYTES
        try:
            raw = gunzip(raw, bound)
        except OutputTooLarge as error:
            raise too_big(str(error)) from error
        except ValueError as error:
            message = "failed to decode request: invalid GZIP data"
            raise malformed(message) from error
    return _unbase64(raw, hint=None, spaces=False)


def _text_of_lz64(raw: bytes) -> bytes:
    bound = settings.CAPTURE_MAX_DECOMPRESSED_BYTES
    try:
        return lz64_decode(raw, bound).encode("utf-8", "replace")
    except TooMuchOutput as error:
        raise too_big(str(OutputTooLarge(bound))) from error
    except ValueError as error:
        message = "failed to decode request: invalid LZ64 data"
        raise malformed(message) from error


def _unbase64(raw: bytes, *, hint: str | None, spaces: bool) -> bytes:
    """Decode what can only be base64; anything else is returned as it came."""
    if raw[:1] in (b"{", b"[", b"\x1f"):
        return raw
    text = raw.strip()
    if spaces:
        # Clients that did not percent-encode their form lost the plus signs.
        text = text.replace(b" ", b"+")
    text = text.replace(b"\r", b"").replace(b"\n", b"")
    if hint == "base64":
        text += b"=" * (-len(text) % 4)
    if len(text) % 4 or not _BASE64.match(text):
        return raw
    try:
        return base64.b64decode(text.translate(_URLSAFE), validate=True)
    except binascii.Error:
        return raw


def _unwrap_form(raw: bytes) -> tuple[bytes, dict[str, str]]:
    raw = _unbase64(raw, hint=None, spaces=False)
    if raw.startswith(GZIP_MAGIC):
        return raw, {}
    fields = _fields(raw.decode("utf-8", "replace"))
    data = fields.get("data")
    if not data:
        raise malformed(_NO_FORM)
    return data.encode("utf-8", "replace"), fields


def _fields(text: str) -> dict[str, str]:
    try:
        # The first of a repeated field counts.
        return dict(reversed(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)))
    except ValueError as error:
        message = "failed to decode request: too many form fields"
        raise malformed(message) from error


def _hint(*values: str | None) -> str | None:
    for value in values:
        if value and (hint := _HINTS.get(value.strip().lower())):
            return hint
    return None


def _content_length(request: HttpRequest) -> int | None:
    text = request.META.get("CONTENT_LENGTH")
    return int(text) if text and text.isascii() and text.isdigit() else None


def _ends_by_itself(request: HttpRequest) -> bool:
    """Without a length a server must promise the end of the stream, else reading would wait for ever."""
    return bool(request.META.get("wsgi.input_terminated")) or "HTTP_TRANSFER_ENCODING" in request.META


def _body_too_big(limit: int) -> Exception:
    return too_big(f"request body is larger than {limit} bytes")
