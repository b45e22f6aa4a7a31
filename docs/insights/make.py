"""Fills the shop of docs/insights.md into a project of its own on a running server, asks, and writes what comes back.

    uv run --group docs python docs/insights/make.py --url http://127.0.0.1:8000 --key phx_...

The answers go into docs/insights.md between their markers, the plots beside this file.
"""

import argparse
import re
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import matplotlib as mpl
import orjson
from matplotlib import dates as mdates
from matplotlib import pyplot as plt
from shop import EVENTS, EXAMPLES

HERE = Path(__file__).parent
PAGE = HERE.parent / "insights.md"
WAIT_SECONDS = 60
COLOURS = {"$pageview": "#9aa5b1", "cart_opened": "#2f7ed8", "coupon_used": "#8b5cf6", "order_placed": "#16a34a"}
MARKS = {"$pageview": ".", "cart_opened": "o", "coupon_used": "D", "order_placed": "s"}
PEOPLE = ("ana", "ben", "cem", "dia", "eli")


class Server:
    """One server and a personal API key for it."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url.rstrip("/"), key

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Return the parsed answer of a request."""
        request = urllib.request.Request(  # noqa: S310 the operator's own server
            self.url + path,
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return orjson.loads(answer.read())

    def ask(self, project: int, name: str) -> Any:
        """Return the answer of one example."""
        method, path, params = EXAMPLES[name]
        base = f"/api/projects/{project}/persons/{path}/"
        return self.send("POST", base, params) if method == "POST" else self.send("GET", f"{base}?{query_of(params)}")


def query_of(params: dict[str, Any]) -> str:
    """Return parameters as a query string, structured ones as JSON."""
    texts = {name: value if isinstance(value, str) else _json(value) for name, value in params.items()}
    return urllib.parse.urlencode(texts)


def filled_project(server: Server) -> int:
    """Make a project, send the shop's events to it and wait until they can be asked for."""
    project = server.send("POST", "/api/organizations/@current/projects/", {"name": "Little shop", "timezone": "UTC"})
    batch = [
        {
            "event": event,
            "distinct_id": who,
            "timestamp": when,
            "uuid": str(uuid5(NAMESPACE_URL, f"{project['id']} {number}")),
            "properties": {**properties, "$set": {"email": f"{who}@example.com"}},
        }
        for number, (who, when, event, properties) in enumerate(EVENTS)
    ]
    server.send("POST", "/batch/", {"api_key": project["api_token"], "batch": batch, "historical_migration": True})
    path = f"/api/projects/{project['id']}/persons/trends/?"
    everyone = path + query_of(
        {"entity_type": "events", "date_from": "2024-04-01", "date_to": "2024-06-01", "refresh": True}
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        people = server.send("GET", everyone)["results"][0]["people"]
        if sum(person["value_at_data_point"] for person in people) == len(EVENTS):
            return int(project["id"])
        if time.monotonic() > deadline:
            message = "the events did not arrive in time"
            raise TimeoutError(message)
        time.sleep(0.5)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _indented(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def text_of(answer: Any) -> str:
    """Return an answer as JSON with each person on a line of its own."""
    kept: list[str] = []

    def folded(value: Any) -> Any:
        if isinstance(value, dict) and "distinct_ids" in value:
            kept.append(_json(value))
            return f"<{len(kept) - 1}>"
        if isinstance(value, dict):
            return {name: folded(one) for name, one in value.items()}
        return [folded(one) for one in value] if isinstance(value, list) else value

    return re.sub(r'"<(\d+)>"', lambda found: kept[int(found[1])], _indented(folded(answer)))


def request_of(name: str) -> str:
    """Return an example's request as a reader would type it."""
    method, path, params = EXAMPLES[name]
    if method == "POST":
        return f"POST /api/projects/1/persons/{path}/\n{_indented(params)}"
    shown = "\n     &".join(
        f"{key}={value if isinstance(value, str) else _json(value)}" for key, value in params.items()
    )
    return f"GET  /api/projects/1/persons/{path}/\n     ?{shown}"


def found_in(answer: Any) -> dict[str, Any]:
    """Return what an answer says of each person: a value, appearances or nothing."""
    if "result" in answer:
        return {one["person"]["distinct_ids"][0]: one["appearances"] for one in answer["result"]}
    return {one["distinct_ids"][0]: one["value_at_data_point"] for one in answer["results"][0]["people"]}


def plot(name: str, found: dict[str, Any]) -> None:
    """Draw everybody's events; who is in the answer stands out, and the dates of the question are shaded."""
    params = EXAMPLES[name][2]
    figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
    for row, who in enumerate(PEOPLE):
        chosen = who in found
        axes.axhline(row, color="#16a34a" if chosen else "#e4e7eb", linewidth=8 if chosen else 1, alpha=0.25, zorder=0)
        for event, mark in MARKS.items():
            times = [moment(when) for one, when, named, _ in EVENTS if (one, named) == (who, event)]
            axes.scatter(times, [row] * len(times), marker=mark, s=46, color=COLOURS[event], zorder=2)
    for event, mark in MARKS.items():
        axes.scatter([], [], marker=mark, color=COLOURS[event], label=event)
    since, until = window(name, params)
    axes.axvspan(mdates.date2num(since), mdates.date2num(until), color="#fde68a", alpha=0.35, zorder=-1, linewidth=0)
    labels = [f"{who}  {found[who]}" if found.get(who) is not None else who for who in PEOPLE]
    axes.set_yticks(range(len(PEOPLE)), labels)
    for label, who in zip(axes.get_yticklabels(), PEOPLE, strict=True):
        label.set_fontweight("bold" if who in found else "normal")
    axes.invert_yaxis()
    axes.set_xlim(mdates.date2num(moment("2024-05-05T12:00:00Z")), mdates.date2num(moment("2024-05-20T12:00:00Z")))
    axes.xaxis.set_major_locator(mdates.DayLocator())
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%a\n%d"))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=len(MARKS), frameon=False, fontsize=8)
    axes.set_title(f"persons/{EXAMPLES[name][1]}", loc="left", fontsize=10)
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def window(name: str, params: dict[str, Any]) -> tuple[datetime, datetime]:
    """Return the days that an example asks about."""
    until = moment(params["date_to"] + "T00:00:00Z") + timedelta(days=1)
    if name == "retention":
        return moment("2024-05-05T00:00:00Z"), until
    return moment(params["date_from"] + "T00:00:00Z"), until


def moment(text: str) -> datetime:
    """Read a time of the shop."""
    return datetime.fromisoformat(text).astimezone(UTC)


def main() -> None:
    """Write the page and its plots."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--url", default="http://127.0.0.1:8000")
    reader.add_argument("--key", required=True)
    given = reader.parse_args()
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "persons-api"
    server = Server(given.url, given.key)
    project = filled_project(server)
    page = PAGE.read_text(encoding="utf-8")
    for name in EXAMPLES:
        answer = server.ask(project, name)
        plot(name, found_in(answer))
        block = f"```http\n{request_of(name)}\n```\n\n```json\n{text_of(answer)}\n```"
        block = block.replace(f"{server.url}/api/projects/{project}/", "http://127.0.0.1:8000/api/projects/1/")
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page = marked.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
