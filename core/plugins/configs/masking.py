"""Secrets of configs: how they are shown, and what it means when a client sends back what it was shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.activity.changes import changes_between
from core.api.errors import Invalid
from core.plugins.configs.schema import attachment_keys, config_attr, secret_keys

SECRET_PLACEHOLDER: Final = "*" * 16 + " POSTHOG SECRET FIELD " + "*" * 16
NONE_STORED: Final = "This text stands for a secret that is stored already, and none is."
HOLDS_NONE: Final = "This text stands for a secret, and this field holds none."
_SCOPE: Final = "PluginConfig"
_EMPTY: Final = (None, "")


@dataclass(frozen=True, slots=True)
class ShownFile:
    """What a config shows of a file; `uid` is its id, `size` in bytes."""

    key: str
    uid: int
    size: int
    name: str
    type: str


def shown_config(
    config: Mapping[str, Any], *, config_schema: object, files: Iterable[ShownFile] = ()
) -> dict[str, Any]:
    """Return a config as anybody may see it: secrets and secret files replaced, files under their keys."""
    secrets = secret_keys(config_schema)
    shown = {key: _shown(value) if key in secrets else value for key, value in config.items()}
    for file in files:
        seen = (
            {"uid": -1, "saved": True, "size": -1, "name": SECRET_PLACEHOLDER, "type": "application/octet-stream"}
            if file.key in secrets
            else {"uid": file.uid, "saved": True, "size": file.size, "name": file.name, "type": file.type}
        )
        shown[file.key] = seen
    return shown


def merged_config(stored: Mapping[str, Any], given: Mapping[str, Any], *, config_schema: object) -> dict[str, Any]:
    """Return the config that replaces a stored one when a client sends another.

    A secret that is absent, null, or as it was shown stays what it is. What is sent under the key of a file is what
    was shown of it, and no part of the config. Raises Invalid where the placeholder stands for nothing.
    """
    files, secrets = attachment_keys(config_schema), secret_keys(config_schema)
    merged = {key: value for key, value in given.items() if key not in files}
    for key in secrets - files:
        value = merged.get(key)
        if value == SECRET_PLACEHOLDER and stored.get(key) in _EMPTY:
            raise Invalid(NONE_STORED, attr=config_attr(key))
        if (value is None or value == SECRET_PLACEHOLDER) and key in stored:
            merged[key] = stored[key]
    for key, value in merged.items():
        if key not in secrets and value == SECRET_PLACEHOLDER:
            raise Invalid(HOLDS_NONE, attr=config_attr(key))
    return merged


def shown_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], *, config_schema: object
) -> list[dict[str, Any]]:
    """Return one change per key whose value differs, as the activity log tells it; of secrets only that they did."""
    secrets = secret_keys(config_schema)
    keys = dict.fromkeys((*before, *after))
    changes = changes_between(_SCOPE, before, {key: after.get(key) for key in keys})
    return [_masked(change) if change["field"] in secrets else change for change in changes]


def _shown(value: object) -> object:
    return value if value is None or value == "" else SECRET_PLACEHOLDER


def _masked(change: dict[str, Any]) -> dict[str, Any]:
    return {**change, "before": SECRET_PLACEHOLDER, "after": SECRET_PLACEHOLDER}
