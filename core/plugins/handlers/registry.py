"""Which handlers this server has: the classes that PLUGIN_HANDLERS names, one of each."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from core.plugins.handlers.base import PluginHandler
from core.plugins.models import Plugin

INLINE: Final = "inline://"
_KEY: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_LONGEST_NAME: Final = 200
_LONGEST_JOB: Final = 200


def handlers() -> Mapping[str, PluginHandler]:
    """Return the handlers by key, in the order of the setting; raises ImproperlyConfigured for a wrong one."""
    return _handlers_of(tuple(settings.PLUGIN_HANDLERS))


def handler_of(plugin: Plugin) -> PluginHandler | None:
    """Return what carries out a plugin; None when nothing on this server does."""
    url = plugin.url or ""
    if plugin.plugin_type != Plugin.Type.INLINE or plugin.organization_id is not None or not url.startswith(INLINE):
        return None
    return handlers().get(url.removeprefix(INLINE))


@lru_cache(maxsize=8)
def _handlers_of(paths: tuple[str, ...]) -> Mapping[str, PluginHandler]:
    found: dict[str, PluginHandler] = {}
    for path in paths:
        handler = _handler_at(path)
        if handler.key in found:
            message = f"PLUGIN_HANDLERS: {path} has the key {handler.key!r}, which another one has already"
            raise ImproperlyConfigured(message)
        found[handler.key] = handler
    return MappingProxyType(found)


def _handler_at(path: str) -> PluginHandler:
    try:
        kind = import_string(path)
    except ImportError as error:
        message = f"PLUGIN_HANDLERS: {path} cannot be imported: {error}"
        raise ImproperlyConfigured(message) from error
    if not (isinstance(kind, type) and issubclass(kind, PluginHandler)):
        message = f"PLUGIN_HANDLERS: {path} is no PluginHandler"
        raise ImproperlyConfigured(message)
    if wrong := _defect(kind):
        message = f"PLUGIN_HANDLERS: {path}: {wrong}"
        raise ImproperlyConfigured(message)
    try:
        return kind()
    except TypeError as error:
        message = f"PLUGIN_HANDLERS: {path} cannot be made: {error}"
        raise ImproperlyConfigured(message) from error


def _defect(kind: type[PluginHandler]) -> str:
    """Say what of a class no plugin can be made of; empty when all is well."""
    texts = [getattr(kind, name, None) for name in ("key", "name", "description")]
    if not all(isinstance(text, str) for text in texts):
        return "key, name and description must be texts"
    if not _KEY.fullmatch(kind.key):
        return "the key must be 1 to 100 of a-z, 0-9, _ and -"
    if not 1 <= len(kind.name) <= _LONGEST_NAME:
        return f"the name must have 1 to {_LONGEST_NAME} characters"
    try:
        orjson.dumps([list(kind.config_schema), list(kind.methods), dict(kind.public_jobs)])
    except TypeError:
        return "config_schema, methods and public_jobs must be JSON"
    if any(not 1 <= len(job) <= _LONGEST_JOB for job in kind.public_jobs):
        return f"the names of jobs must have 1 to {_LONGEST_JOB} characters"
    return ""
