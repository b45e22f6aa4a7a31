"""Asks the worker to deliver soon."""

import time

from core.outbox.services import Nudger

_nudger = Nudger(topic="deliveries", task="tasks.plugins.plugins_deliver")


def deliveries_nudge() -> None:
    """Ask the worker to deliver what waits; lost without harm, since that also runs by the clock."""
    _nudger.nudge()


def deliveries_nudge_paced() -> None:
    """Wait until the last run began a while ago, then let the next nudge through: what waits is about to be read.

    Under load events so go in larger portions, which share a connection and a transaction.
    """
    time.sleep(_nudger.wait())
    _nudger.forget()
