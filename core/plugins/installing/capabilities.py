"""What a plugin can do, told from its code by parsing it in a process that may take only so much time and memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import orjson

METHODS: Final = (
    "setupPlugin",
    "teardownPlugin",
    "onEvent",
    "onAction",
    "onSnapshot",
    "exportEvents",
    "processEvent",
    "composeWebhook",
    "getSettings",
)
"""The functions of plugins that PostHog knows, or knew, in the order of their listing."""
SCHEDULED: Final = ("runEveryMinute", "runEveryHour", "runEveryDay")
_IMPLIED: Final = {"processEventBatch": "processEvent", "exportEvents": "onEvent"}
"""What PostHog makes of functions that a plugin has."""
SECONDS: Final = 10
MAX_JOBS: Final = 200
MAX_JOB_NAME: Final = 200
_PROGRAM: Final = Path(__file__).with_name("exports.py")


class UnparsableError(ValueError):
    """The code cannot be parsed within the limits."""


def capabilities_of(source: str) -> tuple[dict[str, list[str]], bool]:
    """Return `methods`, `jobs` and `scheduled_tasks`, each only where there are any, and whether the code is whole.

    Code with errors of syntax tells what can be made out. Raises UnparsableError.
    """
    found = _exports(source)
    names = set(found["names"])
    names |= {implied for name, implied in _IMPLIED.items() if name in names}
    listed = {
        "methods": [name for name in METHODS if name in names],
        "jobs": [name for name in found["jobs"] if 0 < len(name) <= MAX_JOB_NAME and name.isprintable()][:MAX_JOBS],
        "scheduled_tasks": [name for name in SCHEDULED if name in names],
    }
    return {kind: those for kind, those in listed.items() if those}, not found["broken"]


def _exports(source: str) -> dict[str, Any]:
    if not source.strip():
        return {"names": [], "jobs": [], "broken": False}
    try:
        # Isolated, and without this process's environment: the text may be made to break the parser.
        done = subprocess.run(  # noqa: S603 our own program
            [sys.executable, "-I", str(_PROGRAM)],
            input=source.encode(),
            capture_output=True,
            env={},
            timeout=SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise UnparsableError from None
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found
