"""A client of the plugin configs of one project."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.activity.models import ActivityLog
from core.encryption.services import decrypt_json
from core.plugins.models import Plugin, PluginConfig
from core.tenancy.models import Team
from tests.core.http import Caller, parsed
from tests.factories import make_key, make_plugin, make_team, make_user

MASK = "**************** POSTHOG SECRET FIELD ****************"
SCHEMA = [
    {"key": "host", "name": "Host", "type": "string", "required": True},
    {"key": "token", "name": "Token", "type": "string", "secret": True},
    {"key": "extra", "name": "Extra", "type": "json", "secret": True},
    {"key": "mapping", "name": "Mapping", "type": "attachment"},
    {"key": "keyfile", "name": "Key file", "type": "attachment", "secret": True},
    {"markdown": "Text between the fields has no key."},
]
BASES = (
    "plugin_configs",
    "pipeline_destination_configs",
    "pipeline_frontend_apps_configs",
    "pipeline_transformation_configs",
    "pipeline_import_apps_configs",
)


@dataclass(frozen=True)
class ConfigApi:
    """One caller on one project; paths are below a base."""

    team: Team
    caller: Caller

    def url(self, path: str = "", base: str = "plugin_configs", tree: str = "projects") -> str:
        return f"/api/{tree}/{self.team.pk}/{base}/{path}"

    def __call__(self, method: str, path: str = "", body: Any = None, base: str = "plugin_configs") -> HttpResponse:
        return self.caller(method, self.url(path, base), body)

    def form(self, method: str, path: str, base: str = "plugin_configs", **fields: Any) -> HttpResponse:
        """Send multipart; values that are bytes are files of that content."""
        body = {
            name: SimpleUploadedFile(f"{name.strip(']').rpartition('[')[2]}.csv", value, "text/csv")
            if isinstance(value, bytes)
            else value
            for name, value in fields.items()
        }
        return self.caller(
            method, self.url(path, base), encode_multipart(BOUNDARY, body), content_type=MULTIPART_CONTENT
        )

    def made(self, plugin: Plugin, base: str = "plugin_configs", **fields: Any) -> Any:
        answer = self("POST", "", {"plugin": plugin.pk, "order": 1, **fields}, base)
        assert answer.status_code == 201, answer.content
        return parsed(answer)

    def changed(self, config_id: int, **fields: Any) -> Any:
        answer = self("PATCH", f"{config_id}/", fields)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def read(self, config_id: int, base: str = "plugin_configs") -> Any:
        answer = self("GET", f"{config_id}/", base=base)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def listed(self, base: str = "plugin_configs", query: str = "") -> Any:
        answer = self("GET", query, base=base)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def stored(self, config_id: int) -> Any:
        """The config as it is kept, decrypted."""
        return decrypt_json(PluginConfig.objects.for_team(self.team.pk).get(pk=config_id).encrypted_config)

    def log(self, config_id: int) -> list[tuple[str, Any]]:
        """Activities of the config and their changes, oldest first."""
        entries = ActivityLog.objects.filter(team_id=self.team.pk, item_id=str(config_id)).order_by("created_at")
        return [(entry.activity, entry.detail["changes"]) for entry in entries]


def make_api(team: Team | None = None) -> ConfigApi:
    team = team or make_team()
    return ConfigApi(team, Caller(make_key(make_user(team=team))))


def make_schemed(team: Team, **fields: Any) -> Plugin:
    """A plugin of the team's organization with SCHEMA."""
    return make_plugin(team.organization, **{"config_schema": SCHEMA, "name": "Relay", **fields})


def change(field: str, before: Any, after: Any, action: str = "changed") -> dict[str, Any]:
    return {"type": "PluginConfig", "action": action, "field": field, "before": before, "after": after}


def text(value: Any) -> str:
    return orjson.dumps(value).decode()
