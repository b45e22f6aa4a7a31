"""HTML forms of the browsable pages: fields from an operation's serializer, and their texts turned into values.

A form of these pages sends text under every name, with `_html_form` beside it. Bodies that have this name are read
here as the JSON body that they stand for; form bodies of programs never have it and stay text, as documented.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as own
from typing import Any, Final

from django.http import QueryDict
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from rest_framework import serializers
from rest_framework.request import Request

from core.api.json import dumps, loads
from core.api.operations import AnySerializer, request_serializer

MARK: Final = "_html_form"
"""Sent by every form; its text names the fields that were not empty when the page was made, separated by blanks."""
CSRF_FIELD: Final = "csrfmiddlewaretoken"
MAX_CHOICES_IN_HELP: Final = 20
_INTEGER: Final = re.compile(r"-?\d{1,19}")
_SEPARATORS: Final = re.compile(r"[\s,]+")
_LINE_ENDS: Final = re.compile(r"[\r\n]")
_CODE: Final = re.compile(r"`([^`]+)`")
_ABSENT: Final = object()


class Kind(enum.Enum):
    """How a field is shown, and what its text stands for."""

    TEXT = "text"
    SECRET = "password"  # noqa: S105 the name of an input type
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    FILE = "file"
    LINES = "lines"
    WORDS = "words"
    JSON = "json"
    ANY = "any"
    TEXT_OR_JSON = "text_or_json"


_KINDS: Final[tuple[tuple[type[Any], Kind], ...]] = (
    (serializers.FileField, Kind.FILE),
    (serializers.BooleanField, Kind.BOOLEAN),
    (serializers.MultipleChoiceField, Kind.WORDS),
    (serializers.ChoiceField, Kind.CHOICE),
    (serializers.IntegerField, Kind.INTEGER),
    (serializers.FloatField, Kind.NUMBER),
    (serializers.DecimalField, Kind.NUMBER),
    (serializers.DictField, Kind.JSON),
    (serializers.JSONField, Kind.ANY),
    (serializers.BaseSerializer, Kind.JSON),
    (serializers.CharField, Kind.TEXT),
    (serializers.UUIDField, Kind.TEXT),
    (serializers.DateTimeField, Kind.TEXT),
    (serializers.DateField, Kind.TEXT),
    (serializers.TimeField, Kind.TEXT),
)
_CHILDREN: Final = {
    Kind.TEXT: Kind.LINES, Kind.INTEGER: Kind.WORDS, Kind.NUMBER: Kind.WORDS, Kind.CHOICE: Kind.WORDS,
}  # fmt: skip
_HINTS: Final = {
    Kind.LINES: "One per line, or a JSON list.",
    Kind.WORDS: "Separated by commas or blanks, or a JSON list.",
    Kind.JSON: "JSON.",
    Kind.ANY: 'JSON, such as 12, true or {"a": 1}; anything else is taken as text.',
    Kind.TEXT_OR_JSON: "Text, or a JSON list or object.",
}
_EXAMPLES: Final[Mapping[Kind, Any]] = {
    Kind.BOOLEAN: False, Kind.LINES: [], Kind.WORDS: [], Kind.ANY: "", Kind.TEXT_OR_JSON: "",
}  # fmt: skip
_TEXTS: Final = frozenset({Kind.TEXT, Kind.SECRET})


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form: `value` is the text it is shown with, `empty` what an emptied one stands for.

    `of` is the kind of the items of a list, `typed` has the values that the texts of choices stand for.
    """

    name: str
    kind: Kind
    required: bool
    nullable: bool
    help: str
    empty: Any = ""
    choices: tuple[tuple[str, str], ...] = ()
    value: str = ""
    error: str = ""
    of: Kind = Kind.TEXT
    typed: Mapping[str, Any] = own(default_factory=dict)

    @property
    def explanation(self) -> SafeString:
        """The help as HTML."""
        return with_code(self.help)

    @property
    def rows(self) -> int:
        """Lines of a text area that shows the value."""
        return min(max(self.value.count("\n") + 2, 3), 16)

    @property
    def widget(self) -> str:
        """The element that shows the field: `select`, `textarea` or `input`."""
        if self.kind in {Kind.BOOLEAN, Kind.CHOICE}:
            return "select"
        return "textarea" if self.kind in _HINTS or "\n" in self.value else "input"

    @property
    def input_type(self) -> str:
        """The type of an `input` element."""
        if self.kind in {Kind.NUMBER, Kind.INTEGER}:
            return "number"
        return str(self.kind.value)


