"""Paging by limit and offset or cursor: lenient numbers, absolute links that keep every other parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_DIGITS: Final = 18
HUGE: Final = 10**18
_OURS: Final = frozenset({"limit", "offset", "cursor"})


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list the caller wants."""

    limit: int
    offset: int


def read_window(request: Request, *, default: int = DEFAULT_LIMIT, maximum: int = MAX_LIMIT) -> Window:
    """Read `limit` and `offset`; what is no usable number counts as absent."""
    params = request.query_params
    limit = _number(params, "limit")
    offset = _number(params, "offset")
    return Window(limit=min(limit, maximum) if limit > 0 else default, offset=max(offset, 0))


def page(
    request: Request, window: Window, results: Sequence[Any], *, count: int | None = None, more: bool | None = None
) -> dict[str, Any]:
    """Return the answer of a list; a list that does not count says with `more` whether it goes on."""
    following = more if more is not None else window.offset + window.limit < (count or 0)
    answer: dict[str, Any] = {} if count is None else {"count": count}
    forth, back = Turn(offset=window.offset + window.limit), Turn(offset=window.offset - window.limit)
    answer["next"] = _link(request, window, forth) if following else None
    answer["previous"] = _link(request, window, back) if window.offset > 0 else None
    answer["results"] = results
    return answer


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a link of a list leads: to a cursor, to an offset, or (neither) to the first page."""

    cursor: str = ""
    offset: int = 0


def turned_page(  # noqa: PLR0913 one argument per key of the answer
    request: Request,
    window: Window,
    results: Sequence[Any],
    *,
    following: Turn | None,
    previous: Turn | None,
    count: int | None = None,
) -> dict[str, Any]:
    """Return the answer of a list that goes on by cursors; `count` is left out unless it is known."""
    answer: dict[str, Any] = {} if count is None else {"count": count}
    answer["next"] = None if following is None else _link(request, window, following)
    answer["previous"] = None if previous is None else _link(request, window, previous)
    answer["results"] = results
    return answer


def _number(params: Mapping[str, str], name: str) -> int:
    raw = params.get(name, "").strip()
    if not raw.isascii() or not raw.isdecimal():
        return 0
    return min(int(raw[-MAX_DIGITS:]), HUGE) if len(raw.lstrip("0")) <= MAX_DIGITS else HUGE


def _link(request: Request, window: Window, turn: Turn) -> str:
    params = request.query_params
    pairs = [(name, text) for name, texts in params.lists() if name not in _OURS for text in texts]
    if "limit" in params:
        pairs.append(("limit", str(window.limit)))
    if turn.cursor:
        pairs.append(("cursor", turn.cursor))
    elif turn.offset > 0:
        pairs.append(("offset", str(turn.offset)))
    query = urlencode(sorted(pairs))
    address = f"{request.scheme}://{request.get_host()}{quote(request.path)}"
    return f"{address}?{query}" if query else address


class LimitOffsetPage(LimitOffsetPagination):
    """The same rules for querysets and for the OpenAPI document."""

    default_limit = DEFAULT_LIMIT
    max_limit = MAX_LIMIT
