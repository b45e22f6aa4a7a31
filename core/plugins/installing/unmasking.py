"""Keeps what configs hold as secrets from being shown because their plugin no longer calls it secret."""

from django.db.models import Q

from core.api.errors import Invalid
from core.encryption.services import UnreadableError, decrypt_json
from core.plugins.config_schemas import secret_keys
from core.plugins.models import PluginAttachment, PluginConfig


def unmasking_refuse(*, plugin_id: int, before: object, after: object) -> None:
    """Refuse a `config_schema` in which a key is no secret any more for which a config has a value.

    Configs of all projects count, deleted ones too; they stay locked until the transaction ends. One that cannot be
    decrypted counts as having one. Raises Invalid.
    """
    shown = secret_keys(before) - secret_keys(after)
    if not shown:
        return
    configs = PluginConfig.unscoped.filter(plugin_id=plugin_id).order_by("id").select_for_update(no_key=True)
    held = {
        key for (config,) in configs.values_list("encrypted_config").iterator() for key in _held(bytes(config), shown)
    }
    files = PluginAttachment.unscoped.filter(Q(plugin_config__plugin_id=plugin_id), key__in=shown)
    held |= set(files.values_list("key", flat=True))
    if held:
        message = f"Configs hold secrets in {', '.join(sorted(held))}: these fields must stay secret."
        raise Invalid(message, attr="config_schema")


def _held(encrypted_config: bytes, keys: frozenset[str]) -> frozenset[str]:
    try:
        config = decrypt_json(encrypted_config)
    except UnreadableError:
        return keys
    return frozenset(key for key in keys if config.get(key) is not None and config[key] != "")
