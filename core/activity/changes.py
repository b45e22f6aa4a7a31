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
        if was == now and type(was) is type(now):
            continue
        action = "created" if was is None else "deleted" if now is None else "changed"
        changes.append({"type": scope, "action": action, "field": field, "before": was, "after": now})
    return changes
