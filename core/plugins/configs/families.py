"""The families of plugins, each with a name in the API: told apart by what plugins can do (`capabilities`)."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, LiteralString


class Family(Enum):
    """What a plugin is for. One may be in several families, or in none but ALL."""

    ALL = auto()
    DESTINATION = auto()
    FRONTEND_APP = auto()
    TRANSFORMATION = auto()
    IMPORT_APP = auto()


_DELIVERS: Final = (
    '(p.capabilities @> \'{"methods": ["onEvent"]}\' OR p.capabilities @> \'{"methods": ["composeWebhook"]}\')'
)
_TRANSFORMS: Final = 'p.capabilities @> \'{"methods": ["processEvent"]}\''
_SCHEDULED: Final = "(p.capabilities ? 'scheduled_tasks' AND p.capabilities -> 'scheduled_tasks' <> '[]')"
_OTHER_METHODS: Final = f"(p.capabilities ? 'methods' AND NOT {_DELIVERS} AND NOT {_TRANSFORMS})"

IN_FAMILY: Final[Mapping[Family, LiteralString]] = {
    Family.ALL: "TRUE",
    Family.DESTINATION: _DELIVERS,
    Family.FRONTEND_APP: "(NOT p.capabilities ? 'methods' AND NOT p.capabilities ? 'scheduled_tasks')",
    Family.TRANSFORMATION: _TRANSFORMS,
    Family.IMPORT_APP: f"({_SCHEDULED} OR {_OTHER_METHODS})",
}
"""SQL conditions on a plugin `p`; never null."""
