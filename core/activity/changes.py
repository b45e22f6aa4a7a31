"""What differs between two states of a record, as the activity log tells it (access_and_organizations.md f1)."""

from collections.abc import Mapping
from typing import Any


def changes_between(scope: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one change per field of `after` whose value is another than in `before`, in the order of `after`.

    The action is `created` where there was nothing (null), `deleted` where nothing is left, else `changed`.
    """
    changes = []
    for field, now in after.items():
        was = before.get(field)
        if _same(was, now):
            continue
        action = "created" if was is None else "deleted" if now is None else "changed"
        changes.append({"type": scope, "action": action, "field": field, "before": was, "after": now})
    return changes


def _same(was: object, now: object) -> bool:
    """Compare as JSON does: `true` is not 1, at any depth."""
    if type(was) is not type(now):
        return False
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(_same(was[key], now[key]) for key in was)
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(map(_same, was, now))
    return was == now
