"""Pages of actors, and the links to the next and the first of them (insight_actors.md 3.3)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_plus

from django.utils.encoding import escape_uri_path
from rest_framework.request import Request

from core.api.errors import Invalid
from core.insights.parameters import Parameters

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000
# All that may stand in a query string of ASCII: nothing is encoded that came in plainly.
_PLAIN: Final = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Page:
    """How many rows a caller wants, from which on; `offset_name` is the parameter that says so."""

    limit: int
    offset: int
    offset_name: str = "offset"


def read_page(params: Parameters, *, prefix: str = "") -> Page:
    """Return `limit` (100 when absent or 0, MAX_LIMIT at most) and `offset`; Invalid for numbers below 0.

    `prefix` stands before both names: `funnel_correlation_person_` for correlations.
    """
    limit = _number(params, f"{prefix}limit")
    return Page(min(limit or DEFAULT_LIMIT, MAX_LIMIT), _number(params, f"{prefix}offset"), f"{prefix}offset")


def links(request: Request, page: Page, rows: int) -> tuple[str | None, str]:
    """Return the absolute URLs of the next page and of the first one.

    There is a next page when the query returned `limit` rows, also if nothing follows. Every parameter but the offset
    keeps every byte that it was sent with.
    """
    raw = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    parts = quote(raw, safe=_PLAIN).split("&") if raw else []
    others = [part for part in parts if _name(part) != page.offset_name]
    following = f"{page.offset_name}={page.offset + page.limit}"
    turned: list[str] = []
    for part in parts:
        if _name(part) != page.offset_name:
            turned.append(part)
        elif following not in turned:
            turned.append(following)
    if following not in turned:
        turned.append(following)
    address = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}"
    first = f"{address}?{'&'.join(others)}" if others else address
    return (f"{address}?{'&'.join(turned)}" if rows >= page.limit else None), first


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _number(params: Parameters, name: str) -> int:
    number = params.integer(name, 0)
    if number < 0:
        raise Invalid("Ensure this value is greater than or equal to 0.", code="min_value", attr=name)
    return number
