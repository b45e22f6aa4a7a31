"""What a handler gets of a config: its values decrypted, its files when it asks for them."""

from collections.abc import Callable
from typing import Any

from core.encryption.services import decrypt, decrypt_json
from core.plugins.handlers.base import Attachment, HandlerContext
from core.plugins.models import PluginAttachment, PluginConfig


def context_of(
    config: PluginConfig, log: Callable[[str, str], None], *, redeliver: Callable[[int], int] | None = None
) -> HandlerContext:
    """Return the context of a config; raises UnreadableError, also when a file is asked for.

    `log` takes the type and the text of a line, `redeliver` is HandlerContext's, for jobs.
    """

    def attachment(key: str) -> Attachment | None:
        found = PluginAttachment.objects.for_team(config.team_id).filter(plugin_config_id=config.pk, key=key).first()
        if found is None:
            return None
        return Attachment(found.file_name, found.content_type, decrypt(found.encrypted_contents))

    also: dict[str, Any] = {} if redeliver is None else {"redeliver": redeliver}
    return HandlerContext(
        team_id=config.team_id,
        plugin_id=config.plugin_id,
        plugin_config_id=config.pk,
        config=decrypt_json(config.encrypted_config),
        log=log,
        attachment=attachment,
        **also,
    )
