"""Rate limits over HTTP: who counts, in what, and what callers are told."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import REGISTRY

from core.access.models import PersonalAPIKey, hash_key_value
from core.routes import routes
from core.users.services import key_roll
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.idempotency.conftest import ingest
from tests.factories import make_key, make_team, make_user
from tests.support.contract import document

pytestmark = pytest.mark.django_db

ME = "/api/users/@me/"
DEFAULTS = {
    "burst": "480/minute", "sustained": "4800/hour",
    "clickhouse_burst": "240/minute", "clickhouse_sustained": "1200/hour",
}  # fmt: skip
DEFAULT_POLICY = '"burst";q=480;w=60, "sustained";q=4800;w=3600'
CLICKHOUSE_POLICY = '"clickhouse_burst";q=240;w=60, "clickhouse_sustained";q=1200;w=3600'
LIMIT_HEADERS = ("RateLimit-Policy", "RateLimit", "Retry-After")


def told(response: HttpResponse) -> dict[str, tuple[int, int]]:
    """Read `RateLimit` as a structured field: what is left of each limit, and the seconds until it grows."""
    text = response.headers["RateLimit"]
    item = r'"([a-z_]+)";r=(0|[1-9][0-9]*);t=(0|[1-9][0-9]*)'
    assert re.fullmatch(f"{item}(, {item})*", text), text
    return {name: (int(left), int(grows)) for name, left, grows in re.findall(item, text)}


def untold(response: HttpResponse) -> bool:
    return not set(LIMIT_HEADERS) & set(response.headers)


def test_an_answer_tells_the_limits_and_how_they_stand(cast: Cast, limit: Any) -> None:
    limit(**DEFAULTS)
    first, second = (cast.as_owner().get(ME) for _ in range(2))
    assert first.headers["RateLimit-Policy"] == DEFAULT_POLICY
    assert first.headers["RateLimit"] == '"burst";r=479;t=60, "sustained";r=4799;t=3600'
    assert {name: left for name, (left, _) in told(second).items()} == {"burst": 478, "sustained": 4798}
    assert "Retry-After" not in first.headers


def test_reads_of_persons_count_in_the_limits_of_clickhouse_and_nothing_else(cast: Cast, limit: Any) -> None:
    limit(**DEFAULTS)
    caller, persons = cast.as_owner(), f"/api/projects/{cast.team.id}/persons/"
    ingest(cast.team)
    reads = [caller.get(persons), caller.get(f"{persons}activity/"), caller("HEAD", persons)]
    reads += [caller("POST", f"{persons}batch_by_distinct_ids/", {"distinct_ids": ["ann"]})]
    assert [one.status_code for one in reads] == [200] * 4
    assert {one.headers["RateLimit-Policy"] for one in reads} == {CLICKHOUSE_POLICY}
    write = caller("POST", f"{persons}reset_person_distinct_id/", {"distinct_id": "nobody"})
    assert write.headers["RateLimit-Policy"] == DEFAULT_POLICY
    assert told(write)["burst"][0] == 479
    assert caller("OPTIONS", persons).headers["RateLimit-Policy"] == DEFAULT_POLICY


def test_a_refused_request_is_told_when_to_come_back(cast: Cast, limit: Any) -> None:
    limit(burst="2/minute", sustained="100/hour")
    caller = cast.as_owner()
    caller.get(ME)
    caller.get(ME)
    response = caller.get(ME)
    wait = int(response.headers["Retry-After"])
    assert 50 < wait <= 60
    detail = f"Request was throttled. Expected available in {wait} seconds."
    assert problem(response) == (429, "throttled_error", "throttled", detail, None)
    assert response.headers["RateLimit-Policy"] == '"burst";q=2;w=60, "sustained";q=100;w=3600'
    standings = told(response)
    assert standings["burst"] == (0, wait)
    assert standings["sustained"][0] == 98
    assert response.headers["Content-Type"] == "application/json"


def test_who_waits_as_told_passes(cast: Cast, limit: Any) -> None:
    limit(burst="1/second")
    caller = cast.as_owner()
    assert caller.get(ME).status_code == 200
    # On a busy machine a second may be over before the next request.
    refused = next(found for _ in range(100) if (found := caller.get(ME)).status_code != 200)
    assert parsed(refused)["detail"] == "Request was throttled. Expected available in 1 second."
    assert refused.headers["Retry-After"] == "1"
    time.sleep(1)
    assert caller.get(ME).status_code == 200


def test_requests_refused_by_one_limit_use_up_no_other(cast: Cast, limit: Any) -> None:
    limit(burst="1/minute", sustained="3/hour")
    caller = cast.as_owner()
    caller.get(ME)
    assert {told(caller.get(ME))["sustained"][0] for _ in range(5)} == {2}


def test_the_longest_wait_counts(cast: Cast, limit: Any) -> None:
    limit(burst="1/minute", sustained="1/hour")
    cast.as_owner().get(ME)
    assert 3500 < int(cast.as_owner().get(ME).headers["Retry-After"]) <= 3600


def test_every_answer_to_an_allowed_caller_counts(cast: Cast, limit: Any) -> None:
    limit(burst="100/minute", clickhouse_burst="100/minute")
    caller, persons = cast.as_owner(), f"/api/projects/{cast.team.id}/persons/"
    answers = [
        (404, "GET", f"{persons}999999/", None),
        (400, "GET", f"{persons}?properties=[", None),
        (406, "GET", ME, None),
        (405, "POST", persons, {}),
        (400, "PATCH", ME, b"{"),
        (415, "PATCH", ME, b"x"),
    ]
    for status, method, path, body in answers:
        kind = {"content_type": "text/plain"} if status == 415 else {}
        accept = {"headers": {"Accept": "image/png"}} if status == 406 else {}
        response = caller(method, path, body, **kind, **accept)
        assert response.status_code == status, (method, path)
        # Whether a form is acceptable is found out before who calls (a4 of the access specification).
        assert untold(response) is (status == 406), (method, path)
    assert told(caller.get(persons))["clickhouse_burst"][0] == 97
    assert told(caller.get(ME))["burst"][0] == 96


def test_refused_callers_use_up_no_quota_and_are_told_nothing(cast: Cast, limit: Any) -> None:
    limit(burst="1/minute", clickhouse_burst="1/minute")
    narrow = Caller(make_key(cast.owner, scopes=["person:read"]))
    persons = f"/api/projects/{cast.team.id}/persons/"
    for caller, method, path, status in (
        (Caller(), "GET", ME, 401),
        (Caller("phx_wrong"), "GET", ME, 401),
        (narrow, "POST", f"{persons}reset_person_distinct_id/", 403),
        (narrow, "GET", f"/api/projects/{cast.outside_team.id}/persons/", 403),
        (narrow, "GET", "/api/projects/999999/persons/", 404),
    ):
        for _ in range(2):
            response = caller(method, path)
            assert response.status_code == status, path
            assert untold(response), path
    assert narrow.get(persons).status_code == 200


def test_each_key_has_its_own_quota_shared_by_all_projects(cast: Cast, limit: Any) -> None:
    limit(clickhouse_burst="2/minute")
    one, other = cast.as_owner(), Caller(make_key(cast.owner))
    for team in (cast.team, cast.other_team):
        assert one.get(f"/api/projects/{team.id}/persons/").status_code == 200
    assert one.get(f"/api/environments/{cast.team.id}/persons/").status_code == 429
    assert other.get(f"/api/projects/{cast.team.id}/persons/").status_code == 200


def test_the_place_of_the_key_does_not_matter(cast: Cast, limit: Any) -> None:
    limit(burst="2/minute")
    assert cast.as_owner().get(ME).status_code == 200
    assert Caller().get(f"{ME}?personal_api_key={cast.owner_key}").status_code == 200
    assert cast.as_owner().get(ME).status_code == 429


def test_rolling_a_key_does_not_empty_its_windows(cast: Cast, limit: Any) -> None:
    limit(burst="2/minute")
    assert cast.as_owner().get(ME).status_code == 200
    _, value = key_roll(key=PersonalAPIKey.objects.get(user=cast.owner))
    assert cast.as_owner().get(ME).status_code == 401
    assert Caller(value).get(ME).status_code == 200
    assert Caller(value).get(ME).status_code == 429


def test_the_store_holds_neither_key_nor_hash(cast: Cast, limit: Any, valkey: Any) -> None:
    limit(**DEFAULTS)
    cast.as_owner().get(ME)
    held = b"\n".join(valkey.keys("*")).decode()
    assert len(valkey.keys("*")) == 2
    assert cast.owner_key not in held
    assert hash_key_value(cast.owner_key).removeprefix("sha256$") not in held


def test_sessions_are_not_counted(cast: Cast, limit: Any, valkey: Any) -> None:
    limit(burst="1/minute")
    caller = Caller()
    caller.client.force_login(cast.owner)
    for _ in range(3):
        response = caller.get(ME)
        assert response.status_code == 200
        assert untold(response)
    assert not valkey.keys("*limit*")


@pytest.mark.parametrize("path", ["/api/", "/api/schema/?format=json"])
def test_callers_without_credential_are_counted_by_address(path: str, limit: Any) -> None:
    limit(burst="1/minute")
    assert Caller().get(path).headers["RateLimit-Policy"] == '"burst";q=1;w=60'
    assert Caller().get(path).status_code == 429
    assert Caller().get(path, REMOTE_ADDR="192.0.2.1").status_code == 200


def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(limit: Any, settings: Any) -> None:
    limit(burst="1/minute")
    assert Caller().get("/api/", HTTP_X_FORWARDED_FOR="192.0.2.1").status_code == 200
    assert Caller().get("/api/", HTTP_X_FORWARDED_FOR="192.0.2.2").status_code == 429
    settings.TRUST_FORWARDED_HEADERS = True
    for header, status in (
        ("192.0.2.2", 200),
        ("made-up, 192.0.2.2", 429),
        ("192.0.2.2:4711", 429),
        ("192.0.2.2, 192.0.2.3", 200),
        ("[2001:db8::1]:80", 200),
        ("2001:db8::ffff", 429),
        ("2001:db8:0:1::1", 200),
        ("::ffff:192.0.2.3", 429),
        ("no address", 429),
    ):
        assert Caller().get("/api/", HTTP_X_FORWARDED_FOR=header).status_code == status, header


def test_nothing_is_counted_or_told_while_limits_are_off(cast: Cast, limit: Any, settings: Any, valkey: Any) -> None:
    limit(burst="1/minute")
    settings.RATE_LIMIT_ENABLED = False
    for _ in range(3):
        assert untold(cast.as_owner().get(ME))
    assert not valkey.keys("*limit*")


def test_a_limit_that_is_none_is_not_told(cast: Cast, limit: Any, valkey: Any) -> None:
    limit(sustained="5/hour")
    assert cast.as_owner().get(ME).headers["RateLimit-Policy"] == '"sustained";q=5;w=3600'
    limit()
    assert untold(cast.as_owner().get(ME))
    assert len(valkey.keys("*limit*")) == 1


def test_capture_is_not_limited(cast: Cast, limit: Any) -> None:
    limit(burst="1/minute")
    for _ in range(3):
        body = {"event": "x", "distinct_id": "u", "api_key": cast.team.api_token}
        response = Caller()("POST", "/i/v0/e/", body)
        assert response.status_code == 200
        assert untold(response)


def test_answers_without_a_body_of_json_are_told_too(cast: Cast, limit: Any) -> None:
    limit(**DEFAULTS)
    caller, person = cast.as_owner(), ingest(cast.team)
    url = f"/api/projects/{cast.team.id}/persons/"
    found = caller.get(f"{url}{person.pk}/")
    again = caller.get(f"{url}{person.pk}/", headers={"If-None-Match": found.headers["ETag"]})
    page = caller.get(f"{url}{person.pk}/", headers={"Accept": "text/html"})
    gone = caller("DELETE", f"{url}{person.pk}/")
    assert (again.status_code, page.status_code, gone.status_code) == (304, 200, 204)
    for response in (again, page):
        assert response.headers["RateLimit-Policy"] == CLICKHOUSE_POLICY
    assert gone.headers["RateLimit-Policy"] == DEFAULT_POLICY


@pytest.mark.django_db(transaction=True)
def test_streamed_answers_are_told_too(limit: Any) -> None:
    limit(clickhouse_burst="1/minute")
    team = make_team()
    ingest(team)
    caller = Caller(make_key(make_user(team=team)))
    table = caller.get(f"/api/projects/{team.id}/persons.csv")
    assert table.streaming
    assert b"".join(table).count(b"\r\n") == 2
    assert table.headers["RateLimit"] == '"clickhouse_burst";r=0;t=60'
    refused = caller.get(f"/api/projects/{team.id}/persons.csv")
    assert problem(refused)[0] == 429, "as JSON, whatever table was asked for"


def test_a_throttled_request_is_not_the_answer_of_its_idempotency_key(cast: Cast, limit: Any, valkey: Any) -> None:
    limit(burst="1/minute")
    person = ingest(cast.team)
    url = f"/api/projects/{cast.team.id}/persons/{person.pk}/update_property/"

    def send() -> HttpResponse:
        return cast.as_owner()("POST", url, {"key": "plan", "value": "pro"}, headers={"Idempotency-Key": "k"})

    cast.as_owner().get(ME)
    assert send().status_code == 429
    valkey.flushdb()
    first = send()
    assert first.status_code == 200
    assert "Idempotent-Replayed" not in first.headers
    valkey.flushdb()
    replayed = send()
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert replayed.headers["RateLimit"] == '"burst";r=0;t=60'
    assert send().status_code == 429, "an answer given again counts as any other"


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_pass_beyond_the_limit(limit: Any) -> None:
    limit(burst="10/minute", sustained="1000/hour")
    key = make_key(make_user(team=make_team()))

    def send(_: int) -> int:
        try:
            return Caller(key).get(ME).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(send, range(40)))
    assert (statuses.count(200), statuses.count(429)) == (10, 30)


def test_refusals_are_counted_by_limit(cast: Cast, limit: Any) -> None:
    def refused(name: str) -> float:
        return REGISTRY.get_sample_value("persons_api_rate_limit_refused_total", {"limit": name}) or 0

    limit(burst="1/minute", sustained="5/hour")
    before = refused("burst"), refused("sustained")
    for _ in range(3):
        cast.as_owner().get(ME)
    assert (refused("burst"), refused("sustained")) == (before[0] + 2, before[1])


def test_every_method_of_every_route_counts_in_limits_that_have_a_rate(settings: Any) -> None:
    limited = [name for route, _, _ in routes() for names in route.limits.values() for name in names]
    assert set(limited) == {"clickhouse_burst", "clickhouse_sustained"}
    assert set(limited) <= set(settings.RATE_LIMITS)
    reading = {route.template for route, _, _ in routes() if route.limits}
    assert all("/persons/" in template or "/query/" in template for template in reading), reading


def test_every_operation_declares_the_refusal_and_its_headers() -> None:
    operations = [
        (path, method, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/")
        and not path.startswith("/api/feature_flag/")
        and method in {"get", "post", "put", "patch", "delete"}
    ]
    assert len(operations) > 50
    for path, method, operation in operations:
        declared = operation["responses"]["429"]
        assert set(declared["headers"]) == set(LIMIT_HEADERS), (method, path)
        assert declared["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
    assert set(document()["components"]["headers"]) == set(LIMIT_HEADERS)


def test_a_key_used_lately_needs_no_statement_more(cast: Cast, limit: Any, django_assert_num_queries: Any) -> None:
    PersonalAPIKey.objects.update(last_used_at=timezone.now())
    cast.as_owner().get(f"/api/projects/{cast.team.id}/persons/")
    counts = []
    for rates in ({}, DEFAULTS):
        limit(**rates)
        with django_assert_num_queries(2) as seen:
            cast.as_owner().get(f"/api/projects/{cast.team.id}/persons/")
        counts.append(len(seen))
    assert counts[0] == counts[1]