def fields_of(serializer: AnySerializer) -> list[FormField]:
    """Return the writable fields of a serializer."""
    return [
        _field(name, field)
        for name, field in serializer.fields.items()
        if not field.read_only and not isinstance(field, serializers.HiddenField)
    ]


def with_object(fields: Iterable[FormField], shown: Mapping[str, Any]) -> list[FormField]:
    """Return the fields with the values of an object, as JSON gives it."""
    return [
        replace(field, value=_text_of(field.kind, shown[field.name]))
        if field.name in shown and field.kind not in {Kind.FILE, Kind.SECRET}
        else field
        for field in fields
    ]


def with_sent(fields: Iterable[FormField], sent: Mapping[str, Any]) -> list[FormField]:
    """Return the fields with the texts that were sent, for a body that was refused."""
    return [replace(field, value=text) if (text := _sent(field, sent)) is not None else field for field in fields]


def with_error(field: FormField, text: str) -> FormField:
    """Return the field with the reason why its value was refused."""
    return replace(field, error=text)


def _sent(field: FormField, sent: Mapping[str, Any]) -> str | None:
    if field.kind in {Kind.FILE, Kind.SECRET} or field.name not in sent:
        return None
    if isinstance(sent, QueryDict):
        return "\n".join(str(text) for text in sent.getlist(field.name))
    return _text_of(field.kind, sent[field.name])


def read_form(request: Request, body: QueryDict) -> Mapping[str, Any]:
    """Return the values that a form of the browsable pages stands for, once per request; never raises.

    What cannot be read as the field's kind stays text, for the view to refuse in its own words.
    """
    context: dict[str, Any] = request.parser_context or {}
    if MARK not in context:
        serializer = request_serializer(context["view"], str(request.method)) if "view" in context else None
        context[MARK] = form_values(body, fields_of(serializer) if serializer is not None else [])
    values: Mapping[str, Any] = context[MARK]
    return values


def form_values(body: QueryDict, fields: Iterable[FormField]) -> dict[str, Any]:
    """Return the values of a form. Empty ones are absent, but for those that the person has emptied."""
    known = {field.name: field for field in fields}
    filled = set(str(body.get(MARK) or "").split())
    values: dict[str, Any] = {}
    for name in body:
        if name in {MARK, CSRF_FIELD}:
            continue
        field = known.get(name)
        value = body[name] if field is None else _value(field, body.getlist(name), was_filled=name in filled)
        if value is not _ABSENT:
            values[name] = value
    return values


def _value(field: FormField, given: list[Any], *, was_filled: bool) -> Any:  # noqa: ANN401 any JSON value, or a file
    if field.kind is Kind.FILE or any(not isinstance(text, str) for text in given):
        return given[-1]
    text = "\n".join(given) if field.kind in {Kind.LINES, Kind.WORDS} else given[-1]
    if not text or (field.kind not in _TEXTS and not text.strip()):
        if was_filled:
            return None if field.nullable else field.empty
        return text if field.required and field.kind in _TEXTS else _ABSENT
    if field.kind in {Kind.LINES, Kind.WORDS}:
        return _list_of(field, text)
    # Text areas send line ends of their own.
    return field.typed.get(text, _from_json(field.kind, text.replace("\r\n", "\n")))


def _list_of(field: FormField, text: str) -> Any:  # noqa: ANN401 a list, or JSON that is none
    if text.lstrip().startswith("["):
        try:
            return loads(text)
        except ValueError:
            return text
    if field.kind is Kind.LINES:
        return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    return [field.typed.get(word, _from_json(field.of, word)) for word in _SEPARATORS.split(text) if word]


def _from_json(kind: Kind, text: str) -> Any:  # noqa: ANN401 any JSON value
    wanted: tuple[type, ...] = (object,)
    if kind is Kind.INTEGER:
        return int(text) if _INTEGER.fullmatch(text.strip()) else text
    if kind is Kind.NUMBER:
        wanted = (int, float)
    elif kind is Kind.TEXT_OR_JSON:
        wanted = (dict, list)
    elif kind not in {Kind.JSON, Kind.ANY}:
        return text
    try:
        value = loads(text)
    except ValueError:
        return text
    return value if isinstance(value, wanted) else text


