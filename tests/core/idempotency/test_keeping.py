"""How long answers are kept, and when they are emptied before."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from core.idempotency import services
from core.idempotency.models import IdempotentAnswer
from core.idempotency.services import KeptAnswer, answer_keep, answers_erase, answers_prune, keyed_request
from core.persons.models import Person
from core.tenancy.models import Team
from persons_api.celery import app
from tasks.idempotency import answers_prune as prune_task
from tests.core.http import parsed
from tests.core.idempotency.conftest import Keyed

pytestmark = pytest.mark.django_db


def make_older(by: timedelta) -> None:
    IdempotentAnswer.objects.update(created_at=F("created_at") - by)


def test_a_key_is_new_again_after_a_day(keyed: Keyed, person: Person) -> None:
    path, body = f"{person.pk}/", {"properties": {"plan": "pro"}}
    keyed("PATCH", path, body)
    make_older(timedelta(hours=23, minutes=59))
    assert keyed("PATCH", path, body).headers["Idempotent-Replayed"] == "true"
    make_older(timedelta(minutes=1))
    response = keyed("PATCH", path, {"properties": {"plan": "team"}})
    assert (response.status_code, "Idempotent-Replayed" in response.headers) == (200, False)
    assert keyed.properties(person)["plan"] == "team"
    assert IdempotentAnswer.objects.get().created_at > timezone.now() - timedelta(minutes=1)


def test_the_task_forgets_what_is_past_its_age(keyed: Keyed, person: Person) -> None:
    keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    make_older(timedelta(hours=25))
    keyed.with_key("young")("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    prune_task()
    assert IdempotentAnswer.objects.count() == 1


def test_pruning_takes_as_many_statements_as_it_needs(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PRUNED_AT_ONCE", 3)
    for number in range(8):
        asked = keyed_request(caller="key:1", key=str(number), parts=())
        answer_keep(asked, KeptAnswer(200, b"{}"), team_id=team.id)
    make_older(timedelta(hours=25))
    assert answers_prune() == 8
    assert not IdempotentAnswer.objects.exists()


def test_the_task_is_on_the_timetable() -> None:
    app.loader.import_default_modules()
    entry = app.conf.beat_schedule["idempotent-answers-prune"]
    assert entry["task"] in app.tasks


def test_erased_answers_keep_their_key_taken(keyed: Keyed, person: Person, team: Team) -> None:
    path, body = f"{person.pk}/", {"properties": {"email": "ann@example.org"}}
    keyed("PATCH", path, body)
    assert answers_erase(team_id=team.id + 1, until=timezone.now()) == 0
    assert answers_erase(team_id=team.id, until=timezone.now() - timedelta(hours=1)) == 0
    assert answers_erase(team_id=team.id, until=timezone.now()) == 1
    assert answers_erase(team_id=team.id, until=timezone.now()) == 0
    assert bytes(IdempotentAnswer.objects.get().body) == b""
    again = keyed("PATCH", path, body)
    assert again.status_code == 409
    assert parsed(again)["extra"] == {"reason": "erased"}


def test_no_text_of_a_request_is_kept(keyed: Keyed, person: Person) -> None:
    keyed.with_key("a-telling-key")("DELETE", f"{person.pk}/?delete_events=true")
    row = IdempotentAnswer.objects.get()
    kept = b"".join([bytes(row.caller_hash), bytes(row.key_hash), bytes(row.request_hash), bytes(row.body)])
    assert b"telling" not in kept
    assert len(kept) == 96
