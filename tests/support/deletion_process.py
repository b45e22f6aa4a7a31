"""`manage.py run_deletions` in a process that kills itself with -9 at a chosen moment.

    python -m tests.support.deletion_process [step NAME | call NUMBER | statement NUMBER]

`step NAME` dies before that step begins, `call NUMBER` before that statement to ClickHouse is sent, `statement
NUMBER` before that statement to either store.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import django


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_before(step: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(step)
    def dying(work: Any) -> None:
        die()

    return dying


def count_calls(number: int, *, postgres: bool = False) -> None:
    from django.db import connection

    from events import client

    seen = 0

    def statement(execute: Callable[..., Any], *arguments: Any) -> Any:
        return counted(execute)(*arguments)

    if postgres:
        connection.execute_wrappers.append(statement)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def inner(*args: Any, **options: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number:
                die()
            return call(*args, **options)

        return inner

    for name in ("query", "command", "insert_json_rows"):
        setattr(client, name, counted(getattr(client, name)))


def main() -> None:
    django.setup()
    from django.core.management import execute_from_command_line

    from core.deletions import job

    match sys.argv[1:]:
        case ["step", name]:
            job.STEPS = tuple(dies_before(step) if step.__name__ == name else step for step in job.STEPS)
        case ["call", number]:
            count_calls(int(number))
        case ["statement", number]:
            count_calls(int(number), postgres=True)
    execute_from_command_line(["manage.py", "run_deletions"])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
    main()
