"""Logs of plugin configs: pages of 5 M lines of 1,000 configs over HTTP, against ClickHouse's own answer to a SELECT.

The bare side is the SELECT of one page and nothing else: asked of ClickHouse's HTTP port by the same generator, as
JSON, without a count, a key or a check. Both sides ask for another config each time.
"""

import statistics
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlencode, urlsplit

from benchmarks import load, seed
from benchmarks.load import Call, LoadResult
from benchmarks.report import Measure
from benchmarks.world import World

CONFIGS: Final = 1_000
LINES, QUICK_LINES = 5_000, 100
"""Of each config."""
PAGES: Final = 100
INSERT: Final = 250_000
LIMIT: Final = 2.0
ASKED: Final = 200
"""Configs among which the calls choose in turn."""

# A line every 0.12 s, so that 5 M reach back just under the seven days for which lines are kept.
_FILL = """
INSERT INTO plugin_log_entries
SELECT generateUUIDv4(number), {team:Int64}, 1, 1 + number % {configs:UInt64},
       now64(6) - toIntervalMicrosecond(({rows:UInt64} - number) * intDiv(600000000000, {rows:UInt64})),
       ['SYSTEM', 'PLUGIN', 'CONSOLE'][1 + cityHash64(number) % 3],
       ['DEBUG', 'LOG', 'INFO', 'WARN', 'ERROR'][1 + cityHash64(number, 1) % 5],
       concat('receiver ', toString(cityHash64(number, 2) % 97), ' answered 503 after ',
              toString(cityHash64(number, 3) % 4000), ' ms; event ', toString(generateUUIDv4(number + 1)),
              ' is tried again in ', toString(cityHash64(number, 4) % 900), ' s'),
       generateUUIDv4(number + 2)
FROM numbers({first:UInt64}, {portion:UInt64})"""
_BARE = """
SELECT id, team_id, plugin_id, plugin_config_id, timestamp, source, type, message, instance_id
FROM plugin_log_entries WHERE team_id = {team:Int64} AND plugin_config_id = {config:Int64}
ORDER BY timestamp DESC, id DESC LIMIT {limit:UInt32} OFFSET {offset:UInt64} FORMAT JSONEachRow"""


def measure(world: World) -> Iterator[Measure]:
    """Fill, then ask both sides for the first and the hundredth page, in turns."""
    team = world.team_ids[4]
    lines = QUICK_LINES if world.quick else LINES
    _fill(team, lines)
    size = lines // PAGES
    with world.granian("logs", "persons_api.wsgi:application", RATE_LIMIT_ENABLED="false") as port:
        for name, page in (("first_page", 0), (f"page_{PAGES}", PAGES - 1)):
            ours = [_ours(world, team, config, size=size, page=page) for config in range(1, ASKED + 1)]
            bare = [_bare(world, team, config, size=size, page=page) for config in range(1, ASKED + 1)]
            yield from _compare(world, name, {port: ours, urlsplit(world.environment["CLICKHOUSE_URL"]).port: bare})
        headers = {"Authorization": f"Bearer {world.key}"}
        searching = [
            Call(f"/api/projects/{team}/plugin_configs/{config}/logs/?search=In+89", expect='"count":', headers=headers)
            for config in range(1, ASKED + 1)
        ]
        found = load.run(port=port, calls=searching, connections=1, seconds=1 if world.quick else 5)
        yield Measure("plugin_logs_search_p50", found.latency_ms["p50"], unit="ms", raw=dict(found.latency_ms))


def _fill(team: int, lines: int) -> None:
    from events import client

    rows = CONFIGS * lines
    with seed.progress() as shown:
        task = shown.add_task("log lines", total=rows)
        for first in range(0, rows, INSERT):
            portion = min(INSERT, rows - first)
            client.command(
                _FILL, {"team": team, "configs": CONFIGS, "rows": rows, "first": first, "portion": portion}, seconds=120
            )
            shown.update(task, completed=first + portion)


def _ours(world: World, team: int, config: int, *, size: int, page: int) -> Call:
    return Call(
        f"/api/projects/{team}/plugin_configs/{config}/logs/?limit={size}&offset={size * page}",
        expect='"message":',
        times=size,
        headers={"Authorization": f"Bearer {world.key}"},
    )


def _bare(world: World, team: int, config: int, *, size: int, page: int) -> Call:
    url = urlsplit(world.environment["CLICKHOUSE_URL"])
    values = {"team": team, "config": config, "limit": size, "offset": size * page}
    query = urlencode({"database": url.path.strip("/"), **{f"param_{name}": value for name, value in values.items()}})
    return Call(
        f"/?{query}",
        method="POST",
        body=_BARE,
        expect='"message":',
        times=size,
        headers={
            "X-ClickHouse-User": unquote(url.username or "default"),
            "X-ClickHouse-Key": unquote(url.password or ""),
        },
    )


def _compare(world: World, name: str, sides: dict[int | None, list[Call]]) -> Iterator[Measure]:
    # Many short rounds: what else the machine does then hits both sides alike.
    rounds, seconds = (2, 1.0) if world.quick else (15, 1.5)
    seen: list[list[LoadResult]] = []
    for number in range(rounds + 1):
        found = [load.run(port=port or 0, calls=calls, connections=1, seconds=seconds) for port, calls in sides.items()]
        if number:
            seen.append(found)
    ours, bare = ([one[side].latency_ms for one in seen] for side in (0, 1))
    ratio = statistics.median(one["p50"] / other["p50"] for one, other in zip(ours, bare, strict=True))
    yield Measure(
        f"plugin_logs_{name}_vs_bare_select", ratio, LIMIT, at_least=False, raw={"ours": ours[-1], "bare": bare[-1]}
    )
    yield Measure(f"plugin_logs_{name}_p50", statistics.median(one["p50"] for one in ours), unit="ms")
