"""Asks the worker to compile browser code soon."""

from core.outbox.services import Nudger

_nudger = Nudger(topic="plugin_compile", task="tasks.plugins.plugin_sources_compile")


def compile_nudge() -> None:
    """Ask the worker to compile what waits; lost without harm, since that also runs by the clock."""
    _nudger.nudge()


def compile_nudge_forget() -> None:
    """Let the next nudge through: what waits is about to be read."""
    _nudger.forget()
