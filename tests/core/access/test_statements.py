"""What a request costs before its view runs: who is calling, about which tenant, with which rights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from core.api.views import ApiMixin
from tests.core.conftest import Cast

MOST = 3
"""Statements: with a session those of the session, of its user, and of the rights; a key needs the last alone."""

PATHS = (
    "/api/projects/{team}/persons/{uuid}/",
    "/api/environments/{team}/persons/{uuid}/",
    "/api/projects/{team}/persons/",
    "/api/organizations/{organization}/roles/",
    "/api/organizations/@current/roles/",
    "/api/projects/{team}/",
    "/api/environments/{team}/",
    "/api/projects/@current/",
    "/api/organizations/{organization}/projects/{team}/",
    "/api/organizations/{organization}/members/",
    "/api/users/@me/",
)


@contextmanager
def statements_before_the_view(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect what is run from the entry of the request until its checks are over and the handler comes."""
    run: list[str] = []
    before: list[str] = []
    initial = ApiMixin.initial

    def listen(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        run.append(sql)
        return execute(sql, params, many, context)

    def and_note(self: Any, *args: Any, **kwargs: Any) -> None:
        initial(self, *args, **kwargs)
        before.extend(run)

    with monkeypatch.context() as patched, connection.execute_wrapper(listen):
        patched.setattr(ApiMixin, "initial", and_note)
        yield before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("by_key", [True, False], ids=["key", "session"])
def test_few_statements_run_before_the_view(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str, *, by_key: bool
) -> None:
    client = Client(headers={"Authorization": f"Bearer {cast.owner_key}"}) if by_key else Client()
    if not by_key:
        client.force_login(cast.owner)
    address = path.format(team=cast.team.pk, organization=cast.organization.pk, uuid=uuid4())
    client.get(address)  # the first use of a key writes the date of its last use
    with statements_before_the_view(monkeypatch) as before:
        status = client.get(address).status_code
    assert status == (404 if "{uuid}" in path else 200)
    assert 1 <= len(before) <= (1 if by_key else MOST), before


@pytest.mark.parametrize("path", PATHS)
def test_the_first_use_of_a_key_writes_one_statement_more(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client = Client(headers={"Authorization": f"Bearer {cast.owner_key}"})
    with statements_before_the_view(monkeypatch) as before:
        client.get(path.format(team=cast.team.pk, organization=cast.organization.pk, uuid=uuid4()))
    assert len(before) == 2, before


def test_a_stranger_costs_no_more(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(headers={"Authorization": f"Bearer {cast.stranger_key}"})
    run: list[str] = []

    def listen(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        run.append(sql)
        return execute(sql, params, many, context)

    path = f"/api/projects/{cast.team.pk}/persons/"
    client.get(path)
    with connection.execute_wrapper(listen):
        assert client.get(path).status_code == 403
    assert len(run) == 1
