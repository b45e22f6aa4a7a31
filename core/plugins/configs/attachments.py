"""Files of configs: read from uploads, kept encrypted, and what the activity log says of them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.api.errors import Invalid
from core.api.params import text_value
from core.encryption.services import encrypt
from core.plugins.configs.masking import SECRET_PLACEHOLDER
from core.plugins.configs.schema import attachment_keys, secret_keys
from core.plugins.models import PluginAttachment, PluginConfig

MAX_FILE_BYTES: Final = 10 * 1024 * 1024
MAX_REQUEST_BYTES: Final = 20 * 1024 * 1024
MAX_TEXT: Final = 200
NO_FILE: Final = "The submitted data was not a file. Check the encoding type on the form."
UNKNOWN_KEY: Final = "The plugin has no attachment of this name."
_DEFAULT_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent for a key of a config."""

    key: str
    file_name: str
    content_type: str
    contents: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that was added, replaced or removed: the activity, the key, and the names before and after."""

    activity: str
    key: str
    before: str | None
    after: str | None


def uploads_read(files: Mapping[str, Any], *, config_schema: object) -> list[Upload]:
    """Read uploaded files by their keys; raises Invalid for what the schema does not ask for, and what is too large."""
    known = attachment_keys(config_schema)
    room = MAX_REQUEST_BYTES
    uploads = []
    for key, file in files.items():
        attr = f"add_attachment[{key[:MAX_TEXT]}]"
        if key not in known or len(key) > MAX_TEXT:
            raise Invalid(UNKNOWN_KEY, attr=attr)
        if not hasattr(file, "read"):
            raise Invalid(NO_FILE, attr=attr)
        if file.size > MAX_FILE_BYTES:
            message = f"An attachment may have {MAX_FILE_BYTES} bytes at most."
            raise Invalid(message, code="max_length", attr=attr)
        room -= file.size
        if room < 0:
            message = f"The attachments of a request may have {MAX_REQUEST_BYTES} bytes at most in all."
            raise Invalid(message, code="max_length", attr=attr)
        # A change that is judged again reads its files again.
        file.seek(0)
        uploads.append(
            Upload(
                key=key,
                file_name=text_value(file.name, attr, MAX_TEXT),
                content_type=text_value(file.content_type, attr, MAX_TEXT) or _DEFAULT_TYPE,
                contents=file.read(),
            )
        )
    return uploads


def attached_keys(config: PluginConfig) -> frozenset[str]:
    """Return the keys under which a config has files."""
    return frozenset(_of(config).values_list("key", flat=True))


def attachments_change(
    config: PluginConfig, *, uploads: Collection[Upload], removed: Collection[str]
) -> list[FileChange]:
    """Put files in the place of those under the same keys, which keep their ids, and remove others.

    Must run inside the transaction that holds the config.
    """
    if not uploads and not removed:
        return []
    names = dict(_of(config).values_list("key", "file_name"))
    gone = sorted({key for key in removed if key in names} - {upload.key for upload in uploads})
    _of(config).filter(key__in=gone).delete()
    PluginAttachment.unscoped.bulk_create(
        [
            PluginAttachment(
                team_id=config.team_id,
                plugin_config=config,
                key=upload.key,
                content_type=upload.content_type,
                file_name=upload.file_name,
                file_size=len(upload.contents),
                encrypted_contents=encrypt(upload.contents),
            )
            for upload in uploads
        ],
        update_conflicts=True,
        unique_fields=["plugin_config", "key"],
        update_fields=["content_type", "file_name", "file_size", "encrypted_contents"],
    )
    changes = [FileChange("attachment_deleted", key, names[key], None) for key in gone]
    for upload in uploads:
        before = names.get(upload.key)
        activity = "attachment_created" if before is None else "attachment_updated"
        changes.append(FileChange(activity, upload.key, before, upload.file_name))
    return changes


def shown_file_changes(changes: Iterable[FileChange], *, config_schema: object) -> list[tuple[str, dict[str, Any]]]:
    """Return activity and change of each file, as the activity log tells it; names of secret files are masked."""
    secrets = secret_keys(config_schema)
    shown = []
    for change in changes:
        before, after = change.before, change.after
        if change.key in secrets:
            before, after = (name and SECRET_PLACEHOLDER for name in (before, after))
        action = "created" if before is None else "deleted" if after is None else "changed"
        entry = {"type": "PluginConfig", "action": action, "field": change.key, "before": before, "after": after}
        shown.append((change.activity, entry))
    return shown


def _of(config: PluginConfig) -> Any:  # noqa: ANN401 Django's typed querysets differ by what is asked of them
    return PluginAttachment.objects.for_team(config.team_id).filter(plugin_config=config)
