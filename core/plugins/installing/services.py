"""Installing, changing and uninstalling plugins, each of it logged in the organization's activity log.

Locks are taken in this order: projects, the organization, the plugin, its configs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.api.errors import Forbidden, Invalid, NotFound
from core.encryption.services import UnreadableError, decrypt, encrypt
from core.plugins.deliveries.services import deliveries_forget
from core.plugins.installing.archives import ArchiveRefusedError
from core.plugins.installing.bodies import InstallBody, PluginBody
from core.plugins.installing.fetching import Location, located, location_code
from core.plugins.installing.manifest import FILE as MANIFEST
from core.plugins.installing.manifest import STATELESS_WITH_CONFIG, Manifest, manifest_read
from core.plugins.installing.sources import (
    CODE,
    Code,
    archive_code,
    code_capabilities,
    sources_check,
    sources_of,
    sources_save,
)
from core.plugins.installing.unmasking import unmasking_refuse
from core.plugins.levels import PluginsAccessLevel
from core.plugins.models import Plugin, PluginConfig
from core.plugins.visible import visible_plugins
from core.plugins.web_apps import web_apps_sync
from core.tenancy.holding import TeamGoneError, team_hold
from core.tenancy.statements import execute

MAX_PLUGINS: Final = 1_000
MANAGED_BY_ANOTHER: Final = "This plugin installation is managed by another organization"
NOT_GLOBAL: Final = "This organization can't manage global plugins!"
STILL_GLOBAL: Final = "This plugin is marked as global! Make it local before uninstallation"
_LOGGED: Final = (
    "name",
    "description",
    "icon",
    "tag",
    "config_schema",
    "public_jobs",
    "metrics",
    "is_global",
)
_UNIQUE: Final = "plugin_url_unique"
_LARGE: Final = ("archive", "encrypted_query")

_HOLD_ORGANIZATION: Final = "SELECT id FROM core_organization WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE"
# As a plugin whose organization is deleted (core.deletions.project_rows).
_LEAVE: Final = """
UPDATE core_plugin p
SET organization_id = NULL, encrypted_query = NULL, archive = NULL, updated_at = clock_timestamp(),
    url = (SELECT p.url WHERE NOT EXISTS (SELECT FROM core_plugin o WHERE o.organization_id IS NULL AND o.url = p.url))
WHERE id = %s
"""
_TEAMS: Final = """
SELECT DISTINCT c.team_id FROM core_pluginconfig c JOIN core_team t ON t.id = c.team_id
WHERE c.plugin_id = %s AND t.deleted_at IS NULL ORDER BY c.team_id
"""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes plugins, for which organization, and how much that may do (PluginsAccessLevel)."""

    organization_id: UUID
    access_level: int
    user_id: int | None


def plugin_install(*, author: Author, body: InstallBody) -> int:
    """Install a plugin and return its id; raises Invalid with the attr, and Forbidden for a global one.

    What lies elsewhere is fetched before anything is locked.
    """
    if body.columns.get("is_global"):
        _need_root(author)
    location = located(body.url) if body.url else None
    if location is not None:
        _refuse_installed(author.organization_id, location.url)
    code, tag = _sent_code(body) if location is None else location_code(location)
    columns = {**body.columns, **code.manifest.columns}
    if "name" not in columns:
        raise Invalid("plugin.json must have a name.", code="required", attr=f"{MANIFEST}__name")
    plugin = Plugin(organization_id=author.organization_id, plugin_type=body.plugin_type, **columns)
    _set_code(plugin, code)
    if location is not None:
        plugin.url = location.url
        plugin.encrypted_query = encrypt(location.query.encode()) if location.query else None
        plugin.tag = plugin.latest_tag = tag
    try:
        with transaction.atomic():
            _hold_organization(author)
            _refuse_too_many(author)
            plugin.save(force_insert=True)
            sources_save(plugin_id=plugin.id, before={}, after=code.files)
            _log(author, plugin, "installed", None)
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        if location is None or constraint != _UNIQUE:
            raise
        raise _installed(location.url) from error
    return plugin.id


