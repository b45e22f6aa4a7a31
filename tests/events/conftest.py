import itertools
import secrets

import pytest

_numbers = itertools.count(secrets.randbelow(2**40))


@pytest.fixture
def team_id() -> int:
    return next(_numbers)
