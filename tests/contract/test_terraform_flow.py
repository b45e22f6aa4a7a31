"""The Terraform provider of PostHog, request by request: what it sends, and what its Go structs can decode.

Facts: clients.md, the client [TF]: no Accept header, a content type on every request, `next` followed by path and
query only, 404 on a read means that the object is gone, `created_by` of a role is a text or null.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from core.tenancy.models import Team, User
from tests.factories import make_key, make_team, make_user
from tests.support.contract import CheckedClient

pytestmark = pytest.mark.django_db

type Shape = dict[str, Any]

TEXT: tuple[type, ...] = (str,)
OPTIONAL_TEXT: tuple[type, ...] = (str, type(None))
SWITCH: tuple[type, ...] = (bool, type(None))
ROLE: Shape = {"id": TEXT, "name": TEXT, "created_at": TEXT, "created_by": OPTIONAL_TEXT}
USER: Shape = {"uuid": TEXT, "email": TEXT}
MEMBERSHIP: Shape = {"id": TEXT, "role_id": TEXT, "user": USER, "joined_at": TEXT}
MEMBER: Shape = {
    "id": TEXT, "user": {**USER, "first_name": TEXT, "last_name": TEXT, "is_email_verified": SWITCH},
}  # fmt: skip
PROJECT: Shape = {"id": (int,), "name": TEXT, "api_token": TEXT, "timezone": TEXT}
SETTINGS: Shape = {
    "id": (int,), "heatmaps_opt_in": SWITCH, "autocapture_exceptions_opt_in": SWITCH,
    "session_recording_opt_in": SWITCH, "surveys_opt_in": SWITCH, "cookieless_server_hash_mode": (int, type(None)),
    "autocapture_web_vitals_opt_in": SWITCH, "app_urls": (list, type(None)), "recording_domains": (list, type(None)),
}  # fmt: skip
ORGANIZATION: Shape = {"id": TEXT, "slug": TEXT, "name": TEXT}


class Provider:
    """The provider's HTTP layer with one key."""

    def __init__(self, key: str) -> None:
        self.client = CheckedClient(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {key}", "User-Agent": "posthog/terraform-provider; version: test"}

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = b"" if body is None else orjson.dumps(body)
        answer = self.client.generic(method, path, data, content_type="application/json", headers=self.headers)
        return answer.status_code, orjson.loads(answer.content) if answer.content else None

    def ok(self, method: str, path: str, body: Any = None, shape: Shape | None = None) -> Any:
        status, found = self(method, path, body)
        assert 200 <= status < 300, found
        if shape is not None:
            decode(found, shape)
        return found

    def pages(self, path: str) -> Iterator[Any]:
        address = path
        while address:
            page = self.ok("GET", address)
            yield from page["results"]
            following = urlsplit(page["next"] or "")
            address = f"{following.path}?{following.query}" if page["next"] else ""


def decode(found: Any, shape: Shape) -> None:
    """Fail as Go's decoder does: on a value of another type than the struct's."""
    for name, wanted in shape.items():
        if isinstance(wanted, dict):
            decode(found[name], wanted)
        else:
            assert isinstance(found[name], wanted), (name, found[name])


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


@pytest.fixture
def owner(team: Team) -> User:
    return make_user(team=team, email="owner@example.org")


@pytest.fixture
def mia(team: Team) -> User:
    return make_user(team=team, level=1, email="mia@example.org", first_name="Mia")


@pytest.fixture
def provider(owner: User) -> Provider:
    return Provider(make_key(owner, scopes=["organization:write", "project:write", "organization_member:read"]))


@pytest.fixture
def base(team: Team) -> str:
    return f"/api/organizations/{team.organization_id}"


def test_a_role_and_its_membership_live_and_die(provider: Provider, base: str, mia: User) -> None:
    made = provider.ok("POST", f"{base}/roles/", {"name": "Support"}, ROLE)
    path = f"{base}/roles/{made['id']}/"
    assert provider.ok("GET", path, shape=ROLE) == made
    renamed = provider.ok("PATCH", path, {"name": "Support tier 2"}, ROLE)
    assert renamed == {**made, "name": "Support tier 2"}

    membership = provider.ok("POST", f"{path}role_memberships/", {"user_uuid": str(mia.uuid)}, MEMBERSHIP)
    member_path = f"{path}role_memberships/{membership['id']}/"
    assert provider.ok("GET", member_path, shape=MEMBERSHIP) == membership
    assert (membership["role_id"], membership["user"]["email"]) == (made["id"], "mia@example.org")
    whole = provider.ok("GET", path, shape=ROLE)
    assert (whole["members"], whole["associated_flags"]) == ([membership], [])

    assert provider("DELETE", member_path) == (204, None)
    assert provider("GET", member_path)[0] == provider("DELETE", member_path)[0] == 404
    assert provider("DELETE", path) == (204, None)
    assert provider("GET", path)[0] == provider("DELETE", path)[0] == 404


def test_a_post_that_is_sent_again_is_refused_and_the_plan_still_finds_the_role(provider: Provider, base: str) -> None:
    """The provider resends POST bodies after a 5xx or a lost connection."""
    provider.ok("POST", f"{base}/roles/", {"name": "Support"}, ROLE)
    status, refused = provider("POST", f"{base}/roles/", {"name": "Support"})
    assert (status, refused["code"], refused["attr"]) == (400, "unique", "name")
    assert [role["name"] for role in provider.pages(f"{base}/roles/")] == ["Support"]


def test_data_sources_follow_next_through_all_pages(provider: Provider, base: str, mia: User) -> None:
    for number in range(5):
        provider.ok("POST", f"{base}/roles/", {"name": f"role {number}"}, ROLE)
    roles = list(provider.pages(f"{base}/roles/?limit=2"))
    assert [role["name"] for role in roles] == [f"role {number}" for number in range(5)]
    members = list(provider.pages(f"{base}/members/?limit=1"))
    organizations = list(provider.pages("/api/organizations/"))
    for found, shape in ((roles, ROLE), (members, MEMBER), (organizations, ORGANIZATION)):
        for one in found:
            decode(one, shape)
    assert {one["user"]["email"] for one in members} == {"owner@example.org", mia.email}
    assert provider.ok("GET", "/api/organizations/@current/", shape=ORGANIZATION)["id"] == organizations[0]["id"]


def test_a_project_lives_and_dies(provider: Provider, base: str, clickhouse: object) -> None:
    body = {"name": "Terraformed", "timezone": "Europe/Berlin"}
    made = provider.ok("POST", f"{base}/projects/", body, PROJECT)
    path = f"{base}/projects/{made['id']}/"
    assert {name: made[name] for name in body} == body
    assert provider.ok("GET", path, shape=PROJECT)["api_token"] == made["api_token"]
    body = {"name": "Renamed", "timezone": "UTC"}
    changed = provider.ok("PATCH", path, body, PROJECT)
    assert {name: changed[name] for name in ("id", "api_token", *body)} == {
        "id": made["id"], "api_token": made["api_token"], **body,
    }  # fmt: skip
    assert provider("DELETE", path)[0] == 204
    assert provider("GET", path)[0] == provider("DELETE", path)[0] == 404
    assert made["id"] not in [project["id"] for project in provider.pages(f"{base}/projects/")]


def test_project_settings_are_set_read_and_set_back(provider: Provider, team: Team) -> None:
    path = f"/api/environments/{team.pk}/"
    before = provider.ok("GET", path, shape=SETTINGS)
    wanted = {
        "heatmaps_opt_in": True,
        "autocapture_exceptions_opt_in": True,
        "session_recording_opt_in": True,
        "surveys_opt_in": True,
        "cookieless_server_hash_mode": 2,
        "autocapture_web_vitals_opt_in": False,
        "app_urls": ["https://shop.example.org"],
        "recording_domains": ["https://shop.example.org", "https://www.example.org"],
    }
    changed = provider.ok("PATCH", path, wanted, SETTINGS)
    assert {name: changed[name] for name in wanted} == wanted
    read = provider.ok("GET", path, shape=SETTINGS)
    assert {name: read[name] for name in wanted} == wanted
    assert {name: read[name] for name in set(read) - set(wanted) - {"updated_at"}} == {
        name: before[name] for name in set(before) - set(wanted) - {"updated_at"}
    }
    restored = provider.ok("PATCH", path, {name: before[name] for name in wanted}, SETTINGS)
    assert {name: restored[name] for name in wanted} == {name: before[name] for name in wanted}
