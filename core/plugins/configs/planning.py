"""What a request would make of a config, and whether that may be: nothing is locked or saved here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import Error

from core.api.errors import Invalid
from core.encryption.services import UnreadableError, decrypt_json
from core.plugins.configs.attachments import Upload, uploads_read
from core.plugins.configs.masking import merged_config
from core.plugins.configs.schema import config_attr, config_check
from core.plugins.deliveries.couriers import raised_at
from core.plugins.handlers.base import ConfigRefusedError
from core.plugins.handlers.registry import handler_of
from core.plugins.models import Plugin, PluginConfig

log = structlog.get_logger(__name__)

NOT_CHECKED: Final = "The plugin's handler could not check the config."
PLAIN: Final = ("enabled", "order", "name", "description", "deleted")
"""The columns of a config that a request may change, but for its values."""
_INHERITED: Final = ("name", "description")


@dataclass(frozen=True, slots=True)
class ConfigBody:
    """What a request says: `fields` are those of PLAIN that it has.

    `config` is None where it is left as it is. `files` are Django's uploaded files by their keys, not read yet.
    """

    fields: Mapping[str, Any]
    config: dict[str, Any] | None = field(default=None, repr=False)
    files: Mapping[str, Any] = field(default_factory=dict, repr=False)
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ConfigState:
    """A config as it is or is to be, decrypted."""

    enabled: bool
    order: int
    name: str | None
    description: str | None
    deleted: bool
    config: Mapping[str, Any] = field(repr=False)

    def plain(self, *names: str) -> dict[str, Any]:
        """Return these of its fields, all of PLAIN where none are named."""
        return {name: getattr(self, name) for name in names or PLAIN}


@dataclass(frozen=True, slots=True)
class ConfigPlan:
    """A change that may be saved: the state before and after, and the files to put and to remove."""

    before: ConfigState
    after: ConfigState
    uploads: list[Upload]
    removed: frozenset[str]
    keeps_values: bool


def new_config_plan(plugin: Plugin, body: ConfigBody) -> ConfigPlan:
    """Return the plan of a config that is to be made; raises Invalid with the attr."""
    order = body.fields["order"]
    nothing = ConfigState(enabled=False, order=order, name=None, description=None, deleted=False, config={})
    return _plan(plugin, nothing, body, attached=(), is_new=True)


def config_plan(config: PluginConfig, body: ConfigBody, *, attached: Iterable[str]) -> ConfigPlan:
    """Return the plan of a change to a config, which has files under these keys; raises Invalid with the attr."""
    return _plan(config.plugin, _state(config), body, attached=attached, is_new=False)


def _state(config: PluginConfig) -> ConfigState:
    """Return the state of a stored config. One that cannot be decrypted has no values: all must be given anew."""
    try:
        values = decrypt_json(config.encrypted_config)
    except UnreadableError:
        values = {}
    return ConfigState(**{name: getattr(config, name) for name in PLAIN}, config=values)


def _plan(
    plugin: Plugin, before: ConfigState, body: ConfigBody, *, attached: Iterable[str], is_new: bool
) -> ConfigPlan:
    uploads = uploads_read(body.files, config_schema=plugin.config_schema)
    values = before.config
    if body.config is not None:
        values = merged_config(before.config, body.config, config_schema=plugin.config_schema)
    fields = {**before.plain(), **body.fields}
    for name in _INHERITED:
        # Clients send whole objects back: what they were shown of the plugin must go on following it.
        if name in body.fields and not getattr(before, name) and fields[name] == getattr(plugin, name):
            fields[name] = getattr(before, name)
    if fields["deleted"]:
        fields["enabled"] = False
    after = ConfigState(**fields, config=values)
    # Who only moves, renames or switches off a config need not repair it first.
    if is_new or body.config is not None or uploads or body.removed or (after.enabled and not before.enabled):
        _check(plugin, after, {*attached} - body.removed | {upload.key for upload in uploads})
    return ConfigPlan(before, after, uploads, body.removed, keeps_values=not is_new and body.config is None)


def _check(plugin: Plugin, state: ConfigState, attached: set[str]) -> None:
    if state.enabled and settings.PLUGIN_CONFIG_VALIDATION:
        config_check(state.config, config_schema=plugin.config_schema, attached=attached)
    handler = handler_of(plugin)
    if handler is None:
        return
    try:
        handler.check(state.config, enabled=state.enabled)
    except ConfigRefusedError as error:
        raise Invalid(str(error), attr=config_attr(error.key)) from None
    except Error:
        raise
    except Exception as raised:  # noqa: BLE001 what it says may hold a secret
        log.error("plugin_handler_failed", plugin=plugin.id, error=type(raised).__name__, at=raised_at(raised))  # noqa: TRY400 the traceback ends with what it says
        raise Invalid(NOT_CHECKED, attr="config") from None
