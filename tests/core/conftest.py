"""The fixed cast: an owner, a plain member, a stranger of another organization."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.core.http import Caller


@dataclass(frozen=True)
class Cast:
    """Who plays in most access tests."""

    organization: Any
    team: Any
    other_team: Any
    owner: Any
    member: Any
    outside: Any
    outside_team: Any
    stranger: Any
    owner_key: str
    member_key: str
    stranger_key: str

    def as_owner(self) -> Caller:
        return Caller(self.owner_key)

    def as_member(self) -> Caller:
        return Caller(self.member_key)

    def as_stranger(self) -> Caller:
        return Caller(self.stranger_key)


@pytest.fixture
def cast(db: None) -> Cast:
    from tests.factories import make_key, make_organization, make_team, make_user

    organization, outside = make_organization(name="Acme"), make_organization(name="Elsewhere")
    team, other_team = make_team(organization), make_team(organization, name="Second")
    outside_team = make_team(outside)
    owner = make_user(organization, team=team)
    member = make_user(organization, level=1, team=team)
    stranger = make_user(outside, team=outside_team)
    return Cast(
        organization, team, other_team, owner, member, outside, outside_team, stranger,
        make_key(owner), make_key(member), make_key(stranger),
    )  # fmt: skip
