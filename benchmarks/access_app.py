"""Our own WSGI application with a stopwatch in it, for benchmarks/access.py.

Each request leaves one line in a file of its process: key or session, the seconds from the entry of the view's
dispatch until its handler was called, and the seconds in all. Lines are written some at a time, between requests.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from persons_api.wsgi import application as ours

# isort: split
from core.api.views import ApiMixin  # Django has to be set up by the import above

LINES = 10

_file = Path(os.environ["BENCH_ACCESS"]) / f"{os.getpid()}.txt"
_watch = threading.local()
_lines: list[str] = []
_dispatch, _initial = ApiMixin.dispatch, ApiMixin.initial


def _timed_dispatch(view: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 DRF's signature
    _watch.entered = time.perf_counter()
    return _dispatch(view, *args, **kwargs)


def _timed_initial(view: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 DRF's signature
    _initial(view, *args, **kwargs)
    _watch.before = time.perf_counter() - _watch.entered


ApiMixin.dispatch, ApiMixin.initial = _timed_dispatch, _timed_initial  # type: ignore[method-assign]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer as ever, and note how long it took."""
    began = time.perf_counter()
    body = list(ours(environ, start_response))
    took = time.perf_counter() - began
    kind = "session" if "HTTP_COOKIE" in environ else "key"
    _lines.append(f"{kind} {_watch.before:.9f} {took:.9f}\n")
    if len(_lines) >= LINES:
        with _file.open("a") as out:
            out.writelines(_lines)
        _lines.clear()
    return body
