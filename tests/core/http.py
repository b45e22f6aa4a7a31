"""A client that speaks as one caller and answers parsed JSON."""

from typing import Any

import orjson
from django.http import HttpResponse

from tests.support.contract import CheckedClient


class Caller:
    """Sends requests with one key (or none) and keeps no cookies."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.client = CheckedClient(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **extra: Any) -> HttpResponse:
        headers = dict(extra.pop("headers", {}))
        if self.key:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        if body is not None:
            extra["data"] = body if isinstance(body, bytes | str) else orjson.dumps(body)
            extra.setdefault("content_type", "application/json")
        elif method not in {"GET", "HEAD"}:
            extra.setdefault("content_type", "")
        return self.client.generic(method, path, headers=headers, **extra)  # type: ignore[return-value]

    def get(self, path: str, **extra: Any) -> HttpResponse:
        return self("GET", path, **extra)


def parsed(response: HttpResponse) -> Any:
    return orjson.loads(response.content)


def problem(response: HttpResponse) -> tuple[int, str, str, str, str | None]:
    body = parsed(response)
    assert set(body) - {"extra"} == {"type", "code", "detail", "attr"}, body
    return response.status_code, body["type"], body["code"], body["detail"], body["attr"]
