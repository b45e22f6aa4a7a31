"""What the browsable pages show around an answer: forms, parameters, and links to the pages below."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.urls import get_resolver
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from rest_framework.request import Request

from core.api import forms, operations
from core.api.forms import FormField
from core.api.json import dumps, loads

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""For every page: nothing from other hosts, no script inside a page. Styles inside are Swagger's and Redoc's."""
JSON_TYPE: Final = "application/json"
BODY_TYPES: Final = (JSON_TYPE, "application/x-www-form-urlencoded", "multipart/form-data")
MAX_OBJECTS: Final = 50
_KEY_PARAMETER: Final = "personal_api_key"
_SUCCESS: Final = range(200, 300)
_ARGUMENT: Final = re.compile(r"\{\w+\}")
_NAMES: Final = ("name", "label", "email", "id")
_UNITS: Final = ((3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer that a page shows, and what it answers."""

    view: Any
    request: Request
    status: int
    data: Any

    @property
    def is_good(self) -> bool:
        """Whether the request was served."""
        return self.status in _SUCCESS

    @property
    def value(self) -> Any:  # noqa: ANN401 any JSON value
        """The answer as clients parse it."""
        return None if self.data is None else loads(dumps(self.data))


@dataclass(slots=True)
class Operation:
    """A method of a page's panel, and what it does."""

    method: str
    summary: SafeString


@dataclass(slots=True)
class Panel:
    """One form, sent by any of its methods; `error` is what no field is to blame for."""

    id: str
    operations: list[Operation]
    fields: list[FormField]
    raw: str
    sent_raw: bool = False
    error: str = ""
    body_types: tuple[str, ...] = BODY_TYPES
    filled: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Note which fields have a value, so that the reader of the form knows what was emptied."""
        self.filled = " ".join(one.name for one in self.fields if one.value)

    @property
    def takes_body(self) -> bool:
        """Whether there is anything to fill in."""
        return bool(self.fields)


def panels(shown: Shown, methods: Iterable[str]) -> list[Panel]:
    """Return a panel for POST and one for PATCH and PUT together, of the methods that are offered."""
    offered = set(methods)
    groups = [[method for method in names if method in offered] for names in (("POST",), ("PATCH", "PUT"))]
    return [_panel(shown, names) for names in groups if names]


def _panel(shown: Shown, methods: list[str]) -> Panel:
    view, request = shown.view, shown.request
    serializer = next(
        (found for method in methods if (found := operations.request_serializer(view, method)) is not None), None
    )
    fields = forms.fields_of(serializer) if serializer is not None else []
    value = shown.value if shown.is_good else None
    # A new object starts empty; a change starts from what is there.
    before = value if isinstance(value, Mapping) and "POST" not in methods else {}
    fields = forms.with_object(fields, before)
    raw = forms.example_body(serializer, before) if serializer is not None else ""
    refused = not shown.is_good and request.method in methods
    error, sent_raw = "", False
    sent = request.data if refused and isinstance(request.data, Mapping) else {}
    if refused:
        sent_raw = forms.MARK not in sent
        raw = _raw_of(request) or raw
        fields, error = _with_error(forms.with_sent(fields, sent), shown.data)
    described = [Operation(method, forms.with_code(operations.summary(view, method))) for method in methods]
    panel = Panel(methods[0].lower(), described, fields, raw, sent_raw=sent_raw, error=error)
    if refused and not sent_raw:
        panel.filled = str(sent.get(forms.MARK) or "")
    return panel


def _raw_of(request: Request) -> str:
    if str(request.content_type).partition(";")[0].strip().lower() != JSON_TYPE:
        return ""
    return bytes(request.body).decode("utf-8", "replace")


def _with_error(fields: list[FormField], problem: Any) -> tuple[list[FormField], str]:  # noqa: ANN401 the answer
    """Put an error beside its field, or return it where there is no such field."""
    if not isinstance(problem, Mapping) or "detail" not in problem:
        return fields, ""
    detail, name = str(problem["detail"]), str(problem.get("attr") or "").partition("__")[0]
    if all(one.name != name for one in fields):
        return fields, detail
    return [forms.with_error(one, detail) if one.name == name else one for one in fields], ""


def query_fields(shown: Shown, method: str) -> list[FormField]:
    """Return the documented parameters of a method without a body, with the values of this request."""
    given = shown.request.query_params if method == shown.request.method else {}
    return [
        FormField(
            name=found.name,
            kind=forms.Kind.BOOLEAN if found.type is bool else forms.Kind.TEXT,
            required=bool(found.required),
            nullable=False,
            help=str(found.description or ""),
            choices=(("true", "true"), ("false", "false")) if found.type is bool else (),
            value=given.get(found.name, ""),
        )
        for found in operations.query_parameters(shown.view, method)
        if not isinstance(found.type, dict)
    ]


def pages_below(shown: Shown) -> list[tuple[str, str]]:
    """Return names and addresses of the pages one step below: extra actions, and resources of this object."""
    route = getattr(shown.view, "route", None)
    if route is None or shown.view.kwargs.get("format"):
        return []
    here = _shape(route.template)
    names = sorted({shape[len(here) : -1] for shape in _shapes() if _is_step(shape, here)})
    base = shown.request.path.rstrip("/")
    return [(name, f"{base}/{name}/") for name in names]


def objects_of(shown: Shown) -> list[tuple[str, str]]:
    """Return names and addresses of the objects of a list; none where they have no page of their own."""
    route = getattr(shown.view, "route", None)
    if route is None or not shown.is_good or f"{_shape(route.template)}{{}}/" not in _shapes():
        return []
    value = shown.value
    rows = value.get("results") if isinstance(value, Mapping) else value
    if not isinstance(rows, list):
        return []
    base = re.sub(r"\.\w+$", "", shown.request.path.rstrip("/"))
    return [
        (_name_of(row), f"{base}/{quote(str(row['id']), safe='')}/")
        for row in rows[:MAX_OBJECTS]
        if isinstance(row, Mapping) and row.get("id") is not None
    ]


def name_of_object(shown: Shown) -> str:
    """Return what the object of a page is called, by its answer; empty where it has no name."""
    value = shown.value if shown.is_good else None
    return _name_of(value, default="") if isinstance(value, Mapping) else ""


def has_secret(shown: Shown) -> bool:
    """Whether this answer is the only one that has a secret value in it."""
    handler = operations.handler_of(shown.view, str(shown.request.method))
    return shown.is_good and getattr(handler, "secret_answer", False)


def span_of(seconds: int) -> str:
    """Return a time span in words, in the largest unit that divides it."""
    length, unit = next((length, unit) for length, unit in _UNITS if seconds % length == 0)
    count = seconds // length
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _name_of(row: Mapping[str, Any], default: str = "?") -> str:
    user = row.get("user")
    named = [row.get(name) for name in _NAMES]
    if isinstance(user, Mapping):
        named.insert(0, user.get("email"))
    return next((str(name)[:80] for name in named if name is not None and str(name).strip()), default)


def _is_step(shape: str, here: str) -> bool:
    rest = shape[len(here) :] if shape.startswith(here) else ""
    return rest.count("/") == 1 and not rest.startswith("{")


def _shape(template: str) -> str:
    return _ARGUMENT.sub("{}", template)


@lru_cache(maxsize=1)
def _shapes() -> frozenset[str]:
    """Return the path of every route, without the names of its arguments; patterns are named by tree and template."""
    names = (name.partition("-")[2] for name in get_resolver().reverse_dict if isinstance(name, str))
    return frozenset(_shape(name) for name in names if name.startswith("/api/") and name.endswith("/"))


def formats(shown: Shown) -> list[tuple[str, str]]:
    """Return the other forms of this answer, with their addresses."""
    names = [found.format for found in shown.view.get_renderers() if found.format != "api"]
    return [(name, address(shown.request, format=name)) for name in names]


def address(request: Request, **changed: str) -> str:
    """Return path and query string of a page, with some parameters changed and without a key that came in them."""
    left_out = {_KEY_PARAMETER, *changed}
    pairs = [(name, text) for name, texts in request.query_params.lists() for text in texts if name not in left_out]
    query = urlencode([*pairs, *changed.items()])
    path = quote(request.path, safe="/@")
    return f"{path}?{query}" if query else path


def with_links(text: str, base: str) -> SafeString:
    """Return JSON text as HTML, with links where a string is an address below `base`."""
    pattern = re.compile(rf"&quot;({re.escape(escape(base))}[^\s&<>]*(?:&amp;[^\s&<>]*)*)&quot;")
    return mark_safe(pattern.sub(r'&quot;<a href="\1">\1</a>&quot;', str(escape(text))))  # noqa: S308 escaped before
