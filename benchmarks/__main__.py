"""`python -m benchmarks`: every speed promise of this project, measured in one run against its limit."""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks import front
from benchmarks.report import LATEST, Measure, write
from benchmarks.world import World, world

MEASURES = (
    "reads",
    "access",
    "rate_limits",
    "persons",
    "history",
    "looking_back",
    "values",
    "capture",
    "deletion",
    "insights",
    "plugin_logs",
    "query",
    "front",
)
"""Modules of this package, in the order in which they run; the names of `--only`."""


def main() -> int:
    """Run, print a line per measure, write benchmarks/latest.json."""
    reader = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    reader.add_argument("--only", choices=MEASURES, action="append", help="only this part; may be given again")
    reader.add_argument("--quick", action="store_true", help="small sizes: a smoke test, its ratios mean little")
    given = reader.parse_args()
    started = time.time()
    found: list[Measure] = []
    with world(quick=given.quick) as made:
        for name in given.only or MEASURES:
            for one in _measures(name, made):
                found.append(one)
                print(one.line(), flush=True)
    write(found, started=started, quick=given.quick)
    short = [one.name for one in found if not one.holds]
    print(f"# {len(found)} measures in {time.time() - started:.0f} s, {len(short)} short; {LATEST}", file=sys.stderr)
    return 0


def _measures(name: str, made: World) -> Iterator[Measure]:
    if name == "front":
        for found in front.measure(made.environment["CLICKHOUSE_URL"]):
            yield Measure("clickhouse_front_added", found["ratio"], found["limit"], at_least=False, unit="ms")
        return
    module = importlib.import_module(f"benchmarks.{name}")
    measure: Callable[[World], Iterator[Measure]] = module.measure
    yield from measure(made)


if __name__ == "__main__":
    sys.exit(main())
