"""What a measure is, how it is printed, and benchmarks/latest.json."""

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

LATEST = Path(__file__).with_name("latest.json")
PACKAGES = ("granian", "django", "djangorestframework", "psycopg", "orjson", "celery", "clickhouse-connect", "chdb")


@dataclass(frozen=True, slots=True)
class Measure:
    """One number against its limit; without a limit it is for information."""

    name: str
    value: float
    limit: float | None = None
    at_least: bool = True
    unit: str = "x"
    raw: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Tell whether the limit is kept."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """Return `name ratio limit holds`."""
        value = f"{self.value:.3f}" if abs(self.value) < 100 else f"{self.value:.0f}"
        unit = "" if self.unit == "x" else self.unit
        if self.limit is None:
            return f"{self.name} {value}{unit} - for information"
        sign = ">=" if self.at_least else "<="
        return f"{self.name} {value}{unit} {sign}{self.limit:g}{unit} {'holds' if self.holds else 'FALLS SHORT'}"


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """Return count, p50, p90, p99, largest and mean."""
    if not samples:
        return {"count": 0}
    ordered = sorted(samples)
    last = len(ordered) - 1
    found = {f"p{rank}": round(ordered[round(last * rank / 100)], 4) for rank in (50, 90, 99)}
    return {"count": len(ordered), **found, "max": round(ordered[-1], 4), "mean": round(statistics.fmean(ordered), 4)}


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of the rounds' ratios: each round is measured within seconds, so noise hits both sides."""
    return statistics.median(one / other for one, other in pairs if other)


def write(measures: Sequence[Measure], *, started: float, quick: bool) -> None:
    """Write everything for later reading."""
    document = {
        "written_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - started, 1),
        "quick": quick,
        "machine": machine(),
        "measures": [{**asdict(measure), "holds": measure.holds} for measure in measures],
    }
    LATEST.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "cpu": _first_value("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": _first_value("/proc/meminfo", "MemTotal"),
        "kernel": platform.platform(),
        "python": platform.python_version(),
        "load_average_at_end": os.getloadavg(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _first_value(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
