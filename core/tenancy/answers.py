"""Rows of organizations and projects in the shapes that several resources answer."""

from typing import Any

from core.tenancy.queries import Row


def team_short(row: Row) -> dict[str, Any]:
    """Return a project as lists and other objects show it."""
    settings = row["settings"] or {}
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "organization": row["organization"],
        "project_id": row["id"],
        "api_token": row["api_token"],
        "name": row["name"],
        "completed_snippet_onboarding": settings.get("completed_snippet_onboarding", False),
        "has_completed_onboarding_for": settings.get("has_completed_onboarding_for"),
        "ingested_event": row["ingested_event"],
        "is_demo": row["is_demo"],
        "timezone": row["timezone"],
        "access_control": settings.get("access_control", False),
        "created_at": row["created_at"],
        "effective_membership_level": row["level"],
    }


def organization_full(row: Row, teams: list[Row]) -> dict[str, Any]:
    """Return an organization with its projects."""
    return {
        "id": row["id"],
        "name": row["name"],
        "slug": row["slug"],
        "logo_media_id": None,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "membership_level": row["membership_level"],
        "plugins_access_level": row["plugins_access_level"],
        "teams": [team_short(team) for team in teams],
        "projects": [{"id": team["id"], "organization_id": row["id"], "name": team["name"]} for team in teams],
        "available_product_features": [],
        "is_member_join_email_enabled": row["is_member_join_email_enabled"],
        "metadata": {"instance_tag": "none"},
        "customer_id": None,
        "enforce_2fa": row["enforce_2fa"],
        "members_can_invite": row["members_can_invite"],
        "members_can_use_personal_api_keys": row["members_can_use_personal_api_keys"],
        "allow_publicly_shared_resources": row["allow_publicly_shared_resources"],
        "member_count": row["member_count"],
        "is_ai_data_processing_approved": False,
        "default_experiment_stats_method": None,
        "default_role_id": row["default_role_id"],
    }


def organization_basic(row: Row) -> dict[str, Any]:
    """Return an organization as the user object lists it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "slug": row["slug"],
        "logo_media_id": None,
        "membership_level": row["membership_level"],
        "members_can_use_personal_api_keys": row["members_can_use_personal_api_keys"],
        "is_active": True,
    }


def member(row: Row) -> dict[str, Any]:
    """Return one member of an organization."""
    return {
        "id": row["id"],
        "user": user_basic(row),
        "level": row["level"],
        "joined_at": row["joined_at"],
        "updated_at": row["updated_at"],
        "is_2fa_enabled": False,
        "has_social_auth": False,
        "last_login": row["last_login"],
    }


def user_basic(row: Row) -> dict[str, Any]:
    """Return a user as other objects name one."""
    return {
        "id": row["user_id"],
        "uuid": row["user_uuid"],
        "distinct_id": row["distinct_id"],
        "first_name": row["first_name"],
        "last_name": row["last_name"],
        "email": row["email"],
        "is_email_verified": row["is_email_verified"],
        "hedgehog_config": None,
        "role_at_organization": None,
    }
