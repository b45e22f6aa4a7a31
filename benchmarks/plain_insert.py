"""One client of the floor of capture: the same rows as JSON text, 100 per INSERT, a commit per statement."""

import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg

TEXT = 'INSERT INTO bench_plain_events (team_id, uuid, event, distinct_id, "timestamp", properties) VALUES '
MARKER = "@@@@@@@@@@@@"


def main() -> None:
    """Prepare the rows, say so, wait for the start, insert for some seconds, print how many."""
    bodies, seconds, number = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    batches = [_rows(body) for body in orjson.loads(bodies.read_bytes())]
    statement = TEXT + ", ".join(["(%s, %s, %s, %s, %s, %s)"] * len(batches[0]))
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        until, inserted = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            batch = batches[number % len(batches)]
            connection.execute(statement, [value for row in batch for value in row])
            inserted += len(batch)
            number += 4
    sys.stdout.write(f"{inserted}\n")


def _rows(body: str) -> list[tuple[Any, ...]]:
    found = []
    for event in orjson.loads(body.replace(MARKER, "0123456789ab"))["batch"]:
        properties = orjson.dumps(event["properties"]).decode()
        found.append((1, UUID(event["uuid"]), event["event"], event["distinct_id"], event["timestamp"], properties))
    return found


if __name__ == "__main__":
    main()
