"""Bodies as clients send them: JSON, forms, multipart with `name[]` lists."""

from collections.abc import Mapping
from typing import IO, Any

from django.http import QueryDict
from rest_framework import parsers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import DataAndFiles

from core.api.json import loads
from core.api.renderers import ORJSONRenderer

Context = Mapping[str, Any] | None


class ORJSONParser(parsers.JSONParser):
    """JSON, with Python's words on a syntax error; a subclass so that DRF hands over the whole body."""

    renderer_class = ORJSONRenderer  # type: ignore[assignment]  # only the browsable API reads this

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Context = None) -> Any:  # noqa: ANN401
        """Return the parsed body."""
        del media_type, parser_context
        body = stream.read()
        if not body.strip():
            return {}
        try:
            return loads(body)
        except ValueError as error:
            message = f"JSON parse error - {error}"
            raise ParseError(message) from error


class FormParser(parsers.FormParser):
    """`a=1&b=2`; `b[]` counts as `b`."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Context = None) -> Any:  # noqa: ANN401 a QueryDict
        """Return the fields."""
        return _without_brackets(super().parse(stream, media_type, parser_context))


class MultiPartParser(parsers.MultiPartParser):
    """multipart/form-data; `b[]` counts as `b`."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Context = None
    ) -> "DataAndFiles[Any, Any]":
        """Return fields and files."""
        parsed: Any = super().parse(stream, media_type, parser_context)
        return DataAndFiles(_without_brackets(parsed.data), parsed.files)


def _without_brackets(fields: QueryDict) -> QueryDict:
    if not any(name.endswith("[]") for name in fields):
        return fields
    plain = QueryDict(mutable=True)
    for name, values in fields.lists():
        for value in values:
            plain.appendlist(name.removesuffix("[]"), value)
    return plain
