"""One process that runs the deletion job once and tells how long it took and how far it grew."""

import os
import sys
import time

import django
import orjson

from benchmarks.history_worker import peak_bytes, peak_from_now


def main() -> None:
    """Run and print one line of JSON."""
    django.setup()
    from core.deletions.queue import requests_waiting
    from core.persons.erasing import deletions_run
    from events import client

    # Connections and code are loaded once per process, whatever it does.
    requests_waiting()
    client.query("SELECT 1")
    before = peak_from_now()
    began = time.perf_counter()
    results = deletions_run()
    answer = {
        "seconds": time.perf_counter() - began,
        "grown_bytes": peak_bytes() - before,
        "verified": sum(result.verified for result in results),
        "found": results[0].found,
    }
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "persons_api.settings")
    main()
