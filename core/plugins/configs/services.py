"""Changes to plugin configs, each of them logged."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.activity.changes import changes_between
from core.activity.services import activities_log, activity_log
from core.api.errors import Conflict, Invalid, NotFound
from core.api.params import MAX_INTEGER_ID
from core.encryption.services import encrypt_json
from core.plugins.configs.attachments import (
    FileChange,
    attached_keys,
    attachments_change,
    shown_file_changes,
)
from core.plugins.configs.families import Family
from core.plugins.configs.masking import shown_changes
from core.plugins.configs.planning import ConfigBody, ConfigPlan, config_plan, new_config_plan
from core.plugins.configs.queries import config_exists, plugin_is_of
from core.plugins.deliveries.services import destination_sync
from core.plugins.jobs.services import job_start
from core.plugins.models import Plugin, PluginConfig
from core.plugins.visible import visible_plugins
from core.plugins.web_apps import web_apps_sync
from core.tenancy.holding import team_hold
from core.tenancy.statements import execute

MAX_CONFIGS: Final = 1_000
TOO_MANY: Final = f"A project may have {MAX_CONFIGS} plugin configs at most."
OTHER_FAMILY: Final = "This plugin is of another kind: its configs are not found under this name."
CHANGED_MEANWHILE: Final = "The plugin config is being changed by others. Try again."
_SCOPE: Final = "PluginConfig"
_TRIES: Final = 5
_WEB_TOKEN_BYTES: Final = 24
_SILENT: Final = ("name", "description", "deleted")
_LARGE: Final = ("plugin__archive", "plugin__encrypted_query")

_HOLD_PLUGIN: Final = "SELECT updated_at FROM core_plugin WHERE id = %s FOR KEY SHARE"
_LOCK_ENABLED: Final = """
SELECT c.id, c."order", p.name FROM core_pluginconfig c JOIN core_plugin p ON p.id = c.plugin_id
WHERE c.team_id = %s AND c.enabled AND c.id = ANY(%s) ORDER BY c.id FOR NO KEY UPDATE OF c
"""
_REARRANGE: Final = """
UPDATE core_pluginconfig c SET "order" = new."order", updated_at = %(now)s
FROM unnest(%(ids)s::bigint[], %(orders)s::integer[]) AS new(id, "order")
WHERE c.team_id = %(team_id)s AND c.id = new.id
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes configs, of which team."""

    team_id: int
    organization_id: UUID
    user_id: int | None


def config_create(*, author: Author, family: Family, plugin_id: int, body: ConfigBody) -> int:
    """Make a config of a plugin that the organization sees and return its id.

    Raises Invalid with the attr, and Conflict in a crowd.
    """
    # What a handler checks may take its time, such as looking up names: nothing is locked meanwhile.
    for _ in range(_TRIES):
        plugin = _plugin(author, family, plugin_id)
        plan = new_config_plan(plugin, body)
        config = PluginConfig(team_id=author.team_id, plugin=plugin, web_token=secrets.token_urlsafe(_WEB_TOKEN_BYTES))
        with transaction.atomic():
            team_hold(author.team_id)
            if not _plugin_hold(plugin):
                continue
            if not plan.after.deleted:
                _refuse_too_many(author.team_id)
            _save(author, config, plan)
            return int(config.id)
    raise Conflict(CHANGED_MEANWHILE)


def config_update(*, author: Author, family: Family, config_id: int, body: ConfigBody) -> None:
    """Change a config as a request says; raises NotFound, Invalid with the attr, and Conflict in a crowd."""
    for _ in range(_TRIES):
        seen = _seen(author, family, config_id)
        plan = config_plan(seen, body, attached=attached_keys(seen))
        with transaction.atomic():
            team_hold(author.team_id)
            if not _plugin_hold(seen.plugin):
                continue
            config = _lock(author.team_id, config_id)
            if config.updated_at != seen.updated_at:
                continue
            if plan.before.deleted and not plan.after.deleted:
                _refuse_too_many(author.team_id)
            _save(author, config, plan)
            return
    raise Conflict(CHANGED_MEANWHILE)


def config_disable(*, author: Author, family: Family, config_id: int) -> None:
    """Switch a config off; all else of it stays. Raises NotFound."""
    if not config_exists(team_id=author.team_id, family=family, config_id=config_id):
        raise NotFound
    with transaction.atomic():
        team_hold(author.team_id)
        config = _lock(author.team_id, config_id)
        if not config.enabled:
            return
        config.enabled = False
        config.save(update_fields=["enabled", "updated_at"])
        _log_one(author, config, "disabled", None)
        _follow(config)


def configs_rearrange(*, author: Author, orders: Mapping[int, int]) -> None:
    """Give configs that are switched on other places, by their ids; ids of no such config are passed over."""
    with transaction.atomic():
        team_hold(author.team_id)
        rows = execute(_LOCK_ENABLED, [author.team_id, sorted(orders)])
        moved = [(config_id, order, name) for config_id, order, name in rows if orders[config_id] != order]
        if not moved:
            return
        ids = [config_id for config_id, _, _ in moved]
        execute(
            _REARRANGE,
            {
                "ids": ids,
                "orders": [orders[number] for number in ids],
                "team_id": author.team_id,
                "now": timezone.now(),
            },
        )
        # PostHog's scope for these: that of plugins, with the id of the config.
        activities_log(
            team_id=author.team_id,
            organization_id=author.organization_id,
            user_id=author.user_id,
            scope="Plugin",
            activity="order_changed",
            items=[
                (
                    str(config_id),
                    {"name": name, "changes": changes_between("Plugin", {"order": was}, {"order": orders[config_id]})},
                )
                for config_id, was, name in moved
            ],
        )


def config_job_start(*, author: Author, family: Family, config_id: int, job: object) -> UUID:
    """Queue a job of a config, switched on or not, or stop it, and return its id.

    Raises NotFound, and Invalid for a job that is none.
    """
    config = _seen(author, family, config_id)
    return job_start(
        team_id=author.team_id,
        organization_id=author.organization_id,
        user_id=author.user_id,
        config=config,
        plugin=config.plugin,
        job=job,
    )


def _plugin(author: Author, family: Family, plugin_id: int) -> Plugin:
    """Return a plugin that the organization sees; raises Invalid, also for one of another family."""
    if not 0 <= plugin_id <= MAX_INTEGER_ID:
        _refuse_plugin(plugin_id)
    found = visible_plugins(author.organization_id).filter(id=plugin_id).defer("archive", "encrypted_query").first()
    # Read a moment later: it may have been uninstalled meanwhile.
    belongs = None if found is None else plugin_is_of(family, plugin_id=plugin_id)
    if found is None or belongs is None:
        _refuse_plugin(plugin_id)
    if not belongs:
        raise Invalid(OTHER_FAMILY, attr="plugin")
    return found


def _plugin_hold(plugin: Plugin) -> bool:
    """Keep a plugin from changing until the transaction ends; False if it did since it was read, or is gone.

    What its schema calls a secret must still be one when a value for it is stored.
    """
    rows = execute(_HOLD_PLUGIN, [plugin.id])
    return bool(rows) and rows[0][0] == plugin.updated_at


def _refuse_plugin(plugin_id: int) -> NoReturn:
    message = f'Invalid pk "{plugin_id}" - object does not exist.'
    raise Invalid(message, code="does_not_exist", attr="plugin")


def _refuse_too_many(team_id: int) -> None:
    if PluginConfig.objects.for_team(team_id).filter(deleted=False).count() >= MAX_CONFIGS:
        raise Invalid(TOO_MANY, code="limit_reached")


def _seen(author: Author, family: Family, config_id: int) -> PluginConfig:
    """Return a config with its plugin, not locked; raises NotFound."""
    if not config_exists(team_id=author.team_id, family=family, config_id=config_id):
        raise NotFound
    found = PluginConfig.objects.for_team(author.team_id).select_related("plugin").defer(*_LARGE)
    config = found.filter(id=config_id).first()
    if config is None:
        raise NotFound
    return config


def _lock(team_id: int, config_id: int) -> PluginConfig:
    """Return a config with its plugin, held until the transaction ends; raises NotFound."""
    found = PluginConfig.objects.for_team(team_id).select_related("plugin").defer(*_LARGE)
    config = found.filter(id=config_id).select_for_update(no_key=True, of=("self",)).first()
    if config is None:
        raise NotFound
    return config


def _save(author: Author, config: PluginConfig, plan: ConfigPlan) -> None:
    """Carry out a plan inside the transaction that holds the config, if it is there already."""
    is_new = config.pk is None
    for name, value in plan.after.plain().items():
        setattr(config, name, value)
    if not plan.keeps_values:
        config.encrypted_config = encrypt_json(plan.after.config)
    config.save(force_insert=is_new)
    files = attachments_change(config, uploads=plan.uploads, removed=plan.removed)
    _log(author, config, plan, files, is_new=is_new)
    _follow(config)


def _follow(config: PluginConfig) -> None:
    """Let what depends on configs know of a change."""
    destination_sync(config=config, plugin=config.plugin)
    web_apps_sync([config.team_id])


def _log(author: Author, config: PluginConfig, plan: ConfigPlan, files: list[FileChange], *, is_new: bool) -> None:
    """Add the entries that a change deserves; a new config that is switched on has one, with all its values."""
    before, after, schema = plan.before, plan.after, config.plugin.config_schema
    values = shown_changes(before.config, after.config, config_schema=schema)
    is_told_at_once = is_new and after.enabled
    if values and not is_told_at_once:
        _log_one(author, config, "config_updated", values)
    for activity, change in shown_file_changes(files, config_schema=schema):
        _log_one(author, config, activity, [change])
    if before.order != after.order:
        _log_one(author, config, "order_changed", changes_between(_SCOPE, before.plain("order"), after.plain("order")))
    silent = changes_between(_SCOPE, before.plain(*_SILENT), after.plain(*_SILENT))
    if silent and not is_new:
        _log_one(author, config, "deleted" if after.deleted and not before.deleted else "updated", silent)
    if before.enabled != after.enabled:
        changes = values if values and is_told_at_once else None
        _log_one(author, config, "enabled" if after.enabled else "disabled", changes)


def _log_one(author: Author, config: PluginConfig, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=author.team_id,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope=_SCOPE,
        activity=activity,
        item_id=str(config.id),
        detail={"name": config.plugin.name, "changes": changes},
    )
