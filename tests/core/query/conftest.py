"""The team, its owner's key, a stranger and a way to capture events, as the tests of persons have them."""

from tests.core.persons.conftest import api, capture, stranger, team

__all__ = ["api", "capture", "stranger", "team"]
