"""Which renderer answers: `?format=` first, then Accept, JSON when in doubt."""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request

from core.api.errors import Invalid

# Taken everywhere, because the documents declare it on every persons operation; only some have a table to show.
IGNORED_FORMATS = frozenset({"json", "csv"})
_PLAIN_JSON = frozenset({None, "", "*/*", "application/json", "application/json, text/plain, */*", "application/*"})


class FormatFirstNegotiation(DefaultContentNegotiation):
    """The parameter wins over the header: generated SDKs send both, and they disagree."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its media type."""
        choices = list(renderers)
        wanted = format_suffix
        if wanted is None and "format=" in request.META.get("QUERY_STRING", ""):
            wanted = request.query_params.get("format") or None
        if wanted is not None:
            return _by_format(choices, wanted)
        accept = request.META.get("HTTP_ACCEPT")
        if accept in _PLAIN_JSON:
            return choices[0], choices[0].media_type
        chosen, media_type = self._by_accept(request, choices)
        return _fresh(chosen), media_type

    def _by_accept(self, request: Request, choices: list[BaseRenderer]) -> tuple[BaseRenderer, str]:
        result: Any = super().select_renderer(request, choices, None)
        if result is None:
            raise NotAcceptable(available_renderers=choices)
        return result[0], result[1]


def _by_format(choices: list[BaseRenderer], wanted: str) -> tuple[BaseRenderer, str]:
    for renderer in choices:
        if renderer.format == wanted:
            return _fresh(renderer), renderer.media_type
    if wanted in IGNORED_FORMATS:
        return choices[0], choices[0].media_type
    message = f'"{wanted[:40]}" is not a valid choice.'
    raise Invalid(message, code="invalid_choice", attr="format")


def _fresh(renderer: BaseRenderer) -> BaseRenderer:
    """Renderers are shared between threads; the browsable one keeps its request on itself."""
    return type(renderer)() if isinstance(renderer, BrowsableAPIRenderer) else renderer
