"""`ETag` and `If-None-Match` on the retrieval of a person."""

import pytest

from core.api.conditional import etag_of
from core.tenancy.models import Team
from tests.core.http import Caller
from tests.core.idempotency.conftest import ingest
from tests.factories import make_key, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def caller(team: Team) -> Caller:
    return Caller(make_key(make_user(team=team)))


@pytest.fixture
def url(team: Team) -> str:
    return f"/api/projects/{team.id}/persons/{ingest(team).pk}/"


def test_the_tag_is_that_of_the_body(caller: Caller, url: str) -> None:
    response = caller.get(url)
    assert response.headers["ETag"] == etag_of(response.content)
    assert response.headers["ETag"].startswith('"')
    assert response.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', 'W/"a","b" , W/{}', "*", " * "])
def test_a_caller_who_has_it_is_not_sent_it(caller: Caller, url: str, method: str, form: str) -> None:
    full = caller.get(url)
    response = caller(method, url, headers={"If-None-Match": form.format(full.headers["ETag"])})
    assert (response.status_code, response.content) == (304, b"")
    for name in ("ETag", "Cache-Control", "Vary"):
        assert response.headers[name] == full.headers[name]
    assert "Content-Type" not in response.headers
    assert "Content-Length" not in response.headers


@pytest.mark.parametrize("given", ['"other"', "", "nonsense", '"*"', 'W/"', "{unquoted}"])
def test_another_tag_changes_nothing(caller: Caller, url: str, given: str) -> None:
    full = caller.get(url)
    given = given.replace("{unquoted}", full.headers["ETag"].strip('"'))
    response = caller.get(url, headers={"If-None-Match": given})
    assert (response.status_code, response.content) == (200, full.content)


def test_head_tells_the_same_tag(caller: Caller, url: str) -> None:
    head = caller("HEAD", url)
    assert (head.status_code, head.headers["ETag"]) == (200, caller.get(url).headers["ETag"])


def test_a_change_changes_the_tag(caller: Caller, url: str) -> None:
    before = caller.get(url).headers["ETag"]
    changed = caller("PATCH", url, {"properties": {"plan": "pro"}})
    assert "ETag" not in changed.headers
    response = caller.get(url, headers={"If-None-Match": before})
    assert response.status_code == 200
    assert response.headers["ETag"] != before


def test_there_is_no_304_for_what_is_not_there_or_not_for_the_caller(caller: Caller, team: Team, url: str) -> None:
    missing = f"/api/projects/{team.id}/persons/999999999/"
    assert caller.get(missing, headers={"If-None-Match": "*"}).status_code == 404
    assert Caller("phx_wrong").get(url, headers={"If-None-Match": "*"}).status_code == 401
    stranger = Caller(make_key(make_user(team=make_team())))
    assert stranger.get(url, headers={"If-None-Match": "*"}).status_code in {403, 404}


def test_each_form_of_a_person_has_its_own_tag(caller: Caller, url: str) -> None:
    table = caller.get(f"{url}?format=csv")
    assert table.headers["ETag"] == etag_of(table.content) != caller.get(url).headers["ETag"]
    assert table.headers["Cache-Control"] == "private, no-cache"
    response = caller.get(f"{url}?format=csv", headers={"If-None-Match": table.headers["ETag"]})
    assert (response.status_code, response.content) == (304, b"")


def test_lists_carry_no_tag(caller: Caller, team: Team) -> None:
    assert "ETag" not in caller.get(f"/api/projects/{team.id}/persons/").headers
