"""Series that do not say their kind: PostHog tells it by their members."""

from typing import Any

import pytest

from tests.core.insights.asking import Capture
from tests.core.persons.conftest import Api
from tests.core.query.asking import DAY, HOUR, NOON, answer, refusal

pytestmark = pytest.mark.usefixtures("clickhouse")
MAY = {"dateRange": {"date_from": "2024-05-01", "date_to": "2024-05-04"}}
BARE: list[dict[str, Any]] = [{"event": "a"}, {"kind": None, "event": "a"}]


@pytest.fixture(autouse=True)
def action(api: Api, capture: Capture) -> int:
    """Ann does a twice and b once; an action takes b."""
    for hours, name in enumerate(("a", "a", "b")):
        capture("ann", name, timestamp=NOON - DAY + HOUR * hours)
    made = api.client.post(
        f"/api/projects/{api.team.id}/actions/", {"name": "Any b", "steps": [{"event": "b"}]},
        content_type="application/json",
    )  # fmt: skip
    found: int = made.json()["id"]
    return found


def counted(api: Api, *nodes: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = answer(api, "TrendsQuery", series=list(nodes), **MAY)["results"]
    return [(one["action"]["type"], one["action"]["id"], one["label"], one["count"]) for one in found]


def test_of_trends(api: Api, action: int) -> None:
    assert counted(api, *BARE) == [("events", "a", "a", 2)] * 2
    assert counted(api, {}, {"math": "dau"}) == [("events", None, "All events", 3), ("events", None, "All events", 1)]
    assert counted(api, {"id": action}) == [("actions", action, "Any b", 1)]
    stamped = {"kind": "EventsNode", "event": "a"}, {"kind": "ActionsNode", "id": action}
    assert counted(api, {"event": "a"}, {"id": action}) == counted(api, *stamped)


@pytest.mark.parametrize("kind", ["LifecycleQuery", "StickinessQuery"])
@pytest.mark.parametrize("node", BARE)
def test_of_others(api: Api, kind: str, node: dict[str, Any]) -> None:
    said = answer(api, kind, series=[{"kind": "EventsNode", "event": "a"}], **MAY)["results"]
    assert answer(api, kind, series=[node], **MAY)["results"] == said
    assert any(one["count"] for one in said)


def test_of_funnels_and_their_exclusions(api: Api, capture: Capture, action: int) -> None:
    steps = [{"event": "a"}, {"id": action}]
    assert [one["count"] for one in answer(api, "FunnelsQuery", series=steps, **MAY)["results"]] == [1, 1]
    for hours, name in enumerate(("a", "x", "b")):
        capture("ben", name, timestamp=NOON - DAY + HOUR * hours)
    excluded = {"exclusions": [{"event": "x", "funnelFromStep": 0, "funnelToStep": 1}]}
    assert [one["count"] for one in answer(api, "FunnelsQuery", series=steps, **MAY)["results"]] == [2, 2]
    found = answer(api, "FunnelsQuery", series=steps, funnelsFilter=excluded, **MAY)
    assert [one["count"] for one in found["results"]] == [1, 1]
    point = {"source": {"kind": "FunnelsQuery", "series": steps, **MAY}, "funnelStep": 2}
    assert len(answer(api, "FunnelsActorsQuery", **point)["results"]) == 2


@pytest.mark.parametrize(
    ("node", "part"),
    [
        ({"id": "7"}, "Extra inputs"), ({"id": True}, "Extra inputs"), ({"id": 7, "event": "a"}, "Extra inputs"),
        ({"id": 10**9}, "1000000000"), ({"event": 7}, "string"), ({"kind": 7}, "string"), ({"kind": ""}, "EventsNode"),
        ({"table_name": "x"}, "Extra inputs"),
    ],
)  # fmt: skip
def test_what_no_kind_takes(api: Api, node: dict[str, Any], part: str) -> None:
    status, _, detail, attr = refusal(api, "TrendsQuery", series=[node], **MAY)
    assert status == 400
    assert part in detail
    assert str(attr).startswith("query__series")
