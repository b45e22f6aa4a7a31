"""A request with an Idempotency-Key that is sent again."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.activity.models import ActivityLog
from core.idempotency.models import IdempotentAnswer
from core.outbox.models import OutboxRows
from core.persons.models import Person
from core.tenancy.models import Team
from tests.core.http import Caller, parsed, problem
from tests.core.idempotency.conftest import Keyed, ingest, keyed_of
from tests.factories import make_key, make_user
from tests.support.contract import CheckedClient

pytestmark = pytest.mark.django_db


def seen_effects(team: Team) -> tuple[int, int]:
    return ActivityLog.objects.filter(team_id=team.id).count(), OutboxRows.objects.count()


def test_a_repeat_gets_the_same_bytes_and_has_no_effect(keyed: Keyed, person: Person) -> None:
    first = keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    assert first.status_code == 200
    assert "Idempotent-Replayed" not in first.headers
    keyed.with_key("other")("PATCH", f"{person.pk}/", {"properties": {"plan": "team"}})
    before = seen_effects(keyed.team)
    again = keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    for name in ("Content-Type", "Allow", "Vary", "Content-Length"):
        assert again.headers[name] == first.headers[name]
    assert keyed.properties(person)["plan"] == "team"
    assert seen_effects(keyed.team) == before


def test_a_delete_answers_204_again_though_the_person_is_gone(keyed: Keyed, person: Person) -> None:
    assert keyed("DELETE", f"{person.pk}/").status_code == 204
    again = keyed("DELETE", f"{person.pk}/")
    assert (again.status_code, again.content, again.headers.get("Content-Type")) == (204, b"", None)
    assert keyed.with_key(None)("DELETE", f"{person.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("PATCH", "", {"properties": {"plan": "team"}}, {}),
        ("PUT", "", {"properties": {"plan": "pro"}}, {}),
        ("PATCH", "?format=json", {"properties": {"plan": "pro"}}, {}),
        ("POST", "update_property/", {"properties": {"plan": "pro"}}, {}),
        ("PATCH", "", {"properties": {"plan": "pro"}}, {"Content-Type": "text/json"}),
    ],
)
def test_another_request_under_the_key_is_refused(
    keyed: Keyed, person: Person, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    response = keyed.caller(
        method,
        f"/api/projects/{keyed.team.id}/persons/{person.pk}/{path}",
        body,
        headers={"Idempotency-Key": "key-1"},
        **({"content_type": headers["Content-Type"]} if headers else {}),
    )
    assert problem(response) == (
        422,
        "invalid_request",
        "idempotency_key_reused",
        "This Idempotency-Key was used for another request. Use a new key for a new request.",
        "Idempotency-Key",
    )
    assert keyed.properties(person)["plan"] == "pro"


def test_two_callers_never_meet(keyed: Keyed, person: Person) -> None:
    other = keyed_of(keyed.team)
    keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    response = other("PATCH", f"{person.pk}/", {"properties": {"plan": "team"}})
    assert response.status_code == 200
    assert "Idempotent-Replayed" not in response.headers
    assert keyed.properties(person)["plan"] == "team"


def test_two_keys_of_one_user_are_two_callers(team: Team, person: Person) -> None:
    user = make_user(team=team)
    for plan in ("pro", "team"):
        response = Keyed(team, Caller(make_key(user)))("PATCH", f"{person.pk}/", {"properties": {"plan": plan}})
        assert response.status_code == 200
        assert parsed(response)["properties"]["plan"] == plan


def test_sessions_have_keys_of_their_own(team: Team, person: Person) -> None:
    user = make_user(team=team)
    browser = CheckedClient()
    browser.force_login(user)
    url = f"/api/projects/{team.id}/persons/{person.pk}/delete_property/"
    for replayed in (None, "true"):
        response = browser.post(
            url, {"$unset": "plan"}, content_type="application/json", headers={"Idempotency-Key": "k"}
        )
        assert (response.status_code, response.headers.get("Idempotent-Replayed")) == (200, replayed)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb", "a\x7fb"])
def test_a_key_that_is_none_is_refused(keyed: Keyed, person: Person, key: str, answers: Callable[[], int]) -> None:
    response = keyed.with_key(key)("DELETE", f"{person.pk}/")
    assert problem(response) == (
        400,
        "validation_error",
        "invalid_input",
        "The key must be 1 to 255 printable ASCII characters.",
        "Idempotency-Key",
    )
    assert answers() == 0


@pytest.mark.parametrize("key", ["x", "x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a b~!"])
def test_any_printable_key_will_do(keyed: Keyed, person: Person, key: str) -> None:
    keyed = keyed.with_key(key)
    first = keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1})
    again = keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1})
    assert first.status_code == again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_ignore_the_header(keyed: Keyed, person: Person, method: str, answers: Callable[[], int]) -> None:
    for key in ("key-1", "", "x" * 300):
        response = keyed.with_key(key)(method, f"{person.pk}/")
        assert response.status_code == 200
    assert answers() == 0


@pytest.mark.parametrize("key", ["key-1", "", "x" * 300])
def test_a_post_that_only_reads_ignores_the_header(
    keyed: Keyed, person: Person, key: str, answers: Callable[[], int]
) -> None:
    for plan in ("free", "pro"):
        response = keyed.with_key(key)("POST", "batch_by_uuids/", {"uuids": [str(person.uuid)]})
        assert parsed(response)["results"][str(person.uuid)]["properties"]["plan"] == plan
        keyed.with_key(None)("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    assert answers() == 0


def test_what_failed_is_not_kept_and_can_be_tried_again(
    keyed: Keyed, person: Person, answers: Callable[[], int]
) -> None:
    assert keyed("PATCH", f"{person.pk}/", {"properties": "no object"}).status_code == 400
    assert keyed("DELETE", "999999999/").status_code == 404
    assert keyed.caller("PATCH", "/api/projects/999999/persons/1/", {}).status_code in {403, 404}
    assert Caller("phx_wrong")("DELETE", f"/api/projects/{keyed.team.id}/persons/1/").status_code == 401
    assert keyed("POST", "").status_code == 405
    assert answers() == 0
    assert keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}}).status_code == 200
    assert answers() == 1


def test_a_caller_who_lost_access_gets_no_copy(keyed: Keyed, person: Person) -> None:
    keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}})
    from core.tenancy.models import OrganizationMembership

    OrganizationMembership.objects.all().delete()
    assert keyed("PATCH", f"{person.pk}/", {"properties": {"plan": "pro"}}).status_code in {403, 404}


def test_the_key_in_the_body_may_authenticate(team: Team, person: Person) -> None:
    value = make_key(make_user(team=team))
    anonymous = Keyed(team, Caller())
    for replayed in (None, "true"):
        response = anonymous(
            "POST", f"{person.pk}/update_property/", {"key": "n", "value": 1, "personal_api_key": value}
        )
        assert (response.status_code, response.headers.get("Idempotent-Replayed")) == (200, replayed)


def test_forms_and_multipart_can_be_repeated(team: Team, keyed: Keyed, person: Person) -> None:
    url = f"/api/projects/{team.id}/persons/{person.pk}/update_property/"
    headers = {"Authorization": f"Bearer {keyed.caller.key}"}
    for name, extra in (("form", {"content_type": "application/x-www-form-urlencoded", "data": "key=n&value=1"}),
                        ("multipart", {"data": {"key": "n", "value": "2"}})):  # fmt: skip
        for replayed in (None, "true"):
            response: Any = CheckedClient().post(url, headers={**headers, "Idempotency-Key": name}, **extra)
            assert (response.status_code, response.headers.get("Idempotent-Replayed")) == (200, replayed)


def test_a_page_for_people_is_answered_as_json(keyed: Keyed, person: Person) -> None:
    response = keyed("POST", f"{person.pk}/update_property/", {"key": "n", "value": 1}, Accept="text/html")
    assert response.headers["Content-Type"] == "application/json"


def test_an_answer_with_a_secret_is_not_kept_but_the_effect_is_single(cast: Any) -> None:
    from core.access.models import PersonalAPIKey

    browser = CheckedClient()
    browser.force_login(cast.owner)
    body = {"label": "robot", "scopes": ["person:read"]}
    url, headers = "/api/personal_api_keys/", {"Idempotency-Key": "k"}
    first = browser.post(url, body, content_type="application/json", headers=headers)
    assert first.status_code == 201
    value = first.json()["value"]
    again = browser.post(url, body, content_type="application/json", headers=headers)
    assert again.status_code == 409
    assert (again.json()["code"], again.json()["extra"]) == ("idempotent_answer_withheld", {"reason": "secret"})
    assert PersonalAPIKey.objects.filter(label="robot").count() == 1
    kept = IdempotentAnswer.objects.get()
    assert bytes(kept.body) == b""
    assert value not in str(kept.headers)


def test_rolling_a_key_twice_rolls_it_once(cast: Any) -> None:
    from core.access.models import PersonalAPIKey

    key = PersonalAPIKey.objects.filter(user=cast.owner).get()
    browser = CheckedClient()
    browser.force_login(cast.owner)
    url = f"/api/personal_api_keys/{key.pk}/roll/"
    assert browser.post(url, headers={"Idempotency-Key": "k"}).status_code == 200
    rolled = PersonalAPIKey.objects.get(pk=key.pk).secure_value
    assert browser.post(url, headers={"Idempotency-Key": "k"}).status_code == 409
    assert PersonalAPIKey.objects.get(pk=key.pk).secure_value == rolled


def test_an_answer_over_the_limit_is_not_kept_but_the_effect_is_single(keyed: Keyed, team: Team) -> None:
    # The size of properties is limited, the number and length of distinct ids of a person is not.
    person = ingest(team)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_persondistinctid (team_id, person_id, distinct_id, version, generation)"
            " SELECT %s, %s, n || repeat('x', 150), 0, 0 FROM generate_series(1, 8000) AS n",
            [team.id, person.pk],
        )
    first = keyed("PATCH", f"{person.pk}/", {"properties": {"n": 1}})
    assert (first.status_code, len(first.content) > 1024 * 1024) == (200, True)
    keyed.with_key(None)("PATCH", f"{person.pk}/", {"properties": {"n": 2}})
    again = keyed("PATCH", f"{person.pk}/", {"properties": {"n": 1}})
    assert again.status_code == 409
    assert parsed(again)["extra"] == {"reason": "large"}
    assert keyed.properties(person)["n"] == 2


def test_requests_without_the_header_run_no_other_statements(keyed: Keyed, person: Person) -> None:
    plain = keyed.with_key(None)
    plain("PATCH", f"{person.pk}/", {"properties": {"n": 0}})
    with CaptureQueriesContext(
        connection,
    ) as without:
        plain("PATCH", f"{person.pk}/", {"properties": {"n": 1}})
    assert not any("idempotent" in query["sql"] or "advisory" in query["sql"] for query in without.captured_queries)
    with CaptureQueriesContext(connection) as within:
        keyed("PATCH", f"{person.pk}/", {"properties": {"n": 2}})
    # Lock, look, hold the project, keep; and a savepoint, because this test runs in a transaction.
    assert len(within) - len(without) <= 6
