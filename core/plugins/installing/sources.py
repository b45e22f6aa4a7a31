"""The files of a plugin that are kept: its manifest, its code, and what browsers get."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from core.api.errors import Invalid
from core.api.values import json_repaired
from core.plugins.installing import manifest
from core.plugins.installing.archives import MAX_FILE, PluginArchive
from core.plugins.installing.capabilities import UnparsableError, capabilities_of
from core.plugins.installing.manifest import Manifest, manifest_read
from core.plugins.installing.nudges import compile_nudge
from core.plugins.models import PluginConfig, PluginSourceFile
from core.plugins.web_apps import web_apps_sync

CODE: Final = "index.ts"
"""What the code is kept as, whatever it is called in an archive."""
SITE: Final = "site.ts"
COMPILED: Final = ("frontend.tsx", SITE)
"""What a compiler makes scripts for browsers of."""
NO_COMPILER: Final = "This server has no compiler for browser code: PLUGIN_COMPILE_COMMAND is not set."
MAX_FILES: Final = 100
MAX_TOTAL: Final = 8 * 1024 * 1024
_MAIN: Final = ("index.js", "index.ts")
_FILENAME: Final = re.compile(r"[\w@-][\w@.-]*(?:/[\w@-][\w@.-]*)*", re.ASCII)
_MAX_FILENAME: Final = 200


@dataclass(frozen=True, slots=True)
class Code:
    """A version of a plugin: texts by file name, what the manifest says, what the code can do, and its archive."""

    files: Mapping[str, str]
    manifest: Manifest
    capabilities: dict[str, list[str]]
    is_whole: bool
    """Whether the code has no errors of syntax, which may hide what it can do."""
    archive: bytes | None = None


def archive_code(data: bytes, folder: str = "") -> Code:
    """Read the archive of a plugin; raises ArchiveRefusedError, and Invalid for what is wrong in its files."""
    archive = PluginArchive(data, folder)
    return files_code({name: archive.text(name) for name in (manifest.FILE, *COMPILED)}, archive.text, data)


def files_code(
    files: Mapping[str, str | None], text: Callable[[str], str | None], archive: bytes | None = None
) -> Code:
    """Make a version of files, of which plugin.json must be one; `text` returns the text of any other, or None.

    Raises Invalid.
    """
    found = {name: str(json_repaired(content)) for name, content in files.items() if content is not None}
    if manifest.FILE not in found:
        raise Invalid("Could not find plugin.json in the plugin", attr=manifest.FILE)
    read = manifest_read(found[manifest.FILE])
    names = (read.main,) if read.main else _MAIN
    code = next((content for content in map(text, names) if content is not None), None)
    if code is not None:
        found[CODE] = str(json_repaired(code))
    elif not any(name in found for name in COMPILED):
        message = f"Could not find main file {' or '.join(names)}"
        raise Invalid(message, attr=manifest.FILE)
    capabilities, is_whole = code_capabilities(found)
    return Code(found, read, capabilities, is_whole, archive)


def code_capabilities(files: Mapping[str, str]) -> tuple[dict[str, list[str]], bool]:
    """Return what the code among files can do, and whether it is whole; raises Invalid for what cannot be parsed."""
    name = next((name for name in (CODE, "index.js") if name in files), None)
    if name is None:
        return {}, True
    try:
        return capabilities_of(files[name])
    except UnparsableError:
        raise Invalid("The code cannot be parsed within the limits of this server.", attr=name) from None


def changes_check(changes: Mapping[str, Any]) -> dict[str, str | None]:
    """Return changes of files as they are stored, texts by name and None for a file to remove; raises Invalid."""
    checked: dict[str, str | None] = {}
    for name, text in changes.items():
        if len(name) > _MAX_FILENAME or not _FILENAME.fullmatch(name):
            raise Invalid("Not a valid file name.", attr=str(json_repaired(name[:_MAX_FILENAME])))
        if text is not None and not isinstance(text, str):
            raise Invalid("Not a valid string.", attr=name)
        if text is not None and len(text) > MAX_FILE:
            message = f"Ensure this field has no more than {MAX_FILE} characters."
            raise Invalid(message, code="max_length", attr=name)
        checked[name] = None if text is None else str(json_repaired(text))
    return checked


def sources_of(plugin_id: int) -> dict[str, str]:
    """Return the texts of a plugin's files by name, in the order of names."""
    files = PluginSourceFile.objects.filter(plugin_id=plugin_id).order_by("filename")
    return dict(files.values_list("filename", "source"))


def sources_check(files: Mapping[str, str]) -> None:
    """Refuse more, or larger, files than a plugin may have; raises Invalid."""
    if len(files) > MAX_FILES:
        message = f"A plugin may have {MAX_FILES} files at most."
        raise Invalid(message, code="limit_reached")
    if sum(map(len, files.values())) > MAX_TOTAL:
        message = f"The files of a plugin may have {MAX_TOTAL} characters together."
        raise Invalid(message, code="limit_reached")


def sources_save(*, plugin_id: int, before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, Any]]:
    """Store what differs, and have it compiled where it is for browsers; return the changes for the activity log.

    The texts are not logged: code may hold secrets. Runs in the caller's transaction, which has the plugin locked.
    """
    gone = [name for name in before if name not in after]
    new = {name: text for name, text in after.items() if before.get(name) != text}
    PluginSourceFile.objects.filter(plugin_id=plugin_id, filename__in=[*gone, *new]).delete()
    PluginSourceFile.objects.bulk_create(_file(plugin_id, name, text) for name, text in new.items())
    if any(name in COMPILED for name in new):
        transaction.on_commit(compile_nudge)
    if SITE in new or SITE in gone:
        teams = PluginConfig.unscoped.filter(plugin_id=plugin_id).values_list("team_id", flat=True)
        web_apps_sync(set(teams))
    return [
        {
            "type": "Plugin",
            "action": "deleted" if name in gone else "changed" if name in before else "created",
            "field": name,
            "before": None,
            "after": None,
        }
        for name in sorted([*gone, *new])
    ]


def _file(plugin_id: int, name: str, text: str) -> PluginSourceFile:
    uncompilable = name in COMPILED and not settings.PLUGIN_COMPILE_COMMAND
    return PluginSourceFile(
        plugin_id=plugin_id,
        filename=name,
        source=text,
        status=PluginSourceFile.Status.ERROR if uncompilable else None,
        error=NO_COMPILER if uncompilable else None,
    )
