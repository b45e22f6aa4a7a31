import psycopg
import pytest
from django.db import DataError, ProgrammingError, connection

from core.persons.models import Person
from core.tenancy.managers import UnscopedQueryError
from core.tenancy.models import random_token
from core.tenancy.statements import fetch_row, fetch_rows
from tests.core.conftest import Cast
from tests.core.http import problem


@pytest.mark.django_db
def test_rows_come_as_tuples() -> None:
    assert fetch_rows("SELECT n, %s FROM generate_series(1, 2) n", ["x"]) == [(1, "x"), (2, "x")]
    assert fetch_row("SELECT 1 WHERE false") is None


@pytest.mark.django_db
def test_errors_are_djangos() -> None:
    with pytest.raises(ProgrammingError):
        fetch_rows("SELECT * FROM there_is_no_such_table")


@pytest.mark.django_db
def test_nul_is_a_data_error() -> None:
    with pytest.raises(DataError):
        fetch_rows("SELECT %s::text", ["\x00"])


@pytest.mark.django_db(transaction=True)
def test_dead_connection_is_replaced_once() -> None:
    (pid,) = fetch_row("SELECT pg_backend_pid()") or (0,)
    settings = connection.settings_dict
    with psycopg.connect(
        dbname=settings["NAME"], user=settings["USER"], host=settings["HOST"], port=settings["PORT"] or None,
        password=settings["PASSWORD"] or None, autocommit=True,
    ) as other:  # fmt: skip
        other.execute("SELECT pg_terminate_backend(%s, 60000)", [pid])
    (new_pid,) = fetch_row("SELECT pg_backend_pid()") or (0,)
    assert new_pid != pid


def test_nul_in_parameters_is_a_400(cast: Cast) -> None:
    for query in ("token=%00", "personal_api_key=%00"):
        response = cast.as_owner().get(f"/api/projects/@current/persons/?{query}")
        assert response.status_code in {200, 400, 401}
        if response.status_code != 200:
            problem(response)


@pytest.mark.django_db
def test_query_without_a_team_is_refused() -> None:
    with pytest.raises(UnscopedQueryError):
        Person.objects.filter(pk=1)
    assert list(Person.objects.for_team(1)) == []


def test_tokens_are_base62_with_their_prefix() -> None:
    tokens = {random_token("phx_", 35) for _ in range(50)}
    assert len(tokens) == 50
    assert all(token.startswith("phx_") and token[4:].isalnum() and 44 <= len(token) <= 52 for token in tokens)
