"""The sidebar of the admin: every list, by what an operator looks for."""

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse

_GROUPS: Final = {
    "": (("State", "monitor_heart", "index"),),
    "Tenants": (
        ("Organizations", "apartment", "core_organization_changelist"),
        ("Members", "badge", "core_organizationmembership_changelist"),
        ("Projects", "inventory_2", "core_team_changelist"),
        ("Roles", "groups", "core_role_changelist"),
        ("Role members", "group_add", "core_rolemembership_changelist"),
    ),
    "Access": (
        ("Users", "person", "core_user_changelist"),
        ("Personal API keys", "key", "core_personalapikey_changelist"),
    ),
    "Plugins": (
        ("Plugins", "extension", "core_plugin_changelist"),
        ("Configs", "tune", "core_pluginconfig_changelist"),
        ("Jobs", "work_history", "core_pluginjob_changelist"),
        ("Destinations", "send", "core_plugindestination_changelist"),
        ("Dead letters", "unsubscribe", "core_plugindelivery_changelist"),
    ),
    "Work": (
        ("Deletion requests", "delete", "core_deletionrequest_changelist"),
        ("Deletion runs", "delete_history", "core_deletionrun_changelist"),
        ("Outbox", "outbox", "core_outboxrows_changelist"),
        ("Imports", "upload_file", "core_importprogress_changelist"),
    ),
    "Logs": (
        ("Activity log", "history", "core_activitylog_changelist"),
        ("Operators' log", "admin_panel_settings", "admin_logentry_changelist"),
    ),
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links in unfold's form."""
    del request
    return [
        {
            "title": title,
            "separator": bool(title),
            "items": [{"title": text, "icon": icon, "link": reverse(f"admin:{name}")} for text, icon, name in links],
        }
        for title, links in _GROUPS.items()
    ]