def plugin_update(*, author: Author, plugin_id: int, body: PluginBody) -> None:
    """Change the given columns, and the code if an archive came; raises NotFound, Forbidden, and Invalid.

    What the archive says of itself wins.
    """
    _own(author, plugin_id)
    if "is_global" in body.columns:
        _need_root(author)
    code = None if body.archive is None else _archive_code(body.archive)
    with transaction.atomic():
        plugin = _lock(author, plugin_id)
        columns = dict(body.columns)
        sources: list[dict[str, Any]] = []
        if code is not None:
            if plugin.plugin_type != Plugin.Type.CUSTOM or plugin.url:
                raise Invalid("Only a plugin that came as an archive takes a new one.", attr="archive")
            columns = {**columns, **code.manifest.columns}
            _set_code(plugin, code)
            sources = sources_save(plugin_id=plugin.id, before=sources_of(plugin.id), after=code.files)
        _change(author, plugin, columns, sources)


def plugin_upgrade(*, author: Author, plugin_id: int) -> None:
    """Fetch a plugin anew from where it lies; one that was sent along stays as it is.

    Raises NotFound, Forbidden, and Invalid.
    """
    _own(author, plugin_id)
    url, query = Plugin.objects.values_list("url", "encrypted_query").get(id=plugin_id)
    if not url:
        return
    try:
        location = Location(url, decrypt(query).decode() if query else "")
    except UnreadableError as error:
        raise Invalid(str(error), attr="url") from None
    code, tag = location_code(location)
    with transaction.atomic():
        plugin = _lock(author, plugin_id)
        _set_code(plugin, code)
        plugin.latest_tag = tag
        sources = sources_save(plugin_id=plugin.id, before=sources_of(plugin.id), after=code.files)
        _change(author, plugin, {**code.manifest.columns, "tag": tag}, sources)


def sources_update(*, author: Author, plugin_id: int, changes: Mapping[str, str | None]) -> dict[str, str]:
    """Change files by name, None removes one; return the texts of all. Raises NotFound, Forbidden, and Invalid.

    A plugin.json among them changes the plugin too. Code with errors of syntax leaves the capabilities as they are.
    """
    _own(author, plugin_id)
    manifest = Manifest({}, None)
    if (text := changes.get(MANIFEST)) is not None:
        manifest = manifest_read(text)
    with transaction.atomic():
        plugin = _lock(author, plugin_id)
        before = sources_of(plugin.id)
        after = {**before, **{name: text for name, text in changes.items() if text is not None}}
        for name in [name for name, text in changes.items() if text is None]:
            after.pop(name, None)
        sources_check(after)
        if any(name in changes for name in (CODE, "index.js")):
            capabilities, is_whole = code_capabilities(after)
            plugin.capabilities = capabilities if is_whole else plugin.capabilities
        logged = sources_save(plugin_id=plugin.id, before=before, after=after)
        _change(author, plugin, manifest.columns, logged)
    return dict(sorted(after.items()))


def plugin_sources(*, organization_id: UUID, plugin_id: int) -> dict[str, str]:
    """Return the texts of the files of a plugin of the organization itself, by name; raises NotFound."""
    if not Plugin.objects.filter(id=plugin_id, organization_id=organization_id).exists():
        raise NotFound
    return sources_of(plugin_id)


def plugin_uninstall(*, author: Author, plugin_id: int) -> None:
    """Remove a plugin with the organization's configs of it, their jobs, files, and what waits for them.

    Where other organizations have configs of it, it stays for them, and is nobody's. Raises NotFound, Forbidden, and
    Invalid while it is global.
    """
    _own(author, plugin_id)
    with transaction.atomic():
        teams = _teams_hold(plugin_id)
        plugin = _lock(author, plugin_id)
        if plugin.is_global:
            raise Invalid(STILL_GLOBAL)
        by_team: dict[int, list[int]] = {}
        configs = PluginConfig.unscoped.filter(plugin_id=plugin_id)
        own = configs.filter(team__organization_id=author.organization_id)
        for team_id, config_id in own.values_list("team_id", "id"):
            by_team.setdefault(team_id, []).append(config_id)
        for team_id, config_ids in sorted(by_team.items()):
            deliveries_forget(team_id=team_id, plugin_config_ids=config_ids)
        own.delete()
        if configs.exists():
            execute(_LEAVE, [plugin_id])
        else:
            Plugin.objects.filter(id=plugin_id).delete()
        # One may have made its first config before the plugin was locked.
        web_apps_sync({*teams, *by_team})
        _log(author, plugin, "uninstalled", None)


