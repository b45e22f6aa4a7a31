"""One process that asks ClickHouse for histories, ours or bare, a few at a time, on request over its input."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import django
import orjson
from django.conf import settings

AT = datetime(2026, 6, 1, tzinfo=UTC)
BARE = (
    "SELECT `set`, set_once, unset FROM person_property_updates WHERE team_id = {team_id:Int64} "
    "AND distinct_id IN {ids:Array(String)} AND timestamp <= {at:DateTime64(6, 'UTC')} ORDER BY timestamp, ingested_at"
)
"""The rows of one person's history and nothing else: no fold, no ties, no generations."""


def main() -> None:
    """Answer each line with the milliseconds of each repetition."""
    django.setup()
    from events import history

    url = settings.CLICKHOUSE_URL
    bare = clickhouse_connect.get_client(dsn=url, autogenerate_session_id=False, compress=False)
    for line in sys.stdin.buffer:
        asked: dict[str, Any] = orjson.loads(line)
        team, ids = asked["team"], asked["ids"]
        samples, operations = [], 0
        before = peak_from_now()
        for number in range(asked["repeat"]):
            mine = ids[number % len(ids)]
            begin = time.perf_counter()
            if asked["who"] == "ours":
                pairs = [(text, 0) for text in mine]
                answer = history.properties_at(team_id=team, ids=pairs, at=AT, include_set_once=asked["once"])
                operations = answer.operations_applied
            else:
                parameters = {"team_id": team, "ids": mine, "at": "2026-06-01 00:00:00.000000"}
                operations = len(bare.query(BARE, parameters=parameters).result_rows)
            samples.append((time.perf_counter() - begin) * 1000)
        answered = {"ms": samples, "operations": operations, "grown_bytes": peak_bytes() - before}
        sys.stdout.buffer.write(orjson.dumps(answered) + b"\n")
        sys.stdout.buffer.flush()


def peak_from_now() -> int:
    """Forget the peak so far; getrusage would tell that of the process that started this one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_bytes()


def peak_bytes() -> int:
    """Return the largest resident size since the last call of `peak_from_now`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
    main()
