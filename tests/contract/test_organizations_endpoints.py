"""Every endpoint of organizations, projects, roles, users and keys: status, full key set, schema, operation id.

`PUBLISHED` is the list of the published pages for this resource, with the names of its operations there and in the
clients that exist. `CALLS` says how each endpoint is called and what it answers; that the answer fits its schema is
checked by the client.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core import routes
from core.tenancy.models import Organization, Team
from tests.core.http import Caller
from tests.factories import make_key, make_team, make_user
from tests.support.contract import CheckedClient, document

pytestmark = pytest.mark.django_db

# Method and path below the organization; the name on the page; the name that generated clients use.
PUBLISHED = """
    DELETE projects/{id} Organizations_deleteProjectById organizations_projects_destroy
    GET projects/{id} Organizations_getProjectsById organizations_projects_retrieve
    PATCH projects/{id} Organizations_updateProject organizations_projects_partial_update
    PUT projects/{id} Organizations_updateProjectById organizations_projects_update
    GET projects/{id}/activity activity_retrieve organizations_projects_activity_retrieve
    GET projects/{id}/is_generating_demo_data Organizations_getIsGeneratingDemoData
        organizations_projects_is_generating_demo_data_retrieve
    PATCH projects/{id}/reset_token Organizations_projectsResetTokenPartialUpdate
        organizations_projects_reset_token_partial_update
    GET roles roles_list roles_list
    POST roles roles_create roles_create
    DELETE roles/{id} roles_destroy roles_destroy
    GET roles/{id} roles_retrieve roles_retrieve
    PATCH roles/{id} Organizations_updateRoleById roles_partial_update
    PUT roles/{id} roles_update roles_update
    GET roles/{role_id}/role_memberships Organizations_listRoleMemberships roles_role_memberships_list
    POST roles/{role_id}/role_memberships Organizations_createRoleMemberships roles_role_memberships_create
    DELETE roles/{role_id}/role_memberships/{id} Organizations_removeRoleMembership roles_role_memberships_destroy
    """

PAGE = {"count", "next", "previous", "results"}
# Table e2 of the access specification; the first block are the fields of the published page.
PROJECT = set(
    """id uuid organization api_token name created_at updated_at ingested_event access_control
    effective_membership_level has_group_types person_on_events_querying_enabled groups_on_events_querying_enabled
    app_urls slack_incoming_webhook anonymize_ips completed_snippet_onboarding test_account_filters
    test_account_filters_default_checked path_cleaning_filters is_demo timezone data_attributes
    person_display_name_properties correlation_config autocapture_opt_out autocapture_exceptions_opt_in
    autocapture_exceptions_errors_to_ignore capture_console_log_opt_in capture_performance_opt_in
    session_recording_opt_in session_recording_sample_rate session_recording_minimum_duration_milliseconds
    session_recording_linked_flag session_recording_network_payload_capture_config session_replay_config
    week_start_day primary_dashboard live_events_columns recording_domains inject_web_apps extra_settings
    has_completed_onboarding_for surveys_opt_in

    project_id heatmaps_opt_in modifiers default_modifiers group_types live_events_token product_intents
    secret_api_token secret_api_token_backup user_access_level managed_viewsets product_description
    autocapture_web_vitals_opt_in autocapture_web_vitals_allowed_metrics session_recording_masking_config
    session_recording_url_trigger_config session_recording_url_blocklist_config
    session_recording_event_trigger_config session_recording_trigger_match_type_config
    session_recording_retention_period survey_config cookieless_server_hash_mode human_friendly_comparison_periods
    flags_persistence_default feature_flag_confirmation_enabled default_evaluation_environments_enabled
    capture_dead_clicks feature_flag_confirmation_message default_data_theme revenue_analytics_config
    marketing_analytics_config onboarding_tasks base_currency web_analytics_pre_aggregated_tables_enabled
    experiment_recalculation_time person_processing_opt_out""".split()  # noqa: SIM905 the specification's own list
)
SHORT_PROJECT = {
    "id", "uuid", "organization", "project_id", "api_token", "name", "completed_snippet_onboarding",
    "has_completed_onboarding_for", "ingested_event", "is_demo", "timezone", "access_control", "created_at",
    "effective_membership_level",
}  # fmt: skip
LOG_PAGE = {
    "": {"next", "previous", "results", "total_count"},
    "results.0": {"id", "user", "activity", "scope", "item_id", "detail", "created_at"},
    "results.0.user": {"first_name", "email"},
    "results.0.detail": {"changes", "trigger", "type", "name", "short_id"},
    "results.0.detail.changes.0": {"type", "action", "field", "before", "after"},
}
DELETED_PROJECT = {
    "id", "name", "deleted_at", "deleted_by", "status", "verified_at", "receipt", "attempts", "last_error",
}  # fmt: skip
USER = {
    "id", "uuid", "distinct_id", "first_name", "last_name", "email", "is_email_verified", "hedgehog_config",
    "role_at_organization",
}  # fmt: skip
MEMBER = {"id", "user", "level", "joined_at", "updated_at", "is_2fa_enabled", "has_social_auth", "last_login"}
ROLE = {
    "id", "name", "feature_flags_access_level", "created_at", "created_by", "created_by_user", "members",
    "associated_flags", "is_default",
}  # fmt: skip
IN_ROLE = {"id", "role_id", "organization_member", "user", "joined_at", "updated_at"}
ORGANIZATION = {
    "id", "name", "slug", "logo_media_id", "created_at", "updated_at", "membership_level", "plugins_access_level",
    "teams", "projects", "available_product_features", "is_member_join_email_enabled", "metadata", "customer_id",
    "enforce_2fa", "members_can_invite", "members_can_use_personal_api_keys", "allow_publicly_shared_resources",
    "member_count", "is_ai_data_processing_approved", "default_experiment_stats_method", "default_role_id",
}  # fmt: skip
ME = USER | {
    "date_joined", "pending_email", "notification_settings", "anonymize_data", "toolbar_mode", "has_password",
    "is_staff", "is_impersonated", "team", "organization", "organizations", "events_column_config", "is_2fa_enabled",
    "has_social_auth", "has_seen_product_intro_for", "scene_personalisation", "theme_mode",
}  # fmt: skip
KEY = {
    "id", "label", "value", "mask_value", "created_at", "last_used_at", "last_rolled_at", "user_id", "scopes",
    "scoped_teams", "scoped_organizations",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One request, and the exact keys of its answer by place: `""` is the whole, `results.0` the first result."""

    keys: dict[str, set[str]] = field(default_factory=dict)
    status: int = 200
    body: Any = None
    by_session: bool = False
    id: str = ""


