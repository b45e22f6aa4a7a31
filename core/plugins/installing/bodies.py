"""How request bodies about plugins are read: JSON, forms, and multipart with an `archive`."""

from dataclasses import dataclass
from typing import Any, Final

from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of, flag, required, text_value
from core.plugins.installing.archives import MAX_BYTES
from core.plugins.installing.fields import READERS
from core.plugins.installing.repositories import LOCAL
from core.plugins.installing.sources import changes_check
from core.plugins.models import Plugin

MAX_URL: Final = 2_000
NO_FILE: Final = "The submitted data was not a file. Check the encoding type on the form."
_INSTALLABLE: Final = (Plugin.Type.SOURCE, Plugin.Type.CUSTOM, Plugin.Type.REPOSITORY, Plugin.Type.LOCAL)


@dataclass(frozen=True, slots=True)
class PluginBody:
    """Columns that were given, as they are stored, and the archive of the code, if one was sent."""

    columns: dict[str, Any]
    archive: bytes | None


@dataclass(frozen=True, slots=True)
class InstallBody(PluginBody):
    """A plugin to install: `source` is its code, or `archive`, or what lies at `url` (which may hold a token)."""

    plugin_type: Plugin.Type
    url: str
    source: str | None


def read_change(request: Request, *, whole: bool = False) -> PluginBody:
    """Read the body of PATCH, or of PUT if it is `whole`; fields that only the server sets are ignored."""
    body = body_of(request)
    if whole and "name" not in body:
        raise required("name")
    columns = {name: read(body[name], name) for name, read in READERS.items() if name in body}
    if body.get("is_global") is not None:
        columns["is_global"] = flag(request, "is_global")
    archive = body.get("archive")
    return PluginBody(columns, None if archive is None or archive == "" else _archive(archive))


def read_install(request: Request) -> InstallBody:
    """Read the body of a new plugin."""
    body = body_of(request)
    change = read_change(request)
    url = text_value(body.get("url"), "url", MAX_URL).strip()
    given = body.get("plugin_type")
    if given is None or given == "":
        plugin_type = Plugin.Type.LOCAL if url.startswith(LOCAL) else Plugin.Type.CUSTOM
    elif given in _INSTALLABLE:
        plugin_type = Plugin.Type(given)
    else:
        message = f'"{text_value(str(given)[:100], "plugin_type", MAX_URL)}" is not a valid choice.'
        raise Invalid(message, code="invalid_choice", attr="plugin_type")
    if plugin_type == Plugin.Type.SOURCE:
        url = ""
    source = body.get("source")
    _check_kind(plugin_type, change, url)
    return InstallBody(
        change.columns,
        change.archive,
        plugin_type=plugin_type,
        url=url,
        source=None if source is None else changes_check({"source": source})["source"],
    )


def read_sources(request: Request) -> dict[str, str | None]:
    """Read the texts of files by name, None for a file to remove."""
    return changes_check(body_of(request))


def _check_kind(plugin_type: Plugin.Type, change: PluginBody, url: str) -> None:
    if plugin_type == Plugin.Type.SOURCE:
        if "name" not in change.columns:
            raise required("name")
        if change.archive is not None:
            raise Invalid("A source plugin has no archive; send it as a custom one.", attr="archive")
    elif change.archive is not None and (plugin_type != Plugin.Type.CUSTOM or url):
        raise Invalid("An archive makes a custom plugin without a URL.", attr="archive")
    elif change.archive is None and not url:
        raise required("url")
    elif url.startswith(LOCAL) != (plugin_type == Plugin.Type.LOCAL):
        raise Invalid("A local plugin, and only that, has a URL that begins with file:.", attr="url")


def _archive(upload: Any) -> bytes:  # noqa: ANN401 Django's uploaded file, or whatever a client sent in its place
    if not hasattr(upload, "read"):
        raise Invalid(NO_FILE, attr="archive")
    if upload.size > MAX_BYTES:
        message = f"The archive is larger than {MAX_BYTES // 1024 // 1024} MB."
        raise Invalid(message, code="max_length", attr="archive")
    data: bytes = upload.read()
    return data
