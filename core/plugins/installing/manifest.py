"""`plugin.json`: what a plugin says of itself."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from core.api.errors import Invalid
from core.api.values import TooDeepError, json_repaired
from core.plugins.installing.fields import READERS

FILE: Final = "plugin.json"
STATELESS_WITH_CONFIG: Final = "Stateless plugins cannot have a config!"
_MAX_MAIN: Final = 200
_COLUMNS: Final = {
    "name": "name",
    "description": "description",
    "icon": "icon",
    "config": "config_schema",
    "publicJobs": "public_jobs",
}
"""Keys of the file, and the columns that they fill."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The columns that it fills, only those it speaks of, and the path of the plugin's code, if it says that."""

    columns: dict[str, Any]
    main: str | None


def manifest_read(text: str) -> Manifest:
    """Read the text of a plugin.json; raises Invalid with `plugin.json`, or a field of it, as the attr."""
    try:
        read = json_repaired(orjson.loads(text))
    except orjson.JSONDecodeError:
        raise Invalid("plugin.json is not valid JSON.", attr=FILE) from None
    except TooDeepError:
        raise Invalid("plugin.json is nested too deeply.", attr=FILE) from None
    if not isinstance(read, dict):
        raise Invalid("plugin.json must be an object.", attr=FILE)
    columns = {column: READERS[column](read[key], f"{FILE}__{key}") for key, column in _COLUMNS.items() if key in read}
    if "stateless" in read:
        columns["is_stateless"] = read["stateless"] is True
    if columns.get("is_stateless") and columns.get("config_schema"):
        raise Invalid(STATELESS_WITH_CONFIG, attr=FILE)
    main = read.get("main")
    if main is not None and not (isinstance(main, str) and 0 < len(main) <= _MAX_MAIN):
        raise Invalid("Not a valid path.", attr=f"{FILE}__main")
    return Manifest(columns, None if main is None else main.removeprefix("./"))
