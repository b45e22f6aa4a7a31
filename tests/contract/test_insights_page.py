"""docs/insights.md: what it shows is what the server answers."""

import importlib.util
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from core.outbox.services import outbox_drain
from core.persons.models import Person
from tests.core.persons.conftest import Api, api, capture, team

__all__ = ["api", "capture", "team"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

DOCS = Path(__file__).resolve().parents[2] / "docs"


def shop() -> Any:
    spec = importlib.util.spec_from_file_location("insights_shop", DOCS / "insights" / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = shop().EXAMPLES


def shown(name: str) -> Any:
    page = (DOCS / "insights.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->.*?```json\n(.*?)\n```\n<!-- /{name} -->", page, re.DOTALL)
    assert found is not None, name
    return orjson.loads(found[1])


def told(answer: Any) -> list[Any]:
    """Return what does not depend on the project's id: keys of the answer, and of each person what is said of it.

    Persons of equal rank are in the order of their UUIDs, which differ from project to project.
    """
    if "result" in answer:
        people = [(one["person"], one["appearances"]) for one in answer["result"]]
    else:
        people = [(one, one["value_at_data_point"]) for one in answer["results"][0]["people"]]
    return [
        sorted(answer),
        sorted((person["distinct_ids"], sorted(person), person["created_at"], value) for person, value in people),
    ]


def test_the_page_shows_what_the_server_answers(api: Api, capture: Callable[..., Person]) -> None:
    for who, when, event, properties in shop().EVENTS:
        capture(who, event, timestamp=datetime.fromisoformat(when), properties=properties)
    outbox_drain()
    for name, (method, path, params) in EXAMPLES.items():
        if method == "POST":
            answer = api.send("POST", f"/{path}/", params)
        else:
            texts = {key: v if isinstance(v, str) else orjson.dumps(v).decode() for key, v in params.items()}
            answer = api.get(f"/{path}/", **texts)
        assert answer.status_code == 200, answer.content
        assert told(answer.json()) == told(shown(name)), name
