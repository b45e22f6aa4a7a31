"""Asks the worker to fill demo projects soon."""

from core.outbox.services import Nudger

_nudger = Nudger(topic="demo", task="tasks.demo.demo_generate")


def demo_nudge() -> None:
    """Ask the worker to fill the projects that wait; lost without harm, since that also runs by the clock."""
    _nudger.nudge()


def demo_nudge_forget() -> None:
    """Let the next nudge through: the projects that wait are about to be read."""
    _nudger.forget()