def one(keys: set[str], **call: Any) -> Call:
    return Call({"": keys}, **call)


def page(keys: set[str]) -> Call:
    return Call({"": PAGE, "results.0": keys})


WHOLE_MEMBER = {"": MEMBER, "user": USER}
WHOLE_ROLE = {"": ROLE, "created_by_user": USER, "members.0": IN_ROLE}
WHOLE_SEAT = {"": IN_ROLE, "organization_member": MEMBER, "organization_member.user": USER, "user": USER}
WHOLE_ORGANIZATION = {
    "": ORGANIZATION,
    "teams.0": SHORT_PROJECT,
    "projects.0": {"id", "organization_id", "name"},
    "metadata": {"instance_tag"},
}
WHOLE_ME = {
    "": ME,
    "team": SHORT_PROJECT,
    "organization": ORGANIZATION,
    "organizations.0": {
        "id", "name", "slug", "logo_media_id", "membership_level", "members_can_use_personal_api_keys", "is_active",
    },
}  # fmt: skip
PROJECT_CALLS = {
    ("GET", "{id}"): one(PROJECT),
    ("PUT", "{id}"): one(PROJECT, body={"name": "Other"}),
    ("PATCH", "{id}"): one(PROJECT, body={"timezone": "Europe/Vienna"}),
    ("DELETE", "{id}"): Call(status=204),
    ("GET", "{id}/activity"): Call(LOG_PAGE),
    ("GET", "{id}/is_generating_demo_data"): one({"is_generating_demo_data"}),
    ("PATCH", "{id}/reset_token"): one(PROJECT),
}
LISTS_OF_PROJECTS = ("projects", "organizations/{organization_id}/projects")
CALLS: dict[tuple[str, str], Call] = {
    **{
        (method, f"{prefix}/{path}"): call
        for prefix in (*LISTS_OF_PROJECTS, "environments")
        for (method, path), call in PROJECT_CALLS.items()
    },
    **{("GET", prefix): page(SHORT_PROJECT) for prefix in (*LISTS_OF_PROJECTS, "environments")},
    **{("POST", prefix): one(PROJECT, status=201, body={"name": "New"}) for prefix in LISTS_OF_PROJECTS},
    ("GET", "projects/{project_id}/environments"): page(SHORT_PROJECT),
    ("GET", "organizations/{organization_id}/deleted_projects"): page(DELETED_PROJECT),
    ("GET", "organizations/{organization_id}/deleted_projects/{id}"): one(DELETED_PROJECT, id="gone"),
    ("GET", "organizations/{organization_id}/roles"): page(ROLE),
    ("POST", "organizations/{organization_id}/roles"): Call(
        {"": ROLE, "created_by_user": USER}, status=201, body={"name": "Auditors"}
    ),
    ("GET", "organizations/{organization_id}/roles/{id}"): Call(WHOLE_ROLE, id="role"),
    ("PUT", "organizations/{organization_id}/roles/{id}"): Call(WHOLE_ROLE, id="role", body={"name": "Other"}),
    ("PATCH", "organizations/{organization_id}/roles/{id}"): Call(
        WHOLE_ROLE, id="role", body={"feature_flags_access_level": 21}
    ),
    ("DELETE", "organizations/{organization_id}/roles/{id}"): Call(status=204, id="role"),
    ("GET", "organizations/{organization_id}/roles/{role_id}/role_memberships"): page(IN_ROLE),
    ("POST", "organizations/{organization_id}/roles/{role_id}/role_memberships"): Call(
        WHOLE_SEAT, status=201, body={"user_uuid": "{owner}"}
    ),
    ("GET", "organizations/{organization_id}/roles/{role_id}/role_memberships/{id}"): Call(WHOLE_SEAT, id="seat"),
    ("DELETE", "organizations/{organization_id}/roles/{role_id}/role_memberships/{id}"): Call(status=204, id="seat"),
    ("GET", "organizations"): page(ORGANIZATION),
    ("POST", "organizations"): Call(WHOLE_ORGANIZATION, status=201, body={"name": "New"}),
    ("GET", "organizations/{id}"): Call(WHOLE_ORGANIZATION, id="organization"),
    ("PUT", "organizations/{id}"): Call(WHOLE_ORGANIZATION, id="organization", body={"name": "Other"}),
    ("PATCH", "organizations/{id}"): Call(WHOLE_ORGANIZATION, id="organization", body={"name": "Other"}),
    ("DELETE", "organizations/{id}"): Call(status=204, id="organization"),
    ("GET", "organizations/{organization_id}/members"): page(MEMBER),
    ("GET", "organizations/{organization_id}/members/{id}"): Call(WHOLE_MEMBER, id="member"),
    ("PUT", "organizations/{organization_id}/members/{id}"): Call(WHOLE_MEMBER, id="member", body={"level": 8}),
    ("PATCH", "organizations/{organization_id}/members/{id}"): Call(WHOLE_MEMBER, id="member", body={"level": 8}),
    ("DELETE", "organizations/{organization_id}/members/{id}"): Call(status=204, id="member"),
    ("GET", "organizations/{organization_id}/activity"): Call(LOG_PAGE),
    ("GET", "users/{id}"): Call(WHOLE_ME, id="me"),
    ("PATCH", "users/{id}"): Call(WHOLE_ME, id="me", body={"set_current_team": "{project}"}),
    ("GET", "personal_api_keys"): Call({"0": KEY}, by_session=True),
    ("POST", "personal_api_keys"): one(
        KEY, status=201, by_session=True, body={"label": "ci", "scopes": ["person:read"], "scoped_teams": []}
    ),
    ("GET", "personal_api_keys/{id}"): one(KEY, id="key"),
    ("PUT", "personal_api_keys/{id}"): one(
        KEY, id="key", by_session=True, body={"label": "ci", "scopes": ["person:read"]}
    ),
    ("PATCH", "personal_api_keys/{id}"): one(KEY, id="key", by_session=True, body={"label": "ci"}),
    ("DELETE", "personal_api_keys/{id}"): Call(status=204, id="key", by_session=True),
    ("POST", "personal_api_keys/{id}/roll"): one(KEY, id="key", by_session=True),
}


