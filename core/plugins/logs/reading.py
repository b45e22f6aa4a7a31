"""Lines that an operator gives as JSON, read and checked before any of them is stored."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from core.api.json import loads
from core.api.params import MAX_INTEGER_ID
from core.plugins.logs.services import LogSource, LogType, PluginLog

IDS: Final = ("team_id", "plugin_id", "plugin_config_id")
REQUIRED: Final = (*IDS, "source", "type", "message")
KEYS: Final = (*REQUIRED, "timestamp")
# Days are counted in 16 bits where ClickHouse sorts lines into days, seconds in 32 where it lets them go.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


class LinesRefusedError(ValueError):
    """The text is no list of lines; the message says where and why."""


def read_lines(text: str) -> list[PluginLog]:
    """Read a JSON array of `{"team_id", "plugin_id", "plugin_config_id", "source", "type", "message", "timestamp"}`.

    Only `timestamp` (ISO 8601; UTC where it has no offset) may be left out. Raises LinesRefusedError.
    """
    try:
        found = loads(text)
    except ValueError as error:
        message = f"no JSON: {error}"
        raise LinesRefusedError(message) from error
    if not isinstance(found, list):
        message = "expected a JSON array of objects"
        raise LinesRefusedError(message)
    lines = []
    for number, item in enumerate(found):
        try:
            lines.append(_line(item))
        except ValueError as error:
            message = f"line {number}: {error}"
            raise LinesRefusedError(message) from error
    return lines


def _line(item: object) -> PluginLog:
    if not isinstance(item, Mapping):
        message = "expected an object"
        raise ValueError(message)  # noqa: TRY004 the caller's text is wrong, not our types
    if missing := [key for key in REQUIRED if key not in item]:
        message = f"{', '.join(missing)} missing"
        raise ValueError(message)
    if unknown := sorted(set(item) - set(KEYS)):
        message = f"unknown key {unknown[0][:100]!r}; a line has {', '.join(KEYS)}"
        raise ValueError(message)
    if not isinstance(item["message"], str):
        message = "message must be a text"
        raise ValueError(message)  # noqa: TRY004 as above
    ids = {key: _id(item, key) for key in IDS}
    return PluginLog(
        **ids,
        source=_word(item, "source", LogSource),
        type=_word(item, "type", LogType),
        message=item["message"],
        timestamp=_moment(item.get("timestamp")),
    )


def _id(item: Mapping[str, Any], key: str) -> int:
    value = item[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_INTEGER_ID:
        message = f"{key} must be a positive integer"
        raise ValueError(message)
    return value


def _word(item: Mapping[str, Any], key: str, words: type[LogSource | LogType]) -> str:
    value = item[key]
    if value not in words:
        message = f"{key} must be one of {', '.join(words)}"
        raise ValueError(message)
    return str(value)


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.upper() if isinstance(value, str) else "")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = "timestamp must be a time in ISO 8601"
        raise ValueError(message) from error
    if not EARLIEST <= moment < LATEST:
        message = f"timestamp must lie from {EARLIEST.year} to {LATEST.year - 1}"
        raise ValueError(message)
    return moment
