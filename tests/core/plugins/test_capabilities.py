"""What plugins can do, told from their code without running it."""

import time
from typing import Any

import pytest

from core.plugins.installing import capabilities
from core.plugins.installing.capabilities import UnparsableError, capabilities_of


def told(source: str) -> dict[str, Any]:
    return capabilities_of(source)[0]


@pytest.mark.parametrize(
    ("source", "methods"),
    [
        ("export function onEvent(event) {}", ["onEvent"]),
        ("export async function processEvent(event, meta) { return event }", ["processEvent"]),
        ("export const onEvent: Plugin['onEvent'] = async (event) => {}", ["onEvent"]),
        ("const run = () => {}\nexport { run as composeWebhook, other }\nconst other = 1", ["composeWebhook"]),
        (
            "const plugin: Plugin<Meta> = { onEvent() {}, setupPlugin }\nexport default plugin",
            ["setupPlugin", "onEvent"],
        ),
        ("export default { async onEvent() {} } satisfies Plugin", ["onEvent"]),
        ("export const { onEvent } = make()", ["onEvent"]),
        ("export const { made: onEvent } = make()", ["onEvent"]),
        ("module.exports = { onEvent, processEvent: (event) => event }", ["onEvent", "processEvent"]),
        ("module.exports = { ...rest, getSettings() {} }\nconst rest = { onEvent: 1 }", ["onEvent", "getSettings"]),
        ("module.exports.onEvent = function () {}", ["onEvent"]),
        ('exports["onEvent"] = () => {}', ["onEvent"]),
        ("exports.a = exports.onEvent = void 0;\nexports.onEvent = onEvent;\nfunction onEvent() {}", ["onEvent"]),
        ('"use strict";Object.defineProperty(exports,"__esModule",{value:!0}),exports.onEvent=e=>e', ["onEvent"]),
        ('Object.defineProperty(exports, "onEvent", { get: () => run })', ["onEvent"]),
        ("Object.assign(exports, { onEvent: run })", ["onEvent"]),
        ("var out = {}; __export(out, { onEvent: () => onEvent }); module.exports = __toCommonJS(out)", ["onEvent"]),
        ("export = { teardownPlugin() {} }", ["teardownPlugin"]),
        ("function onEvent() {}\nvar processEvent = (event) => event", ["onEvent", "processEvent"]),
        ("export const App = () => <div onClick={go}>{name}</div>\nexport function onEvent() {}", ["onEvent"]),
        ("export const a = <string>b\nexport function onEvent() {}", ["onEvent"]),
        ("export function processEventBatch(events) {}", ["processEvent"]),
        ("export function exportEvents(events) {}", ["onEvent", "exportEvents"]),
    ],
)
def test_methods_that_are_exported(source: str, methods: list[str]) -> None:
    assert told(source) == {"methods": methods}


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  \n",
        "// export function onEvent() {}",
        "const text = `export function onEvent() {}`",
        "export const helper = 1\nfunction onEvent() {}",
        "const onEvent = () => {}",
        "export let onEvent",
        "export const onEvent = undefined, processEvent = null",
        "exports.onEvent = void 0",
        "module.exports = { onEvent: false, processEvent: 0 }",
        "export interface onEvent {}\nexport type processEvent = string",
        "export type { onEvent }",
        "export { type onEvent }",
        "export { onEvent } from './other'\nexport * from './more'",
        "export default function onEvent() {}",
        "if (true) { module.exports = { onEvent } }",
        "other.exports.onEvent = 1",
        "exports[onEvent] = 1",
        "module.exports = { [onEvent]: 1 }",
        "module.exports = { onEvent }\nmodule.exports = { helper }",
        "const a = { ...b }, b = { ...a }; module.exports = a",
    ],
)
def test_what_is_no_export(source: str) -> None:
    assert told(source) == {}


def test_jobs_and_what_runs_by_the_clock() -> None:
    source = """
        const more = { last() {} }
        export const jobs: Jobs = { first: run, 'with blank': async () => {}, third() {}, no: null, [it]: 1, ...more }
        export function runEveryMinute() {}
        export const runEveryDay = () => {}, runEveryWeek = 1
    """
    jobs = ["first", "with blank", "third", "last"]
    assert told(source) == {"jobs": jobs, "scheduled_tasks": ["runEveryMinute", "runEveryDay"]}
    bundled = (
        "var out = {}; __export(out, { jobs: () => jobs }); var jobs = { a() {} }; module.exports = __toCommonJS(out)"
    )
    assert told(bundled) == {"jobs": ["a"]}


def test_names_of_jobs_are_bounded() -> None:
    jobs = ", ".join(f"job{number}: run" for number in range(capabilities.MAX_JOBS + 5))
    found = told(f"export const jobs = {{ '{'n' * 201}': 1, 'a\u200bb': 1, {jobs} }}")["jobs"]
    assert (len(found), found[0]) == (capabilities.MAX_JOBS, "job0")


def test_broken_code_says_so() -> None:
    found, is_whole = capabilities_of("export function onEvent() {}\nexport function ( {")
    assert (found, is_whole) == ({"methods": ["onEvent"]}, False)
    assert capabilities_of("export function onEvent() {}") == ({"methods": ["onEvent"]}, True)


def test_nothing_of_the_code_runs(tmp_path: Any) -> None:
    marker = tmp_path / "ran"
    source = f"require('fs').writeFileSync('{marker}', ''); export function onEvent() {{}}"
    assert told(source) == {"methods": ["onEvent"]}
    assert not marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["'" * 300_000, "(a," * 600_000, "a=[" * 600_000], ids=["quotes", "calls", "lists"])
def test_code_that_is_made_to_be_hard_is_given_up(source: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UnparsableError):
        capabilities_of(source)
    assert time.monotonic() - begin < 2 * capabilities.SECONDS


def test_a_parser_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    program = tmp_path / "hangs.py"
    program.write_text("import time\ntime.sleep(60)")
    monkeypatch.setattr(capabilities, "_PROGRAM", program)
    monkeypatch.setattr(capabilities, "SECONDS", 1)
    with pytest.raises(UnparsableError):
        capabilities_of("a")


def test_large_code_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the seconds of computing that the program may take, however long it waits for a processor."""
    monkeypatch.setattr(capabilities, "SECONDS", 120)
    source = "export function helper(a) { return a + 1 }\n" * 40_000 + "export function onEvent() {}"
    assert told(source) == {"methods": ["onEvent"]}