class Tree:
    """An organization with one of everything, made over HTTP by its owner."""

    def __init__(self, team: Team) -> None:
        self.owner = make_user(team=team)
        self.caller = Caller(make_key(self.owner))
        self.browser = CheckedClient(raise_request_exception=False)
        self.browser.force_login(self.owner)
        member = make_user(team.organization, level=1, team=team)
        organization = f"organizations/{team.organization_id}"
        role = self.made("POST", f"{organization}/roles", {"name": "Support"}, 201)["id"]
        seat = self.made("POST", f"{organization}/roles/{role}/role_memberships", {"user_uuid": str(member.uuid)}, 201)
        gone = make_team(team.organization, name="Gone")
        assert self.caller("DELETE", f"/api/projects/{gone.pk}/").status_code == 204
        self.made("PATCH", f"projects/{team.pk}", {"name": "Market"}, 200)
        self.made("PATCH", organization, {"name": "Acme"}, 200)
        self.ids = {
            "organization_id": str(team.organization_id),
            "organization": str(team.organization_id),
            "project_id": str(team.pk),
            "project": str(team.pk),
            "role_id": role,
            "role": role,
            "seat": seat["id"],
            "gone": str(gone.pk),
            "member": str(member.uuid),
            "owner": str(self.owner.uuid),
            "me": "@me",
            "key": self.owner.personal_api_keys.get().pk,
        }

    def made(self, method: str, path: str, body: Any, status: int) -> Any:
        response = self.caller(method, f"/api/{path}/", body)
        assert response.status_code == status, response.content
        return orjson.loads(response.content)

    def filled(self, text: str, own_id: str) -> str:
        for name, value in {**self.ids, "id": self.ids[own_id or "project"]}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def body(self, call: Call) -> Any:
        return None if call.body is None else orjson.loads(self.filled(orjson.dumps(call.body).decode(), call.id))

    def send(self, method: str, path: str, *, slash: str = "/", content_type: str = "application/json") -> HttpResponse:
        call = CALLS[method, path]
        address, body = f"/api/{self.filled(path, call.id)}{slash}", self.body(call)
        data = b"" if body is None else encoded(body, content_type)
        kind = content_type if body is not None else ""
        if call.by_session:
            response: HttpResponse = self.browser.generic(method, address, data, kind)  # type: ignore[assignment]
            return response
        return self.caller(method, address, data if body is not None else None, content_type=kind)


