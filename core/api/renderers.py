"""JSON by orjson for clients, DRF's browsable pages for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rest_framework import renderers
from rest_framework.request import Request

from core.api.json import dumps

if TYPE_CHECKING:  # DRF's views read these classes from the settings while they are imported
    from rest_framework.views import APIView


class ORJSONRenderer(renderers.BaseRenderer):
    """JSON text; `orjson.Fragment` values are written through as they are."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body; no data is an empty body."""
        del renderer_context
        if data is None:
            return b""
        return dumps(data, indent="indent" in (accepted_media_type or ""))


class _StreamRenderer(renderers.BaseRenderer):
    """Stands for a form in negotiation and in the documents; the view itself writes the answer."""

    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return JSON, for answers that are no table after all."""
        del accepted_media_type, renderer_context
        return b"" if data is None else dumps(data)


class TableRenderer(_StreamRenderer):
    """A table, by `format=csv` or `Accept: text/csv`."""

    media_type = "text/csv"
    format = "csv"


class LinesRenderer(_StreamRenderer):
    """One JSON document per line, by `format=ndjson` or `Accept: application/x-ndjson`."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class BrowsableRenderer(renderers.BrowsableAPIRenderer):
    """DRF's pages around indented JSON."""

    form_renderer_class = renderers.HTMLFormRenderer

    def get_default_renderer(self, view: "APIView") -> renderers.BaseRenderer:
        """Show JSON, whatever else the view can render."""
        del view
        return ORJSONRenderer()

    def get_content(
        self,
        renderer: renderers.BaseRenderer,
        data: Any,  # noqa: ANN401 anything that is JSON
        accepted_media_type: str | None,
        renderer_context: Mapping[str, Any],
    ) -> str:
        """Return the JSON as people read it."""
        del renderer, accepted_media_type, renderer_context
        return "" if data is None else dumps(data, indent=True).decode()

    def get_filter_form(self, data: Any, view: "APIView", request: Request) -> None:  # noqa: ANN401
        """Views filter by their own parameters, so there is no generic form."""
        del data, view, request

    def get_rendered_html_form(self, data: Any, view: "APIView", method: str, request: Request) -> Any:  # noqa: ANN401
        """Offer field forms only where a serializer says what the fields are; the raw form is always there."""
        if method in {"POST", "PUT", "PATCH"} and getattr(view, "serializer_class", None) is None:
            return None
        return super().get_rendered_html_form(data, view, method, request)
