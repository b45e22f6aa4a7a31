"""The SQL that one of our requests runs, taken from a real request, so that the bare function runs the same."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.world import World

ANY_ID = UUID("11111111-2222-4333-8444-555555555555")
ANY_OFFSET = 1_234_567
"""Values that stand for what a request names: the bare function puts each request's own there."""

type Statement = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """All statements of one request in order. The last reads the persons; those before it are about the key."""

    statements: list[Statement]


def record(world: World, path: str) -> Recording:
    """Run one request through Django's handler in this process and keep its SQL with parameters."""
    from django.db import connection
    from django.test import Client

    statements: list[Statement] = []

    def listen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: ANN401, FBT001 Django's
        statements.append((sql, params))
        return execute(sql, params, many, context)

    client = Client(headers={"authorization": f"Bearer {world.key}"})
    client.get(path)  # the first use of a key writes the date of its last use
    with connection.execute_wrapper(listen):
        status = client.get(path).status_code
    if status not in {200, 404} or not statements:
        message = f"{path} answered {status} with {len(statements)} statements"
        raise RuntimeError(message)
    connection.close()
    return Recording(statements)


def save(recordings: dict[str, Recording], path: Path) -> None:
    """Write for the bare server."""
    path.write_bytes(pickle.dumps(recordings))


def load(path: Path) -> dict[str, Recording]:
    """Read in the bare server."""
    found: dict[str, Recording] = pickle.loads(path.read_bytes())  # noqa: S301 our own file of a moment ago
    return found


def filled(parameters: Any, wanted_id: str, offset: int) -> Any:  # noqa: ANN401 as given to the driver
    """Put a request's own values into recorded parameters."""
    if isinstance(parameters, dict):
        return {name: _own(value, wanted_id, offset) for name, value in parameters.items()}
    return [_own(value, wanted_id, offset) for value in parameters]


def _own(value: Any, wanted_id: str, offset: int) -> Any:  # noqa: ANN401 as given to the driver
    if value == ANY_ID:
        return UUID(wanted_id)
    return offset if value == ANY_OFFSET else value
