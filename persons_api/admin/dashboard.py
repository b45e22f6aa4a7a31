"""The first page of the admin: is everything carried over, erased, calculated, and are the stores there?"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.timesince import timesince

from core.cohorts.lag import cohort_lag
from core.deletions.overview import LastRun, deletion_state
from core.outbox.queries import outbox_state
from core.tenancy.statements import time_limit
from events.errors import QueryTimeout
from persons_api.health import CHECKS

SECONDS: Final = 3
OUTBOX_LATE_SECONDS: Final = 300
COHORTS_LATE_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what, how much, and whether somebody should look."""

    name: str
    value: str
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Some figures under one title, with the list that tells more; `link` is a model of this admin."""

    title: str
    figures: tuple[Figure, ...]
    link: str = ""


def dashboard() -> tuple[Panel, ...]:
    """Ask Postgres for every panel, SECONDS per statement at most, and every store whether it answers."""
    panels = (
        ("Outbox to ClickHouse", _outbox, "outboxrows"),
        ("Deletion", _deletions, "deletionrequest"),
        ("Cohorts", _cohorts, ""),
    )
    return (*(_panel(*panel) for panel in panels), Panel("Stores", _stores()))


def _panel(title: str, figures: Callable[[], tuple[Figure, ...]], link: str) -> Panel:
    try:
        with time_limit(SECONDS):
            return Panel(title, figures(), link)
    except QueryTimeout:
        return Panel(title, (Figure("State", "not known: the statement took too long", alarming=True),), link)


def _outbox() -> tuple[Figure, ...]:
    state = outbox_state()
    late = state.oldest_at is not None and (timezone.now() - state.oldest_at).total_seconds() > OUTBOX_LATE_SECONDS
    return (
        Figure("Entries that wait", f"{state.entries:,}"),
        Figure("Rows that wait", f"{state.rows:,}"),
        Figure("Oldest", _since(state.oldest_at), alarming=late),
        Figure("Entries refused by ClickHouse", f"{state.refused_entries:,}", alarming=state.refused_entries > 0),
        Figure("Rows refused by ClickHouse", f"{state.refused_rows:,}", alarming=state.refused_rows > 0),
    )


def _deletions() -> tuple[Figure, ...]:
    state = deletion_state()
    return (
        Figure("Open requests", f"{state.open:,}"),
        Figure("Oldest", _since(state.oldest_at)),
        Figure("Not verified by a run", f"{state.tried:,}", alarming=state.tried > 0),
        *_last_run(state.last_run),
    )


def _last_run(run: LastRun | None) -> tuple[Figure, ...]:
    if run is None:
        return (Figure("Last run", "none yet"),)
    ended = (
        f"{run.verified:,} of {run.requests:,} verified" if run.finished_at else f"under way, after {run.step or '-'}"
    )
    return (
        Figure("Last run", f"began {_since(run.started_at)} ago"),
        Figure("Its outcome", run.last_error or ended, alarming=bool(run.last_error)),
    )


def _cohorts() -> tuple[Figure, ...]:
    lag = cohort_lag()
    return (
        Figure("Waiting to be calculated", f"{lag.waiting:,}"),
        Figure("Overdue by", f"{lag.seconds:,.0f} s", alarming=lag.seconds > COHORTS_LATE_SECONDS),
        Figure("Failing", f"{lag.failing:,}", alarming=lag.failing > 0),
    )


def _stores() -> tuple[Figure, ...]:
    answers = {name: check() for name, check in CHECKS.items()}
    return tuple(Figure(name, "answers" if there else "away", alarming=not there) for name, there in answers.items())


def _since(moment: datetime | None) -> str:
    return "-" if moment is None else timesince(moment)
