"""Structured logs on standard error: JSON lines or readable text, and no secrets in either."""

import os
import re
import sys
from datetime import UTC, datetime
from logging import INFO, getLevelNamesMapping
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

from core.api.json import dumps

_SECRETS = re.compile(
    r"(?P<token>\bph[xsa]_)[A-Za-z0-9]{4,}"
    r"|(?P<name>\b(?:personal_api_key|token|api_key|data|password|authorization|cookie|secret)\b[\"']?\s*[=:]\s*[\"']?)"
    r"(?:Bearer\s+)?[^\s&\"',}]+"
    r"|(?P<scheme>\bBearer\s+)[^\s\"']+",
    re.IGNORECASE,
)
# Nearly every line holds none of these; looking for them costs a fiftieth of the expression above.
_MARKERS = ("phx_", "phs_", "pha_", "key", "token", "data", "passw", "auth", "cookie", "secret", "bearer")
HIDDEN = "[hidden]"
STDERR: Final = 2


def hide_secrets(text: str) -> str:
    """Replace keys, secret tokens and the values of telling parameters."""
    lowered = text.lower()
    if not any(marker in lowered for marker in _MARKERS):
        return text
    return _SECRETS.sub(lambda match: f"{match['token'] or match['name'] or match['scheme']}{HIDDEN}", text)


def _render_json(_: Any, __: str, event: EventDict) -> str:  # noqa: ANN401 structlog's signature
    return hide_secrets(dumps(_jsonable(event)).decode())


def _jsonable(event: EventDict) -> dict[str, Any]:
    plain = (str, int, float, bool, type(None), list, dict)
    return {key: value if isinstance(value, plain) else str(value) for key, value in event.items()}


class _Readable:
    """Console lines with secrets hidden."""

    def __init__(self) -> None:
        self.render = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # rich's one prints local variables
        )

    def __call__(self, logger: Any, name: str, event: EventDict) -> str:  # noqa: ANN401 structlog's signature
        return hide_secrets(str(self.render(logger, name, event)))


def logging_settings(*, level: str, as_json: bool) -> dict[str, Any]:
    """Configure structlog, and return Django's LOGGING so that the standard library's logs look the same."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Processor] = [structlog.processors.format_exc_info, _render_json] if as_json else [_Readable()]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(getLevelNamesMapping().get(level.upper(), 20)),
        logger_factory=_stderr_logger,
        cache_logger_on_first_use=False,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # Django tells every 4xx with its path here; the access line of RequestContextMiddleware says it safely.
        "loggers": {"django.request": {"level": "CRITICAL"}, "django.server": {"level": "WARNING"}},
    }


class AccessLog:
    """One line per request. It holds nothing that a client could put a secret into, so JSON skips the processors."""

    def __init__(self, *, level: str, as_json: bool) -> None:
        """Decide once in which form, if at all."""
        self._enabled = getLevelNamesMapping().get(level.upper(), INFO) <= INFO
        self._structlog = None if as_json else structlog.get_logger("persons_api.access").bind()

    def write(self, *, method: str, route: str, status: int, ms: float, request_id: str) -> None:
        """Tell of one answered request."""
        if not self._enabled:
            return
        if self._structlog is not None:
            self._structlog.info("request", method=method, route=route, status=status, ms=ms)
            return
        line = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": "info",
            "event": "request",
            "method": method,
            "route": route,
            "status": status,
            "ms": ms,
            "request_id": request_id,
        }
        os.write(STDERR, dumps(line) + b"\n")


def _stderr_logger(*_: Any) -> structlog.PrintLogger:  # noqa: ANN401 structlog's signature
    return structlog.PrintLogger(file=sys.stderr)
