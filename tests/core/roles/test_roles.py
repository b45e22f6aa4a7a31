"""The roles resource over HTTP: shapes, pages, changes, refusals."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.roles.models import Role, RoleMembership
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.core.roles.conftest import ENCODINGS, Roles
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db

KEYS = {
    "id", "name", "feature_flags_access_level", "created_at", "created_by", "created_by_user", "members",
    "associated_flags", "is_default",
}  # fmt: skip
BASIC = {
    "id", "uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified", "hedgehog_config",
    "role_at_organization",
}  # fmt: skip
TAKEN = (400, "validation_error", "unique", "There is already a role with this name.", "name")
MISSING = (404, "invalid_request", "not_found", "Not found.", None)
LOW_LEVEL = (
    403, "authentication_error", "permission_denied", "Your organization access level is insufficient.", None,
)  # fmt: skip


def test_a_created_role_has_exactly_the_keys_of_posthog(roles: Roles, cast: Cast) -> None:
    made = roles.make("Support tier 2")
    assert set(made) == KEYS
    assert set(made["created_by_user"]) == BASIC
    assert made["created_by_user"]["email"] == cast.owner.email
    assert {name: made[name] for name in KEYS - {"id", "created_at", "created_by_user"}} == {
        "name": "Support tier 2", "feature_flags_access_level": 37, "created_by": None, "members": [],
        "associated_flags": [], "is_default": False,
    }  # fmt: skip
    assert roles.read(made["id"]) == made
    assert roles.read()["results"] == [made]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_creates_and_changes_a_role(roles: Roles, encoding: str) -> None:
    body = {"name": "Eng", "feature_flags_access_level": 37}
    made = parsed(roles.send("POST", body=body, encoding=encoding))
    assert (made["name"], made["feature_flags_access_level"]) == ("Eng", 37)
    body = {"name": "Engineers", "feature_flags_access_level": 21}
    changed = roles.send("PUT", made["id"], body=body, encoding=encoding)
    assert (changed.status_code, parsed(changed)) == (200, {**made, **body})
    changed = roles.send("PATCH", made["id"], body={"feature_flags_access_level": 37}, encoding=encoding)
    assert (changed.status_code, parsed(changed)) == (200, {**made, "name": "Engineers"})


def test_the_list_is_oldest_first_with_links_and_ignores_what_it_does_not_know(roles: Roles) -> None:
    made = [roles.make(name) for name in ("c", "a", "b")]
    page = parsed(roles.caller.get(roles.path() + "?limit=2&name=a&ordering=name&offset=0"))
    assert set(page) == {"count", "next", "previous", "results"}
    assert (page["count"], page["results"], page["previous"]) == (3, made[:2], None)
    assert page["next"].startswith("http://testserver/")
    assert "name=a" in page["next"]
    second = parsed(roles.caller.get(page["next"]))
    assert (second["results"], second["next"]) == (made[2:], None)
    assert parsed(roles.caller.get(second["previous"]))["results"] == made[:2]
    for query in ("?limit=x&offset=-3", "?limit=0", f"?limit={10**30}&offset=1e3"):
        assert parsed(roles.caller.get(roles.path() + query))["results"] == made
    past = parsed(roles.caller.get(roles.path() + f"?offset={10**30}"))
    assert (past["count"], past["results"], past["next"]) == (3, [], None)


def test_roles_show_their_members_in_the_order_of_joining(roles: Roles, cast: Cast) -> None:
    first, second, empty = (roles.make(name) for name in ("first", "second", "empty"))
    memberships = [roles.join(first, cast.member), roles.join(first, cast.owner), roles.join(second, cast.member)]
    shown = {role["id"]: role["members"] for role in roles.read()["results"]}
    assert shown == {first["id"]: memberships[:2], second["id"]: memberships[2:], empty["id"]: []}
    assert roles.read(first["id"])["members"] == memberships[:2]


def test_a_page_with_very_many_members_ends_early_and_goes_on(
    roles: Roles, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.roles.queries.MAX_MEMBERS_OF_PAGE", 2)
    for name, members in (("a", 2), ("b", 0), ("c", 1), ("d", 2), ("e", 0)):
        role = roles.make(name)
        for user in (cast.owner, cast.member)[:members]:
            roles.join(role, user)
    pages = []
    address = roles.path() + "?limit=100"
    while address:
        page = parsed(roles.caller.get(address))
        pages.append([(role["name"], len(role["members"])) for role in page["results"]])
        assert page["count"] == 5
        address = page["next"]
    assert pages == [[("a", 2), ("b", 0)], [("c", 1)], [("d", 2), ("e", 0)]]


def test_a_role_larger_than_a_page_may_be_is_shown_whole(
    roles: Roles, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.roles.queries.MAX_MEMBERS_OF_PAGE", 1)
    role = roles.make()
    for user in (cast.owner, cast.member):
        roles.join(role, user)
    assert [len(one["members"]) for one in roles.read()["results"]] == [2]


def test_statements_do_not_grow_with_roles_or_members(roles: Roles, cast: Cast) -> None:
    def statements(*parts: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            roles.read(*parts)
        return len(captured)

    role = roles.make("first")
    roles.read()
    few = statements(), statements(role["id"]), statements(role["id"], "role_memberships")
    for number in range(5):
        other = roles.make(f"role {number}")
        for user in (cast.owner, cast.member):
            roles.join(other, user)
            if not number:
                roles.join(role, user)
    assert (statements(), statements(role["id"]), statements(role["id"], "role_memberships")) == few
    # Who asks, the page, the count, the members.
    assert few[0] == 4


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_retrieved_role_may_be_sent_back_whole(roles: Roles, cast: Cast, method: str) -> None:
    role = roles.make()
    roles.join(role, cast.member)
    role = roles.read(role["id"])
    answer = roles.send(method, role["id"], body=role)
    assert (answer.status_code, parsed(answer)) == (200, role)


def test_read_only_and_unknown_fields_are_ignored_whatever_they_hold(roles: Roles, cast: Cast) -> None:
    nonsense = {
        "id": 1, "created_at": "yesterday", "created_by": 7, "created_by_user": [], "members": "all",
        "associated_flags": 3, "is_default": "yes", "organization": str(cast.outside.pk), "colour": "red",
    }  # fmt: skip
    made = roles.make("Eng", **nonsense, feature_flags_access_level="q")
    assert made["feature_flags_access_level"] == 37
    answer = roles.send("PATCH", made["id"], body=nonsense)
    assert (answer.status_code, parsed(answer)) == (200, made)


@pytest.mark.parametrize("body", [None, {}, b"", b"  "])
def test_an_empty_patch_changes_nothing(roles: Roles, body: Any) -> None:
    made = roles.make()
    answer = roles.send("PATCH", made["id"], body=body)
    assert (answer.status_code, parsed(answer)) == (200, made)


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "required", "This field is required.", "name"),
        (None, "required", "This field is required.", "name"),
        ({"name": None}, "null", "This field may not be null.", "name"),
        ({"name": ""}, "blank", "This field may not be blank.", "name"),
        ({"name": " \t\n"}, "blank", "This field may not be blank.", "name"),
        ({"name": "n" * 201}, "max_length", "Ensure this field has no more than 200 characters.", "name"),
        ({"name": ["Eng"]}, "invalid_input", "Not a valid string.", "name"),
        ({"name": {"a": 1}}, "invalid_input", "Not a valid string.", "name"),
        ({"name": True}, "invalid_input", "Not a valid string.", "name"),
        ({"name": "a\x00b"}, "null_characters_not_allowed", "Null characters are not allowed.", "name"),
        ([], "invalid_input", "Invalid data. Expected a dictionary, but got list.", None),
        ("text", "invalid_input", "Invalid data. Expected a dictionary, but got str.", None),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_bad_name_is_refused(roles: Roles, method: str, body: Any, code: str, detail: str, attr: str | None) -> None:
    made = roles.make("Kept")
    parts = () if method == "POST" else (made["id"],)
    sent = b'"text"' if body == "text" else body
    assert problem(roles.send(method, *parts, body=sent)) == (400, "validation_error", code, detail, attr)
    assert roles.read()["results"] == [made]


def test_names_that_postgres_cannot_hold_are_refused(roles: Roles) -> None:
    lone = roles.send("POST", body=b'{"name": "\\ud800"}')
    assert lone.status_code == 400
    upload = roles.send("POST", body={"name": SimpleUploadedFile("name", b"Eng")}, encoding="multipart")
    assert problem(upload)[2:] == ("invalid_input", "Not a valid string.", "name")
    assert roles.send("POST", body=b"{").status_code == 400
    assert roles.read()["count"] == 0


@pytest.mark.parametrize(
    ("level", "code", "detail"),
    [
        ("q", "invalid_choice", '"q" is not a valid choice.'),
        (0, "invalid_choice", '"0" is not a valid choice.'),
        (22, "invalid_choice", '"22" is not a valid choice.'),
        (37.5, "invalid_choice", '"37.5" is not a valid choice.'),
        (True, "invalid_choice", '"True" is not a valid choice.'),
        ([37], "invalid_choice", '"[37]" is not a valid choice.'),
        ("", "invalid_choice", '"" is not a valid choice.'),
        (None, "null", "This field may not be null."),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_bad_access_level_is_refused_with_nothing_changed(
    roles: Roles, method: str, level: Any, code: str, detail: str
) -> None:
    made = roles.make("Kept")
    answer = roles.send(method, made["id"], body={"name": "New", "feature_flags_access_level": level})
    assert problem(answer) == (400, "validation_error", code, detail, "feature_flags_access_level")
    assert roles.read(made["id"]) == made


def test_an_empty_access_level_of_a_form_counts_as_not_given(roles: Roles) -> None:
    made = roles.make("Old")
    body = {"name": "New", "feature_flags_access_level": ""}
    assert parsed(roles.send("PUT", made["id"], body=body, encoding="form")) == {**made, "name": "New"}


def test_names_are_unique_in_the_organization_whatever_the_case(roles: Roles, elsewhere: Roles) -> None:
    first, second = roles.make("Straße Ä"), roles.make("Second")
    assert problem(roles.send("POST", body={"name": "straße ä"})) == TAKEN
    assert problem(roles.send("POST", body={"name": "  SECOND "})) == TAKEN
    for method in ("PUT", "PATCH"):
        assert problem(roles.send(method, second["id"], body={"name": "STRASSE Ä".replace("SS", "ß")})) == TAKEN
        assert parsed(roles.send(method, second["id"], body={"name": "Second"})) == second
    renamed = parsed(roles.send("PATCH", second["id"], body={"name": "SECOND"}))
    assert renamed == {**second, "name": "SECOND"}
    assert elsewhere.make("Straße Ä")["name"] == first["name"]


def test_a_refused_name_leaves_the_access_level_alone(roles: Roles) -> None:
    roles.make("Taken")
    made = roles.make("Mine")
    answer = roles.send("PATCH", made["id"], body={"name": "taken", "feature_flags_access_level": 21})
    assert problem(answer) == TAKEN
    assert roles.read(made["id"]) == made


def test_delete_takes_the_memberships_along_and_frees_the_name(roles: Roles, cast: Cast) -> None:
    made, other = roles.make(), roles.make("Other")
    roles.join(made, cast.member)
    kept = roles.join(other, cast.member)
    answer = roles.send("DELETE", made["id"])
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert problem(roles.send(method, made["id"], body={"name": "x"})) == MISSING
    assert [str(found.id) for found in RoleMembership.objects.all()] == [kept["id"]]
    assert roles.make()["id"] != made["id"]


def test_the_default_role_says_so_and_is_cleared_by_its_deletion(roles: Roles, cast: Cast) -> None:
    other, default = roles.make("Other"), roles.make("Everyone")
    cast.organization.default_role_id = default["id"]
    cast.organization.save()
    assert [role["is_default"] for role in roles.read()["results"]] == [False, True]
    assert roles.send("DELETE", other["id"]).status_code == 204
    assert roles.read(default["id"])["is_default"] is True
    assert roles.send("DELETE", default["id"]).status_code == 204
    cast.organization.refresh_from_db()
    assert cast.organization.default_role_id is None


def test_the_creator_may_be_gone(roles: Roles, cast: Cast) -> None:
    founder = make_user(cast.organization, level=8)
    made = Roles(Caller(make_key(founder)), cast.organization.pk).make()
    assert made["created_by_user"]["email"] == founder.email
    founder.delete()
    assert roles.read(made["id"])["created_by_user"] is None


@pytest.mark.parametrize("role_id", ["x", "1", "00000000", "%00", "0" * 33, "@current", "7" * 32])
def test_what_is_no_role_is_not_found(roles: Roles, role_id: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert problem(roles.send(method, role_id, body={"name": "x"} if method != "GET" else None)) == MISSING


def test_roles_of_another_organization_are_not_found_and_stay_as_they_are(roles: Roles, elsewhere: Roles) -> None:
    theirs = elsewhere.make()
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = roles.send(method, theirs["id"], body={"name": "x"} if method != "GET" else None)
        assert problem(answer) == MISSING
    assert elsewhere.read(theirs["id"]) == theirs
    assert roles.read()["count"] == 0


def test_strangers_are_refused_and_unknown_organizations_not_found(roles: Roles, elsewhere: Roles, cast: Cast) -> None:
    made = roles.make()
    intruder = Roles(elsewhere.caller, cast.organization.pk)
    lost = Roles(roles.caller, uuid4())
    for method, parts in (
        ("GET", ()), ("POST", ()), ("GET", (made["id"],)), ("PUT", (made["id"],)), ("PATCH", (made["id"],)),
        ("DELETE", (made["id"],)),
    ):  # fmt: skip
        body = {"name": "x"} if method in {"POST", "PUT", "PATCH"} else None
        assert problem(intruder.send(method, *parts, body=body))[:3] == (
            403, "authentication_error", "permission_denied",
        )  # fmt: skip
        assert problem(lost.send(method, *parts, body=body)) == (
            404, "invalid_request", "not_found", "Organization not found.", None,
        )  # fmt: skip
    assert roles.read()["results"] == [made]


def test_members_read_and_admins_write(roles: Roles, as_member: Roles, cast: Cast) -> None:
    made = roles.make()
    assert as_member.read()["results"] == [as_member.read(made["id"])] == [made]
    for method, parts in (("POST", ()), ("PUT", (made["id"],)), ("PATCH", (made["id"],)), ("DELETE", (made["id"],))):
        assert problem(as_member.send(method, *parts, body={"name": "x"})) == LOW_LEVEL
    admin = Roles(Caller(make_key(make_user(cast.organization, level=8))), cast.organization.pk)
    assert admin.send("PATCH", made["id"], body={"name": "x"}).status_code == 200
    assert admin.send("DELETE", made["id"]).status_code == 204


def test_keys_need_the_scopes_of_organizations(roles: Roles, cast: Cast) -> None:
    made = roles.make()
    reader = Roles(Caller(make_key(cast.owner, scopes=["organization:read"])), cast.organization.pk)
    assert reader.read(made["id"]) == made
    assert problem(reader.send("PATCH", made["id"], body={}))[3] == (
        "API key missing required scope 'organization:write'"
    )
    other = Roles(Caller(make_key(cast.owner, scopes=["project:write"])), cast.organization.pk)
    assert problem(other.send("GET"))[3] == "API key missing required scope 'organization:read'"


def test_the_organization_of_the_url_counts_not_the_current_one(roles: Roles, cast: Cast) -> None:
    """A caller with two organizations works in the one of the URL, with the level there."""
    both = make_user(cast.outside, level=1)
    both.organization_memberships.create(organization=cast.organization, level=8)
    assert both.current_organization_id == cast.outside.pk
    key = make_key(both)
    there, here = (Roles(Caller(key), one.pk) for one in (cast.outside, cast.organization))
    assert problem(there.send("POST", body={"name": "Eng"})) == LOW_LEVEL
    made = here.make("Eng")
    assert Role.objects.get(id=made["id"]).organization_id == cast.organization.pk
    assert problem(here.send("POST", body={"name": "eng"})) == TAKEN
    assert roles.read()["results"] == [made]
    assert there.read()["count"] == 0


def test_current_and_missing_slashes_lead_to_the_same_roles(roles: Roles, cast: Cast) -> None:
    made = roles.make()
    for path in (
        f"/api/organizations/{cast.organization.pk}/roles/{made['id']}",
        f"/api/organizations/@current/roles/{made['id']}",
        f"/api/organizations/@current/roles/{made['id'].upper()}/",
    ):
        assert parsed(roles.caller.get(path)) == made
    answer = roles.caller("POST", "/api/organizations/@current/roles", {"name": "No slash"})
    assert answer.status_code == 201