def _sent_code(body: InstallBody) -> tuple[Code, None]:
    if body.archive is not None:
        return _archive_code(body.archive), None
    files = {CODE: body.source} if body.source is not None else {}
    capabilities, is_whole = code_capabilities(files)
    return Code(files, Manifest({}, None), capabilities, is_whole), None


def _archive_code(data: bytes) -> Code:
    try:
        return archive_code(data)
    except ArchiveRefusedError as error:
        raise Invalid(str(error), attr="archive") from None


def _set_code(plugin: Plugin, code: Code) -> None:
    plugin.archive = code.archive
    plugin.capabilities = code.capabilities


def _change(author: Author, plugin: Plugin, columns: Mapping[str, Any], sources: list[dict[str, Any]]) -> None:
    """Store columns of a locked plugin, with what of its code was set before; logged if anything is another."""
    before = {name: getattr(plugin, name) for name in _LOGGED}
    if "config_schema" in columns:
        unmasking_refuse(plugin_id=plugin.id, before=plugin.config_schema, after=columns["config_schema"])
    for name, value in columns.items():
        setattr(plugin, name, value)
    if plugin.is_stateless and plugin.config_schema:
        raise Invalid(STATELESS_WITH_CONFIG, attr="config_schema")
    changes = changes_between("Plugin", before, {name: getattr(plugin, name) for name in _LOGGED})
    code = ["archive"] if "archive" not in plugin.get_deferred_fields() else []
    plugin.save(update_fields=[*_LOGGED, "is_stateless", "capabilities", "latest_tag", "updated_at", *code])
    _log(author, plugin, "updated", [*changes, *sources])


def _need_root(author: Author) -> None:
    if author.access_level < PluginsAccessLevel.ROOT:
        raise Forbidden(NOT_GLOBAL)


def _own(author: Author, plugin_id: int) -> None:
    """Pass for a plugin of the organization itself; raises NotFound for one that it does not see, else Forbidden."""
    found = visible_plugins(author.organization_id).filter(id=plugin_id).values_list("organization_id", flat=True)
    owners = list(found)
    if not owners:
        raise NotFound
    if owners[0] != author.organization_id:
        raise Forbidden(MANAGED_BY_ANOTHER)


def _lock(author: Author, plugin_id: int) -> Plugin:
    """Lock a plugin of the organization, also against new configs of it; raises NotFound."""
    _hold_organization(author)
    plugins = Plugin.objects.defer(*_LARGE).select_for_update()
    plugin = plugins.filter(id=plugin_id, organization_id=author.organization_id).first()
    if plugin is None:
        raise NotFound
    return plugin


def _teams_hold(plugin_id: int) -> list[int]:
    """Hold the projects that have configs of a plugin, and return them; one that is deleted meanwhile is left out."""
    held = []
    for (team_id,) in execute(_TEAMS, [plugin_id]):
        try:
            team_hold(team_id)
        except TeamGoneError:
            continue
        held.append(team_id)
    return held


def _hold_organization(author: Author) -> None:
    if not execute(_HOLD_ORGANIZATION, [author.organization_id]):
        raise NotFound("Organization not found.")


def _refuse_installed(organization_id: UUID, url: str) -> None:
    if Plugin.objects.filter(organization_id=organization_id, url=url).exists():
        raise _installed(url)


def _installed(url: str) -> Invalid:
    message = f'Plugin from URL "{url}" already installed!'
    return Invalid(message)


def _refuse_too_many(author: Author) -> None:
    if Plugin.objects.filter(organization_id=author.organization_id).count() >= MAX_PLUGINS:
        message = f"An organization may have {MAX_PLUGINS} plugins at most."
        raise Invalid(message, code="limit_reached")


def _log(author: Author, plugin: Plugin, activity: str, changes: list[dict[str, Any]] | None) -> None:
    activity_log(
        team_id=None,
        organization_id=author.organization_id,
        user_id=author.user_id,
        scope="Plugin",
        activity=activity,
        item_id=str(plugin.id),
        detail={"name": plugin.name, "changes": changes},
    )
