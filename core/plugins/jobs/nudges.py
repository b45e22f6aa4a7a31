"""Asks the worker to run jobs soon."""

from core.outbox.services import Nudger

_nudger = Nudger(topic="plugin_jobs", task="tasks.plugins.plugin_jobs_run")


def jobs_nudge() -> None:
    """Ask the worker to run what is due; lost without harm, since that also runs by the clock."""
    _nudger.nudge()


def jobs_nudge_forget() -> None:
    """Let the next nudge through: what is due is about to be read."""
    _nudger.forget()
