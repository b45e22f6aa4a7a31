from tests.core.conftest import Cast
from tests.core.http import Caller, parsed
from tests.factories import make_key

FIELDS = set(
    """id name slug logo_media_id created_at updated_at membership_level plugins_access_level teams projects
    available_product_features is_member_join_email_enabled metadata customer_id enforce_2fa members_can_invite
    members_can_use_personal_api_keys allow_publicly_shared_resources member_count is_ai_data_processing_approved
    default_experiment_stats_method default_role_id""".split()  # noqa: SIM905 the specification's own list
)


def test_list_and_retrieve_show_the_whole_organization(cast: Cast) -> None:
    listed = parsed(cast.as_owner().get("/api/organizations"))
    assert listed["count"] == 1
    for path in ("@current", str(cast.organization.pk)):
        body = parsed(cast.as_owner().get(f"/api/organizations/{path}/"))
        assert body == listed["results"][0]
        assert set(body) == FIELDS
    assert body["member_count"] == 2
    assert body["projects"][0] == {
        "id": cast.team.pk, "organization_id": str(cast.organization.pk), "name": cast.team.name,
    }  # fmt: skip


def test_members_are_listed_in_order_of_joining(cast: Cast) -> None:
    body = parsed(cast.as_member().get("/api/organizations/@current/members/?limit=1"))
    assert body["count"] == 2
    assert body["results"][0]["user"]["email"] == cast.owner.email
    assert body["results"][0]["level"] == 15
    assert set(body["results"][0]) == {
        "id", "user", "level", "joined_at", "updated_at", "is_2fa_enabled", "has_social_auth", "last_login",
    }  # fmt: skip


def test_members_need_their_own_scope(cast: Cast) -> None:
    caller = Caller(make_key(cast.owner, scopes=["organization:read"]))
    assert caller.get("/api/organizations/@current/").status_code == 200
    assert caller.get("/api/organizations/@current/members/").status_code == 403
