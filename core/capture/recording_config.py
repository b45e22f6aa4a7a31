"""What posthog-js is told about recording sessions: it records only when the project says so."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from core.projects.fields import DEFAULTS

ENDPOINT: Final = "/s/"
_ALL: Final = 1.0
_SETTINGS: Final = {
    "networkPayloadCapture": "session_recording_network_payload_capture_config",
    "masking": "session_recording_masking_config",
    "urlTriggers": "session_recording_url_trigger_config",
    "urlBlocklist": "session_recording_url_blocklist_config",
    "eventTriggers": "session_recording_event_trigger_config",
    "triggerMatchType": "session_recording_trigger_match_type_config",
}


def recording_config(settings: Mapping[str, Any]) -> dict[str, Any] | Literal[False]:
    """Return `sessionRecording` of the remote config; `settings` are those that the project has changed.

    False while the project has not opted in. There are no feature flags here, so a project that ties recording to
    one (`linkedFlag`) records nothing.
    """
    given = {**DEFAULTS, **settings}
    if given["session_recording_opt_in"] is not True:
        return False
    return {
        "endpoint": ENDPOINT,
        "consoleLogRecordingEnabled": bool(given["capture_console_log_opt_in"]),
        "recorderVersion": "v2",
        "sampleRate": _sample_rate(given["session_recording_sample_rate"]),
        "minimumDurationMilliseconds": given["session_recording_minimum_duration_milliseconds"] or None,
        "linkedFlag": _linked_flag(given["session_recording_linked_flag"]),
        **{name: given[key] for name, key in _SETTINGS.items()},
        "scriptConfig": None,
    }


def _sample_rate(value: Any) -> str | None:  # noqa: ANN401 any JSON value
    """Return the share of sessions to record as text; None for all."""
    try:
        return None if value is None or float(value) == _ALL else str(value)
    except (TypeError, ValueError):
        return None


def _linked_flag(value: Any) -> Any:  # noqa: ANN401 any JSON value
    if not isinstance(value, dict):
        return None
    if value.get("variant") is not None:
        return {"flag": value.get("key"), "variant": value["variant"]}
    return value.get("key")
