"""Effect and answer are one transaction: both or neither, once, whoever else is at it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpResponse

from core.activity.models import ActivityLog
from core.idempotency.models import IdempotentAnswer
from core.idempotency.services import answer_find, keyed_request
from core.outbox.models import OutboxRows
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.http import problem
from tests.core.idempotency.conftest import ingest, keyed_of
from tests.support.at_once import wait_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)


def in_threads(jobs: list[Callable[[], HttpResponse]]) -> list[HttpResponse]:
    """Run all jobs at once, each on its own connection."""
    answers: list[HttpResponse] = []
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], HttpResponse]) -> None:
        try:
            barrier.wait(60)
            answers.append(job())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == len(jobs)
    return answers


def test_many_at_once_have_one_effect(team: Team) -> None:
    person, keyed = ingest(team), keyed_of(team)
    before = ActivityLog.objects.count()
    path, body = f"{person.pk}/update_property/", {"key": "n", "value": 1}
    answers = in_threads([lambda: keyed("POST", path, body) for _ in range(8)])
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert sum(answer.status_code == 200 and "Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert ActivityLog.objects.count() == before + 1
    assert IdempotentAnswer.objects.count() == 1


def test_a_second_request_while_the_first_runs_is_told_to_wait(team: Team) -> None:
    person, keyed = ingest(team), keyed_of(team)
    path, body = f"{person.pk}/update_property/", {"key": "n", "value": 1}
    answers: list[HttpResponse] = []

    def first() -> None:
        try:
            answers.append(keyed("POST", path, body))
        finally:
            connection.close()

    with transaction.atomic():
        # The first request claims its key and then waits for this lock.
        Person.objects.for_team(team.id).select_for_update().get(pk=person.pk)
        thread = threading.Thread(target=first)
        thread.start()
        wait_for_a_lock(seconds=60)
        second = keyed("POST", path, body)
    thread.join(60)
    assert problem(second)[:3] == (409, "server_error", "idempotency_key_in_use")
    assert int(second.headers["Retry-After"]) >= 1
    assert answers[0].status_code == 200
    assert keyed("POST", path, body).headers["Idempotent-Replayed"] == "true"


def test_no_effect_without_an_answer(team: Team) -> None:
    person, keyed = ingest(team, set={"n": 0}), keyed_of(team)
    before = (ActivityLog.objects.count(), OutboxRows.objects.count())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_idempotentanswer ADD CONSTRAINT broken CHECK (status = 0) NOT VALID")
    try:
        response = keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE core_idempotentanswer DROP CONSTRAINT broken")
    assert response.status_code == 500
    assert keyed.properties(person)["n"] == 0
    assert (ActivityLog.objects.count(), OutboxRows.objects.count()) == before
    assert keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1}).status_code == 200
    assert keyed.properties(person)["n"] == 1


def test_no_answer_without_its_effect(team: Team) -> None:
    person, keyed = ingest(team, set={"n": 0}), keyed_of(team)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_outboxrows ADD CONSTRAINT broken CHECK (row_count = 0) NOT VALID")
    try:
        response = keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE core_outboxrows DROP CONSTRAINT broken")
    assert response.status_code == 500
    assert IdempotentAnswer.objects.count() == 0
    assert keyed.properties(person)["n"] == 0


def test_a_connection_that_dies_before_the_commit_leaves_nothing(team: Team) -> None:
    person, keyed = ingest(team, set={"n": 0}), keyed_of(team)
    path, body = f"{person.pk}/update_property/", {"key": "n", "value": 1}
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$"
        )
        cursor.execute("CREATE TRIGGER die AFTER INSERT ON core_idempotentanswer EXECUTE FUNCTION die()")
    answers = in_threads([lambda: keyed("POST", path, body)])
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER die ON core_idempotentanswer")
        cursor.execute("DROP FUNCTION die()")
    assert answers[0].status_code == 503
    assert IdempotentAnswer.objects.count() == 0
    assert keyed.properties(person)["n"] == 0
    assert keyed("POST", path, body).status_code == 200
    assert keyed.properties(person)["n"] == 1


def test_the_key_is_claimed_until_the_transaction_ends(team: Team) -> None:
    asked = keyed_request(caller="key:1", key="k", parts=(b"POST",))
    found: list[Any] = []

    def other() -> None:
        try:
            with transaction.atomic():
                found.append(answer_find(asked))
        except Exception as error:  # noqa: BLE001 looked at below
            found.append(type(error).__name__)
        finally:
            connection.close()

    for inside in (True, False):
        thread = threading.Thread(target=other)
        with transaction.atomic():
            assert answer_find(asked) is None
            if inside:
                thread.start()
                thread.join(60)
        if not inside:
            thread.start()
            thread.join(60)
    assert found == ["KeyInUseError", None]
