"""What SDKs ask at start: remote config and feature flags. There are no flags here, and the answers say so."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

import orjson
from django.http import HttpRequest, HttpResponse

from core.capture.decoding import decode, read_query
from core.capture.http import json_response, public_view
from core.capture.recording_config import recording_config
from core.capture.refusals import Refusal, malformed, token_invalid
from core.capture.shapes import checked_token
from core.projects.fields import DEFAULTS
from core.tenancy.tokens import team_settings_by_token

_FLAGS_BYTES = 2 * 1024 * 1024
_TOKEN_KEYS = ("token", "api_key", "$token")
_YES = frozenset({"true", "1"})


def _config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what the project says; heatmaps and surveys are off, since nothing here would take or give them."""
    given = {**DEFAULTS, **settings}
    return {
        "supportedCompression": ["gzip", "gzip-js"],
        "hasFeatureFlags": False,
        "captureDeadClicks": bool(given["capture_dead_clicks"]),
        "capturePerformance": _performance(given),
        "autocapture_opt_out": bool(given["autocapture_opt_out"]),
        "autocaptureExceptions": bool(given["autocapture_exceptions_opt_in"]),
        "analytics": {"endpoint": "/i/v0/e/"},
        "elementsChainAsString": True,
        "sessionRecording": recording_config(settings),
        "heatmaps": False,
        "surveys": False,
        "defaultIdentifiedOnly": True,
        "siteApps": [],
    }


def _performance(given: Mapping[str, Any]) -> dict[str, Any] | Literal[False]:
    timing, vitals = bool(given["capture_performance_opt_in"]), bool(given["autocapture_web_vitals_opt_in"])
    if not timing and not vitals:
        return False
    metrics = given["autocapture_web_vitals_allowed_metrics"]
    return {"network_timing": timing, "web_vitals": vitals, "web_vitals_allowed_metrics": metrics}


@public_view("GET")
def config(_request: HttpRequest, token: str) -> HttpResponse:
    """Answer posthog-js's remote config; `analytics.endpoint` turns gzip on in it."""
    return json_response({"token": token, **_config(_settings_or_404(token))})


@public_view("GET")
def config_script(_request: HttpRequest, token: str) -> HttpResponse:
    """Answer the same as a script for the snippet."""
    found = _config(_settings_or_404(token))
    document = orjson.dumps({"config": {"token": token, **found}, "siteApps": []}).decode()
    # A token in the database is made of letters, digits and underscores; orjson quotes whatever else it could be.
    script = (
        "(function(){window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        f"window._POSTHOG_REMOTE_CONFIG[{orjson.dumps(token).decode()}]={document};}})();"
    )
    return HttpResponse(script, content_type="application/javascript")


def _settings_or_404(token: str) -> dict[str, Any]:
    try:
        settings = team_settings_by_token(checked_token(token))
    except Refusal:
        settings = None
    if settings is None:
        raise Refusal(404, "not_found", "Not found.", kind="invalid_request")
    return settings


@public_view("POST", "GET")
def flags(request: HttpRequest) -> HttpResponse:
    """Answer that no flag is on, to `/flags` and the older `/decide`."""
    query, settings = _checked_query(request)
    answer: dict[str, Any] = {
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "requestId": str(uuid4()),
        "quotaLimited": [],
    }
    if "/decide" in request.path:
        answer = {**_config(settings), "config": {"enable_collect_everything": True}, **answer}
        if query.get("v", "1") == "1":
            # The first version listed the keys of the flags that are on.
            answer["featureFlags"] = []
    elif query.get("config", "").lower() in _YES:
        answer = {**_config(settings), **answer}
    return json_response(answer)


def _checked_query(request: HttpRequest) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the query parameters and the settings of the project that the request names."""
    query = read_query(request)
    token: Any = query.get("token") or query.get("api_key")
    if not token:
        payload = decode(request, limit=_FLAGS_BYTES)
        if not isinstance(payload.document, dict):
            message = "failed to parse request: expected an object"
            raise malformed(message)
        found = (payload.document.get(key) for key in _TOKEN_KEYS)
        token = next((value for value in found if value is not None), payload.form_token)
    return query, _settings_or_401(token)


@public_view("GET")
def flag_definitions(request: HttpRequest) -> HttpResponse:
    """Answer server SDKs that evaluate flags themselves; posthog-python complains when `cohorts` is missing."""
    token = read_query(request).get("token")
    if token:
        _settings_or_401(token)
    return json_response({"flags": [], "group_type_mapping": {}, "cohorts": {}})


def _settings_or_401(token: Any) -> dict[str, Any]:  # noqa: ANN401 any JSON value
    settings = team_settings_by_token(checked_token(token))
    if settings is None:
        reason = "unknown project token"
        raise token_invalid(reason)
    return settings