def encoded(body: dict[str, Any], content_type: str) -> bytes:
    if content_type == MULTIPART_CONTENT:
        return encode_multipart(BOUNDARY, body)
    return orjson.dumps(body) if content_type == "application/json" else urlencode(body, doseq=True).encode()


@pytest.fixture
def tree(db: None) -> Tree:
    return Tree(make_team(person_display_name_properties=["email"]))


def dig(body: Any, place: str) -> Any:
    for step in place.split(".") if place else ():
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def published() -> dict[tuple[str, str], tuple[str, str]]:
    words = PUBLISHED.split()
    rows = [words[start : start + 4] for start in range(0, len(words), 4)]
    prefix = "organizations/{organization_id}/"
    return {(method, prefix + path): (name, exposed) for method, path, name, exposed in rows}


def routed() -> Iterator[tuple[str, str]]:
    for route, _, actions in routes.routes():
        path = route.template.removeprefix("/api/").strip("/")
        # What is inside a project has its own table, and so have plugins.
        if ("{project_id}" not in path or path.endswith("environments")) and "/plugins" not in path:
            yield from ((method.upper(), path) for method in actions)


every_call = pytest.mark.parametrize(("method", "path"), sorted(CALLS))
with_a_body = pytest.mark.parametrize(
    ("method", "path"), sorted(key for key, call in CALLS.items() if call.body is not None)
)


