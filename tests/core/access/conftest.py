"""Rate limits switched on, as small as a test wants them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.contract import document

type Limit = Callable[..., None]


@pytest.fixture
def limit(settings: Any, valkey: object) -> Limit:
    """Switch the limits on and say some of them; those not said let everything through."""
    # The first answer that is checked would make it, for longer than some windows last.
    document()

    def switch_on(**rates: str) -> None:
        settings.RATE_LIMIT_ENABLED = True
        settings.RATE_LIMITS = {**dict.fromkeys(settings.RATE_LIMITS, "none"), **rates}

    return switch_on
