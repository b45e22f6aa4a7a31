"""What the organization's activity log says of roles."""

from typing import Any

import pytest

from core.activity.models import ActivityLog
from core.roles.services import Author, memberships_end
from core.tenancy.models import OrganizationMembership
from tests.core.conftest import Cast
from tests.core.roles.conftest import Roles

pytestmark = pytest.mark.django_db


def entries(cast: Cast) -> list[tuple[str, str, str, Any]]:
    """Scope, activity, name and changes of each entry; all are the owner's, about the organization alone."""
    found = list(ActivityLog.objects.order_by("created_at"))
    owners = {(one.team_id, one.organization_id, one.user_id, one.is_system) for one in found}
    assert owners <= {(None, cast.organization.pk, cast.owner.pk, False)}
    return [(one.scope, one.activity, one.detail["name"], one.detail["changes"]) for one in found]


def change(action: str, field: str, before: Any, after: Any, scope: str = "Role") -> dict[str, Any]:
    return {"type": scope, "action": action, "field": field, "before": before, "after": after}


def test_every_change_is_one_entry(roles: Roles, cast: Cast) -> None:
    role = roles.make("Eng")
    body = {"name": "Engineers", "feature_flags_access_level": 21}
    for _ in range(2):
        assert roles.send("PATCH", role["id"], body=body).status_code == 200
    assert roles.send("PATCH", role["id"], body={}).status_code == 200
    membership = roles.join(role, cast.member)
    assert roles.send("DELETE", role["id"], "role_memberships", membership["id"]).status_code == 204
    assert roles.send("DELETE", role["id"]).status_code == 204
    email = cast.member.email
    assert entries(cast) == [
        ("Role", "created", "Eng", None),
        (
            "Role", "updated", "Engineers",
            [change("changed", "name", "Eng", "Engineers"), change("changed", "feature_flags_access_level", 37, 21)],
        ),
        ("Role", "updated", "Engineers", [change("created", "members", None, email)]),
        ("Role", "updated", "Engineers", [change("deleted", "members", email, None)]),
        ("Role", "deleted", "Engineers", None),
    ]  # fmt: skip
    assert {one.item_id for one in ActivityLog.objects.all()} == {role["id"]}


def test_a_role_deleted_while_it_is_the_default_changes_the_organization(roles: Roles, cast: Cast) -> None:
    role = roles.make("Everyone")
    cast.organization.default_role_id = role["id"]
    cast.organization.save()
    assert roles.send("DELETE", role["id"]).status_code == 204
    cleared = change("deleted", "default_role_id", role["id"], None, scope="Organization")
    assert entries(cast)[1:] == [
        ("Role", "deleted", "Everyone", None),
        ("Organization", "updated", "Acme", [cleared]),
    ]


def test_who_leaves_is_told_once_per_role(roles: Roles, cast: Cast) -> None:
    for name in ("a", "b"):
        roles.join(roles.make(name), cast.member)
    ActivityLog.objects.all().delete()
    member = OrganizationMembership.objects.get(user=cast.member)
    author = Author(cast.organization.pk, cast.owner.pk)
    memberships_end(author=author, organization_member_id=member.id)
    left = [change("deleted", "members", cast.member.email, None)]
    assert sorted(entries(cast)) == [("Role", "updated", "a", left), ("Role", "updated", "b", left)]
    memberships_end(author=author, organization_member_id=member.id)
    assert len(entries(cast)) == 2


def test_what_is_refused_is_not_logged(roles: Roles, as_member: Roles, cast: Cast) -> None:
    role = roles.make("Eng")
    ActivityLog.objects.all().delete()
    refused = [
        roles.send("POST", body={"name": "eng"}),
        roles.send("PATCH", role["id"], body={"feature_flags_access_level": 1}),
        roles.send("POST", role["id"], "role_memberships", body={"user_uuid": str(cast.stranger.uuid)}),
        as_member.send("DELETE", role["id"]),
    ]
    assert [answer.status_code for answer in refused] == [400, 400, 400, 403]
    assert entries(cast) == []
