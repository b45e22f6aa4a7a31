"""Asks the worker to calculate cohorts soon."""

from core.outbox.services import Nudger

_nudger = Nudger(topic="cohorts", task="tasks.cohorts.cohorts_calculate")


def cohorts_nudge() -> None:
    """Ask the worker to calculate what is due; lost without harm, since that also runs by the clock."""
    _nudger.nudge()


def cohorts_nudge_forget() -> None:
    """Let the next nudge through: what is due is about to be read."""
    _nudger.forget()
