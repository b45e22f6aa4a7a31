"""Questions to POST query, and what is in the answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from core.outbox.services import outbox_drain
from tests.core.persons.conftest import Api

NOON = datetime(2024, 5, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ALL = {"after": "all"}

type Json = dict[str, Any]


def sent(api: Api, node: Json, **body: Any) -> Any:
    """Ask, always afresh unless told otherwise."""
    outbox_drain()
    path = f"/api/{api.tree}/{api.team.id}/query/"
    return api.client.post(path, {"query": node, "refresh": "force_blocking", **body}, content_type="application/json")


def answer(api: Api, kind: str, *, override: Json | None = None, **node: Any) -> Json:
    """Return the answer of a query that is right."""
    body = {"filters_override": override} if override is not None else {}
    found = sent(api, {"kind": kind, **node}, **body)
    assert found.status_code == 200, found.content
    parsed: Json = found.json()
    return parsed


def refusal(api: Api, kind: str, **node: Any) -> tuple[int, str, str, str | None]:
    """Return status, code, detail and attr of the answer to a query that is wrong."""
    found = sent(api, {"kind": kind, **node})
    body = found.json()
    return found.status_code, body["code"], body["detail"], body["attr"]


def column(found: Json, number: int = 0) -> list[Any]:
    """Return one column of the rows."""
    return [row[number] for row in found["results"]]
