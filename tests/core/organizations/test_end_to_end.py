"""An organization from its making to its end, by the two people who use it: everything over HTTP."""

from io import StringIO
from types import ModuleType
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse

from core.outbox.services import outbox_drain
from core.tenancy.models import User
from tests.core.http import Caller, parsed, problem
from tests.factories import make_user
from tests.support.contract import CheckedClient

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"


class Browser:
    """A browser that has signed in with the form, and sends the CSRF token that it was given."""

    def __init__(self, user: User) -> None:
        self.client = CheckedClient(raise_request_exception=False, enforce_csrf_checks=True)
        assert self.client.get("/login/").status_code == 200
        form = {"username": user.email, "password": PASSWORD, "csrfmiddlewaretoken": self.token}
        assert self.client.post("/login/", form).status_code == 302

    @property
    def token(self) -> str:
        return self.client.cookies[settings.CSRF_COOKIE_NAME].value

    def __call__(self, method: str, path: str, body: Any = None) -> HttpResponse:
        response: HttpResponse = self.client.generic(  # type: ignore[assignment]  # Django's own
            method, path, orjson.dumps(body or {}), "application/json", headers={"X-CSRFToken": self.token}
        )
        return response


def done(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.content
    return parsed(response) if response.content else None


def capture(token: str, *people: str) -> HttpResponse:
    batch = [{"event": "page", "distinct_id": who, "uuid": str(uuid4()), "properties": {}} for who in people]
    return Caller()("POST", "/batch/", {"api_key": token, "batch": batch})


def new_key(browser: Browser, **restrictions: Any) -> Caller:
    wanted = {"label": "laptop", "scopes": ["*"], **restrictions}
    return Caller(done(browser("POST", "/api/personal_api_keys/", wanted), 201)["value"])


def fields_changed(entries: list[dict[str, Any]]) -> list[str]:
    return [change["field"] for entry in entries for change in entry["detail"]["changes"] or ()]


@pytest.fixture
def mia() -> Browser:
    """The owner, before she has anything."""
    return Browser(make_user(email="mia@example.org", password=PASSWORD))


@pytest.fixture
def acme(mia: Browser) -> str:
    """The path of the organization that the owner has made."""
    return f"/api/organizations/{done(mia('POST', '/api/organizations/', {'name': 'Acme'}), 201)['id']}"


@pytest.fixture
def lee(acme: str) -> Browser:
    """A plain member. Invitations are not over HTTP, so the membership is made by hand."""
    user = make_user(email="lee@example.org", password=PASSWORD)
    user.organization_memberships.create(organization_id=acme.rpartition("/")[2], level=1)
    return Browser(user)


def test_members_and_roles(mia: Browser, acme: str, lee: Browser) -> None:
    owner, member = new_key(mia), new_key(lee)
    found = {item["user"]["email"]: item for item in done(owner.get(f"{acme}/members/"))["results"]}
    assert {email: item["level"] for email, item in found.items()} == {"mia@example.org": 15, "lee@example.org": 1}
    uuid = found["lee@example.org"]["user"]["uuid"]

    refused = (
        403,
        "authentication_error",
        "permission_denied",
        "Your organization access level is insufficient.",
        None,
    )
    assert problem(member("POST", f"{acme}/roles/", {"name": "Support"})) == refused
    role = f"{acme}/roles/{done(owner('POST', f'{acme}/roles/', {'name': 'Support'}), 201)['id']}"
    assert problem(owner("POST", f"{acme}/roles/", {"name": "SUPPORT"}))[2] == "unique"
    done(owner("POST", f"{role}/role_memberships/", {"user_uuid": uuid}), 201)
    assert [seat["user"]["email"] for seat in done(member.get(f"{role}/"))["members"]] == ["lee@example.org"]

    assert done(owner("PATCH", f"{acme}/members/{uuid}/", {"level": 8}))["level"] == 8
    assert done(member("PATCH", f"{role}/", {"name": "Support tier 2"}))["name"] == "Support tier 2"
    assert problem(owner("DELETE", f"{acme}/members/@me/"))[0] == 400, "the last owner cannot leave"
    done(owner("DELETE", f"{acme}/members/{uuid}/"), 204)
    assert done(owner.get(f"{role}/"))["members"] == []
    assert problem(member.get(f"{acme}/roles/"))[0] == 403
    assert done(member.get("/api/users/@me/"))["organizations"] == []

    log = done(owner.get(f"{acme}/activity/?limit=100"))["results"]
    assert {(entry["scope"], entry["activity"]) for entry in log} >= {
        ("Role", "created"), ("Role", "updated"), ("OrganizationMembership", "updated"),
        ("OrganizationMembership", "deleted"), ("PersonalAPIKey", "created"),
    }  # fmt: skip
    assert "secure_value" not in orjson.dumps(log).decode()


def test_keys(mia: Browser, acme: str) -> None:
    first = done(mia.client.get("/api/projects/"))["results"][0]["id"]
    made = done(mia("POST", f"{acme}/projects/", {"name": "Shop"}), 201)
    wanted = {"label": "ci", "scopes": ["project:read", "person:read"], "scoped_teams": [made["id"]]}
    key = done(mia("POST", "/api/personal_api_keys/", wanted), 201)
    caller = Caller(key["value"])
    assert done(caller.get("/api/personal_api_keys/@current/"))["id"] == key["id"]
    assert done(caller.get(f"{acme}/projects/{made['id']}/"))["name"] == "Shop"
    assert [item["id"] for item in done(caller.get("/api/projects/"))["results"]] == [made["id"]]
    assert problem(caller.get(f"/api/projects/{first}/persons/"))[0] == 403
    refused = problem(caller("PATCH", f"/api/projects/{made['id']}/", {"name": "Mine"}))
    assert refused[3] == "API key missing required scope 'project:write'"

    done(mia("PATCH", f"/api/personal_api_keys/{key['id']}/", {"scopes": ["project:write"], "scoped_teams": []}))
    assert done(caller("PATCH", f"/api/projects/{first}/", {"name": "Mine"}))["name"] == "Mine"
    rolled = done(mia("POST", f"/api/personal_api_keys/{key['id']}/roll/"))
    assert problem(caller.get("/api/projects/"))[0] == 401
    assert Caller(rolled["value"]).get("/api/projects/").status_code == 200
    done(mia("DELETE", f"/api/personal_api_keys/{key['id']}/"), 204)
    assert problem(Caller(rolled["value"]).get("/api/projects/"))[0] == 401


def test_a_project_from_its_making_to_its_receipt(
    mia: Browser, acme: str, lee: Browser, clickhouse: ModuleType
) -> None:
    owner, member = new_key(mia), new_key(lee)
    project = done(owner("POST", f"{acme}/projects/", {"name": "Shop", "timezone": "Europe/Vienna"}), 201)
    path, persons = f"{acme}/projects/{project['id']}", f"/api/projects/{project['id']}/persons/"
    assert done(owner.get("/api/projects/@current/"))["id"] == project["id"], "who makes a project works with it"
    done(capture(project["api_token"], "ann", "bob"))
    assert done(member.get(persons + "?include_total"))["count"] == 2

    assert (
        problem(member("PATCH", f"{path}/reset_token/"))[3] == "You don't have sufficient permissions in the project."
    )
    done(capture(project["api_token"], "ann"))
    token = done(owner("PATCH", f"{path}/reset_token/"))["api_token"]
    assert token != project["api_token"]
    assert parsed(capture(project["api_token"], "eve"))["code"] == "invalid_api_key"
    done(capture(token, "carol"))
    assert {item["distinct_ids"][0] for item in done(member.get(persons))["results"]} == {"ann", "bob", "carol"}

    assert done(member("PATCH", f"{path}/", {"name": "Market", "week_start_day": 1}))["name"] == "Market"
    log = done(member.get(f"{path}/activity/"))["results"]
    assert set(fields_changed(log)) == {"name", "week_start_day", "api_token"}
    assert log[-1]["activity"] == "created"
    assert done(member.get(f"{path}/is_generating_demo_data/")) == {"is_generating_demo_data": False}

    assert problem(member("DELETE", f"{path}/"))[0] == 403
    done(owner("DELETE", f"{path}/"), 204)
    assert capture(token, "dave").status_code == 401
    assert problem(owner.get(f"{path}/"))[0] == problem(owner.get(persons))[0] == 404
    found = done(owner.get(f"{acme}/deleted_projects/{project['id']}/"))
    assert (found["name"], found["status"], found["receipt"]) == ("Market", "pending", None)
    receipt_tells_what_went(owner, acme, project["id"], clickhouse)


def receipt_tells_what_went(owner: Caller, acme: str, project_id: int, clickhouse: ModuleType) -> None:
    outbox_drain()
    count = "SELECT count() FROM events WHERE team_id = {team:Int64}"
    assert clickhouse.query(count, {"team": project_id}).rows == [(4,)]
    call_command("run_deletions", stdout=StringIO())
    assert clickhouse.query(count, {"team": project_id}).rows == [(0,)]
    found = done(owner.get(f"{acme}/deleted_projects/{project_id}/"))
    receipt = found["receipt"]
    assert (found["status"], receipt["project_id"], receipt["requested_by"]["email"]) == (
        "completed", project_id, "mia@example.org",
    )  # fmt: skip
    assert receipt["tables"]["events"] == {"found": 4, "removed": 4, "remaining": 0}
    assert receipt["tables"]["postgres.persons"]["removed"] == 3
    assert all(counts["remaining"] == 0 for counts in receipt["tables"].values())


@pytest.mark.usefixtures("clickhouse")
def test_the_end_of_an_organization(mia: Browser, acme: str, lee: Browser) -> None:
    owner, member = new_key(mia), new_key(lee)
    token = done(owner.get("/api/projects/@current/"))["api_token"]
    done(capture(token, "ann"))
    assert problem(member("DELETE", f"{acme}/"))[0] == 403
    done(owner("DELETE", f"{acme}/"), 204)
    assert capture(token, "ann").status_code == 401
    for path in (f"{acme}/", f"{acme}/members/", "/api/projects/"):
        assert problem(owner.get(path))[0] == 404
    assert done(owner.get("/api/users/@me/"))["organization"] is None
    call_command("run_deletions", stdout=StringIO())
    assert done(mia("POST", "/api/organizations/", {"name": "Acme"}), 201)["id"] not in acme
