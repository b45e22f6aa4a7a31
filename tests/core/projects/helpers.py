from typing import Any

from tests.core.conftest import Cast
from tests.core.http import Caller, parsed

PREFIXES = ("/api/projects", "/api/environments", "/api/organizations/@current/projects")


def path_of(team: Any, prefix: str = PREFIXES[0]) -> str:
    return f"{prefix}/{team.pk}/"


def whole(cast: Cast) -> dict[str, Any]:
    found: dict[str, Any] = parsed(cast.as_owner().get(path_of(cast.team)))
    return found


def log_of(cast: Cast, caller: Caller | None = None, query: str = "?limit=100") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed((caller or cast.as_owner()).get(f"{path_of(cast.team)}activity/{query}"))[
        "results"
    ]
    return found


def changes_of(cast: Cast) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(entry["scope"], entry["detail"]["changes"]) for entry in log_of(cast)]