def _field(name: str, field: Any) -> FormField:  # noqa: ANN401 DRF's fields are generic in four ways
    kind = _kind(field)
    hint = _HINTS.get(kind, "")
    if isinstance(field, serializers.DateTimeField):
        hint = "ISO 8601, such as 2026-01-31T12:00:00Z."
    choices = _choices(field)
    if kind is Kind.WORDS and 0 < len(choices) <= MAX_CHOICES_IN_HELP:
        hint = f"{hint} Choices: {', '.join(text for text, _, _ in choices)}."
    return FormField(
        name=name,
        kind=kind,
        required=bool(field.required),
        nullable=bool(field.allow_null),
        help=" ".join(part for part in (str(field.help_text or ""), hint) if part),
        empty=_empty(field, kind),
        choices=tuple((text, label) for text, _, label in choices),
        typed={text: value for text, value, _ in choices},
        of=_kind(field.child) if isinstance(field, serializers.ListField) else Kind.TEXT,
    )


def _kind(field: Any) -> Kind:  # noqa: ANN401 DRF's fields are generic in four ways
    if isinstance(field, serializers.ListField):
        # No UUID has a blank or a comma in it, other texts may.
        is_word = isinstance(field.child, serializers.UUIDField) or bool(field.style.get("words"))
        return Kind.WORDS if is_word else _CHILDREN.get(_kind(field.child), Kind.JSON)
    kind = next((kind for classes, kind in _KINDS if isinstance(field, classes)), Kind.TEXT_OR_JSON)
    if kind is Kind.TEXT and field.style.get("input_type") == "password":
        return Kind.SECRET
    return kind


def _choices(field: Any) -> tuple[tuple[str, Any, str], ...]:  # noqa: ANN401 DRF's fields are generic in four ways
    """Return the text, the value and the label of each choice."""
    if isinstance(field, serializers.BooleanField):
        return (("true", True, "true"), ("false", False, "false"))
    if isinstance(field, serializers.ListField):
        return _choices(field.child)
    if not isinstance(field, serializers.ChoiceField):
        return ()
    found = ((str(value), value, str(label)) for value, label in field.choices.items() if value not in {None, ""})
    return tuple((text, value, label if label == text else f"{text} ({label})") for text, value, label in found)


def _empty(field: Any, kind: Kind) -> Any:  # noqa: ANN401 any JSON value
    if kind in {Kind.LINES, Kind.WORDS} or isinstance(field, serializers.ListField | serializers.ListSerializer):
        return []
    if kind is Kind.JSON:
        return {}
    return "" if kind in {*_TEXTS, Kind.TEXT_OR_JSON} or field.required else _ABSENT


def _text_of(kind: Kind, value: Any) -> str:  # noqa: ANN401 any JSON value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind in {Kind.LINES, Kind.WORDS} and isinstance(value, list) and all(_is_plain(kind, item) for item in value):
        return "\n".join(str(item) for item in value)
    if isinstance(value, str):
        return value if kind not in {Kind.JSON, Kind.ANY} or _from_json(kind, value) is value else dumps(value).decode()
    return dumps(value, indent=True).decode()


def _is_plain(kind: Kind, item: object) -> bool:
    """Whether an item of a list can be a line or a word of a text area."""
    if isinstance(item, str):
        separators = _LINE_ENDS if kind is Kind.LINES else _SEPARATORS
        return bool(item.strip()) and not separators.search(item) and not item.lstrip().startswith("[")
    return kind is Kind.WORDS and isinstance(item, int | float) and not isinstance(item, bool)


def example_body(serializer: AnySerializer, shown: Mapping[str, Any]) -> str:
    """Return a JSON body to start from: the values of an object, else empty ones of the right types."""
    body = {}
    for name, field in serializer.fields.items():
        if field.read_only or isinstance(field, serializers.HiddenField | serializers.FileField):
            continue
        if name in shown:
            body[name] = shown[name]
        elif (value := _example(field)) is not _ABSENT:
            body[name] = value
    return dumps(body, indent=True).decode()


def _example(field: Any) -> Any:  # noqa: ANN401 any JSON value
    kind = _kind(field)
    if field.allow_null and not field.required:
        return None
    if kind in _EXAMPLES:
        return _EXAMPLES[kind]
    if kind is Kind.JSON:
        return _empty(field, kind)
    if isinstance(field, serializers.CharField):
        return ""
    if not field.required:
        return _ABSENT
    return next(iter(field.choices), "") if kind is Kind.CHOICE else ""


def with_code(text: str) -> SafeString:
    """Return text as HTML, what is between backticks in code type."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S308 escaped before