@pytest.mark.parametrize("slash", ["/", ""])
@every_call
def test_endpoint(slash: str, method: str, path: str, tree: Tree) -> None:
    response = tree.send(method, path, slash=slash)
    call = CALLS[method, path]
    assert response.status_code == call.status, response.content
    if call.status == 204:
        assert response.content == b""
        return
    body = orjson.loads(response.content)
    for place, keys in call.keys.items():
        assert sorted(dig(body, place)) == sorted(keys), place or "the answer"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", MULTIPART_CONTENT])
@with_a_body
def test_every_body_may_be_a_form(content_type: str, method: str, path: str, tree: Tree) -> None:
    response = tree.send(method, path, content_type=content_type)
    assert response.status_code == CALLS[method, path].status, response.content
    answer, sent = orjson.loads(response.content), tree.body(CALLS[method, path])
    kept = {name: value for name, value in sent.items() if name in answer}
    assert {name: answer[name] for name in kept} == kept


@every_call
def test_current_stands_for_the_ids_of_tenants(method: str, path: str, tree: Tree) -> None:
    by_id = {"project": "@current", "organization": "@current"}
    tree.ids |= {"organization_id": "@current", "project_id": "@current", **by_id}
    if (method, path) == ("PATCH", "users/{id}"):
        tree.ids["project"] = str(Team.objects.get().pk)
    assert tree.send(method, path).status_code == CALLS[method, path].status


@pytest.mark.parametrize(
    ("method", "path"), sorted(key for key in CALLS if "{id}" in key[1] and not key[1].startswith("users"))
)
def test_an_object_that_is_not_there(method: str, path: str, tree: Tree) -> None:
    call = CALLS[method, path]
    own = call.id or "project"
    tree.ids[own] = str(uuid4()) if not tree.ids[own].isdecimal() else "999999999"
    response = tree.send(method, path)
    # A key may look at itself alone: it cannot tell other keys from missing ones.
    expected = 403 if (method, path) == ("GET", "personal_api_keys/{id}") else 404
    assert response.status_code == expected, response.content


def test_the_table_is_the_route_table() -> None:
    assert set(routed()) == set(CALLS)


def test_nothing_published_is_missing() -> None:
    assert len(published()) == 16
    assert set(published()) <= set(CALLS)


@pytest.mark.parametrize(("method", "path"), sorted(published()))
def test_operations_have_the_names_that_clients_know(method: str, path: str) -> None:
    operation = document()["paths"][f"/api/{path}/"][method.lower()]
    named = (operation["x-documented-operation-id"], operation["operationId"])
    assert named == published()[method, path]


def test_what_a_refused_body_changes(tree: Tree) -> None:
    """Nothing: a wrong field among right ones is refused with all of them."""
    before = Organization.objects.values().get(), Team.objects.values().get()
    base = f"/api/organizations/{tree.ids['organization']}"
    for path, body in (
        (f"{base}/projects/{tree.ids['project']}/", {"name": "Other", "timezone": "Mars/Olympus"}),
        (f"{base}/roles/{tree.ids['role']}/", {"name": "Other", "feature_flags_access_level": "much"}),
        (f"{base}/", {"name": "Other", "members_can_use_personal_api_keys": "perhaps"}),
    ):
        response = tree.caller("PATCH", path, body)
        assert response.status_code == 400, (path, response.content)
    assert (Organization.objects.values().get(), Team.objects.values().get()) == before
    assert tree.made("GET", f"organizations/{tree.ids['organization']}/roles/{tree.ids['role']}", None, 200)[
        "name"
    ] == ("Support")
