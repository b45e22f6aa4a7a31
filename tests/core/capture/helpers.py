from typing import Any

import orjson
import zstandard

from core.outbox.models import OutboxRows
from core.persons.models import Person
from core.tenancy.models import Team
from tests.support.contract import CheckedClient


def rows(table: str) -> list[dict[str, Any]]:
    """Everything that waits for ClickHouse, in order."""
    found: list[dict[str, Any]] = []
    for waiting in OutboxRows.objects.filter(table=table).order_by("id"):
        lines = zstandard.decompress(bytes(waiting.payload)).splitlines()
        found.extend(orjson.loads(line) for line in lines)
    return found


def event_names() -> list[str]:
    return [row["event"] for row in rows("events")]


def properties_of(distinct_id: str) -> dict[str, Any]:
    person = Person.unscoped.get(distinct_id_rows__distinct_id=distinct_id)
    return {key: value for key, value in person.properties.items() if key != "$creator_event_uuid"}


def batch_of(team: Team, *events: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"api_key": team.api_token, "batch": list(events), **more}


def post(path: str, document: Any, *, content_type: str = "application/json", **headers: Any) -> Any:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return CheckedClient(raise_request_exception=False).generic(
        "POST", path, body, content_type=content_type, **headers
    )


def assert_accepted(response: Any) -> None:
    assert (response.status_code, response.content) == (200, b'{"status":1}')
