"""Questions to the funnel and correlation endpoints, and the names of who came back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.persons.conftest import Api

NOON = datetime(2024, 5, 2, 12, tzinfo=UTC)
MAY = {"date_from": "2024-05-01", "date_to": "2024-05-31"}
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

type Capture = Callable[..., Person]


def steps(*names: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"id": name, "type": "events", "order": number, **fields} for number, name in enumerate(names)]


def journey(capture: Capture, who: str, *names: str, since: datetime = NOON, every: timedelta = HOUR) -> None:
    """Capture events of one person, evenly spaced."""
    for number, name in enumerate(names):
        capture(who, name, timestamp=since + every * number)


def texts(params: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in params.items()}


def asked(api: Api, path: str = "/funnel/", **params: Any) -> Any:
    """Ask by GET, about May 2024 unless told, always afresh."""
    outbox_drain()
    return api.get(path, **texts({**MAY, "refresh": "true", **params}))


def posted(api: Api, path: str = "/funnel/", *, query: dict[str, Any] | None = None, **body: Any) -> Any:
    """Ask by POST, about May 2024 unless told, always afresh."""
    outbox_drain()
    address = f"{path}?{urlencode(texts(query))}" if query else path
    return api.send("POST", address, {**MAY, "refresh": True, **body})


def people(answer: Any) -> list[dict[str, Any]]:
    """Return the people of an answer, whose count must be right."""
    assert answer.status_code == 200, answer.content
    (result,) = answer.json()["results"]
    assert result["count"] == len(result["people"])
    found: list[dict[str, Any]] = result["people"]
    return found


def who(answer: Any) -> str:
    """Return the names of the people, sorted."""
    return " ".join(sorted(person["name"] for person in people(answer)))


def refusal(answer: Any) -> tuple[int, str, str | None]:
    """Return status, detail and attr of a refusal by validation; mistakes in HogQL tell their place too."""
    body = answer.json()
    assert body.get("extra", {}).keys() <= {"hogql_metadata"}
    assert (set(body) - {"extra"}, body["type"]) == ({"type", "code", "detail", "attr"}, "validation_error"), body
    return answer.status_code, body["detail"], body["attr"]


def configure(api: Api, **fields: Any) -> None:
    """Change settings of the project."""
    answer = api.client.patch(f"/api/projects/{api.team.id}/", fields, content_type="application/json")
    assert answer.status_code == 200, answer.content
