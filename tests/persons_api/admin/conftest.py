"""An operator, and a browser that they signed in with."""

from typing import Any

import pytest
from django.test import Client

from core.tenancy.models import User
from tests.core.conftest import Cast
from tests.persons_api.admin.helpers import PASSWORD, QuickHasher


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = [f"{QuickHasher.__module__}.QuickHasher"]


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("operator@example.org", PASSWORD)


@pytest.fixture
def admin(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def secret(cast: Cast) -> str:
    """The value of a key of the cast's owner, whose hash no page may show."""
    return cast.owner_key
