"""The browser code of a plugin, as a script: what a compiler made of `frontend.tsx`, or why there is none."""

from typing import Any, Final, NamedTuple

import orjson

from core.plugins.models import PluginSourceFile

CONTENT_TYPE: Final = "application/javascript; charset=UTF-8"
DEFAULT_ERROR: Final = "Error Compiling Plugin"
# What would end a script that a page has inline, or a line in one of old browsers.
_ESCAPES: Final = {"</": "<\\/", "<!--": "<\\!--", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class FrontendFile(NamedTuple):
    """How far the compilation of the file came; `status` is None before it began."""

    status: str | None
    transpiled: str | None
    error: str | None


def frontend_script(file: FrontendFile | None) -> str:
    """Return the script, which always defines `getFrontendApp` unless the plugin's own code does."""
    if file is None:
        return _app({"no_frontend": True})
    if file.status == PluginSourceFile.Status.TRANSPILED:
        return file.transpiled or ""
    if file.status is None or file.status == PluginSourceFile.Status.LOCKED:
        return _app({"transpiling": True})
    return _app({"error": file.error or DEFAULT_ERROR})


def _app(value: dict[str, Any]) -> str:
    # orjson leaves no blank after the colon; clients compare the text.
    ((name, told),) = value.items()
    text = orjson.dumps(told).decode()
    for found, written in _ESCAPES.items():
        text = text.replace(found, written)
    return f'export function getFrontendApp () {{ return {{"{name}": {text}}} }}'
