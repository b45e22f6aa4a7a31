import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from core.capture.import_files import EventFile, FileRefusedError, Record
from core.capture.importer import Importer, ImportOptions, ImportStoppedError, ImportSummary
from core.outbox.services import outbox_drain
from core.persons.ingest import IngestTeam
from core.persons.models import ImportProgress, Person, SeenEvent
from core.tenancy.models import Organization, Project, Team
from tests.core.capture.helpers import event_names, properties_of, rows

pytestmark = pytest.mark.usefixtures("clickhouse")

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "tests" / "support" / "posthog_export.jsonl"


class Heard:
    """Keeps what an import says."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def begin(self, label: str, total: int | None) -> None:
        pass

    def moved(self, position: int, rows: int, events: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)


def bring_in(team: Team, path: Path, heard: Heard | None = None, **options: Any) -> ImportSummary:
    importer = Importer(IngestTeam(id=team.id), ImportOptions(**options), heard)
    with EventFile.open(str(path)) as file:
        importer.run(file)
    return importer.summary


def counts(summary: ImportSummary) -> tuple[int, int, int, int]:
    return summary.read, summary.stored, summary.repeated, summary.refused


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"01890000-0000-7000-8000-{number:012d}",
        "event": f"step {number}",
        "distinct_id": f"u{number % 7}",
        "timestamp": f"2024-05-01T00:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "properties": {"n": number, "$set": {"last": number}},
        **more,
    }


def file_of(path: Path, *items: Any) -> Path:
    path.write_bytes(b"\n".join(item if isinstance(item, bytes) else orjson.dumps(item) for item in items) + b"\n")
    return path


def test_export_of_posthog_becomes_persons_and_events(team: Team) -> None:
    assert counts(bring_in(team, SAMPLE)) == (4, 4, 0, 0)
    known = properties_of("user-7")
    assert (known["email"], known["plan"], known["source"]) == ("u7@shop.example", "team", "ad")
    assert Person.unscoped.get(distinct_id_rows__distinct_id="0189-anon").is_identified
    stored = rows("events")
    assert {row["team_id"] for row in stored} == {team.id}
    assert all(row["historical_migration"] for row in stored)
    assert [row["person_mode"] for row in stored] == ["propertyless", "full", "full", "full"]
    assert stored[2]["elements_chain"] == 'button.buy:text="Buy"nth-child="1"'
    assert stored[2]["timestamp"] == "2024-03-01 10:02:00.000000"
    assert orjson.loads(stored[3]["properties"]) == {"amount": 12, "$ip": "192.0.2.7", "$set": {"plan": "team"}}


CSV = (
    b"uuid,event,distinct_id,timestamp,properties,properties.$browser,properties.$set.plan,properties.$geoip_disable\r\n"
    b'01890000-0000-7000-8000-000000000001,step 1,u1,2024-05-01 00:00:01,"{""n"": 1}",Firefox,free,true\r\n'
    b'01890000-0000-7000-8000-000000000002,"two\nlines",u1,2024-05-01T00:00:02Z,,,007,\r\n'
)


@pytest.mark.parametrize("packed", [False, True])
def test_csv_cells_are_text_except_where_the_protocol_wants_more(team: Team, tmp_path: Path, *, packed: bool) -> None:
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + CSV) if packed else CSV)
    assert counts(bring_in(team, path)) == (2, 2, 0, 0)
    assert event_names() == ["step 1", "two\nlines"]
    first = orjson.loads(rows("events")[0]["properties"])
    assert first["n"] == 1
    assert first["$browser"] == "Firefox"
    assert first["$geoip_disable"] is True
    assert properties_of("u1")["plan"] == "007"


def test_csv_of_the_interface_may_use_semicolons_and_prefixes(team: Team, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('*.event;*.distinct_id;*.timestamp;$set\nopened;u1;2024-05-01;{"plan": "team"}\n')
    assert counts(bring_in(team, path)) == (1, 1, 0, 0)
    assert properties_of("u1") == {"plan": "team"}


def test_lines_may_be_whole_batches_and_may_be_packed(team: Team, tmp_path: Path) -> None:
    batch = {"api_key": "phc_of_another_server", "batch": [event(1), event(2)], "sent_at": "2020-01-01T00:00:00Z"}
    path = tmp_path / "a.jsonl.gz"
    lines = [orjson.dumps(batch), b"", orjson.dumps([event(3)]), orjson.dumps(event(4))]
    path.write_bytes(gzip.compress(b"\n".join(lines[:2])) + gzip.compress(b"\n" + b"\n".join(lines[2:])))
    assert counts(bring_in(team, path)) == (4, 4, 0, 0)
    assert [row["timestamp"][11:19] for row in rows("events")] == ["00:00:01", "00:00:02", "00:00:03", "00:00:04"]


BAD_ROWS = [
    (b"{nonsense", "Expecting property name"),
    (b"[1]", "an event must be a JSON object"),
    (b"17", "an event must be a JSON object"),
    (b'"\xff"', "invalid UTF8"),
    (orjson.dumps(event(2, event="")), "empty event name"),
    (orjson.dumps(event(2, event=None)), "missing field `event`"),
    (orjson.dumps(event(2, distinct_id="  ")), "without a distinct_id"),
    (orjson.dumps(event(2, uuid="7")), "uuid is not a UUID"),
    (orjson.dumps(event(2, timestamp=None)), "no timestamp"),
    (orjson.dumps(event(2, timestamp="soon")), "timestamp: no four-digit year"),
    (orjson.dumps(event(2, timestamp="soon", uuid=None)), "timestamp: no four-digit year"),
    (orjson.dumps(event(2, timestamp="0001-01-01")), "timestamp: timestamp before the year 1900"),
    (orjson.dumps(event(2, timestamp="2999-01-01")), "timestamp: more than 23 hours in the future"),
    (orjson.dumps(event(2, properties="[]")), "properties is not a JSON object"),
    (orjson.dumps(event(2, properties="{")), "Expecting property name"),
    (orjson.dumps(event(2, set=[1])), "set is not a JSON object"),
    (orjson.dumps(event(2, properties={"big": "x" * 1_100_000})), "an event is larger than 1048576 bytes"),
    (b'{"event":' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper than 200 levels"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_ROWS)
def test_bad_row_is_told_and_its_neighbours_are_stored(team: Team, tmp_path: Path, line: bytes, reason: str) -> None:
    heard = Heard()
    path = file_of(tmp_path / "a.jsonl", event(1), line, event(3))
    assert counts(bring_in(team, path, heard)) == (3, 2, 0, 1)
    assert event_names() == ["step 1", "step 3"]
    [note] = heard.notes
    assert note.startswith(f"{path}:2: ")
    assert reason in note


BAD_CSV = [
    (b"e,u1", "2 cells, but 3 columns"),
    (b"e,u1,", "no timestamp"),
    (b"\xff,u1,2024-05-01", "not UTF-8"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_CSV)
def test_bad_csv_row_is_told_by_its_line(team: Team, tmp_path: Path, line: bytes, reason: str) -> None:
    heard = Heard()
    path = tmp_path / "a.csv"
    path.write_bytes(b'event,distinct_id,timestamp\n"a\nb",u1,2024-05-01\n' + line + b"\nc,u1,2024-05-01\n")
    assert counts(bring_in(team, path, heard)) == (3, 2, 0, 1)
    assert heard.notes == [f"{path}:4: {reason}"]


def test_bad_event_of_a_batch_leaves_its_neighbours(team: Team, tmp_path: Path) -> None:
    heard = Heard()
    path = file_of(tmp_path / "a.jsonl", {"batch": [event(1), event(2, event=""), event(3)]})
    assert counts(bring_in(team, path, heard)) == (3, 2, 0, 1)
    assert heard.notes == [f"{path}:1: event 2 of 3: event submitted with an empty event name"]


def test_line_longer_than_the_limit_is_skipped(team: Team, tmp_path: Path, settings: Any) -> None:
    settings.CAPTURE_MAX_DECOMPRESSED_BYTES = 1000
    long = event(2, properties={"x": "y" * 5000})
    assert counts(bring_in(team, file_of(tmp_path / "a.jsonl", event(1), long, event(3)))) == (3, 2, 0, 1)
    assert event_names() == ["step 1", "step 3"]


def test_nul_and_lone_surrogates_are_repaired(team: Team, tmp_path: Path) -> None:
    line = orjson.dumps(event(1, properties={"$set": {"a": "?", "b": "?"}}))
    line = line.replace(b'"a":"?"', rb'"a":"x\u0000"').replace(b'"b":"?"', rb'"b":"\ud800"')
    assert counts(bring_in(team, file_of(tmp_path / "a.jsonl", line))) == (1, 1, 0, 0)
    assert properties_of("u1") == {"a": "x\ufffd", "b": "\ufffd"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PAR1....", "Parquet"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"event,name\na,b\n", "no column distinct_id, timestamp"),
        (gzip.compress(b'{"event":"a"}\n' * 99, mtime=0)[:-20], "broken gzip"),
        (b"\x1f\x8bgarbage", "broken gzip"),
    ],
)
def test_file_that_cannot_be_read_says_why(team: Team, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(FileRefusedError, match=reason):
        bring_in(team, path)


def test_missing_file_is_refused() -> None:
    with pytest.raises(FileRefusedError, match="No such file"), EventFile.open("/nowhere/at.all"):
        pass


def test_empty_file_is_done_at_once(team: Team, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert counts(bring_in(team, tmp_path / "a")) == (0, 0, 0, 0)


def test_finished_file_is_left_alone_unless_asked_again(team: Team) -> None:
    bring_in(team, SAMPLE)
    heard = Heard()
    assert counts(bring_in(team, SAMPLE, heard)) == (0, 0, 0, 0)
    assert "already imported" in heard.notes[0]
    assert counts(bring_in(team, SAMPLE, again=True)) == (4, 0, 4, 0)
    assert len(rows("events")) == 4


def test_events_are_known_by_uuid_long_after_they_came(team: Team, tmp_path: Path, clickhouse: ModuleType) -> None:
    bring_in(team, SAMPLE)
    outbox_drain()
    SeenEvent.objects.all().delete()
    more = file_of(tmp_path / "more.jsonl", *SAMPLE.read_bytes().splitlines(), event(9))
    assert counts(bring_in(team, more)) == (5, 1, 4, 0)
    outbox_drain()
    assert clickhouse.query("SELECT count() FROM events").rows == [(5,)]


def test_rows_without_uuid_are_known_by_content_and_number(team: Team, tmp_path: Path) -> None:
    same = event(1, uuid=None)
    first = file_of(tmp_path / "a.jsonl", same, same, event(2, uuid=""))
    assert counts(bring_in(team, first)) == (3, 3, 0, 0)
    reordered = dict(reversed(same.items())) | {"timestamp": "2024-05-01 00:00:01"}
    second = file_of(tmp_path / "b.jsonl", reordered, event(2, uuid=None), same, same, event(3, uuid=None))
    assert counts(bring_in(team, second)) == (5, 2, 3, 0)


class Interrupted(EventFile):
    """A file whose reading breaks off."""

    def records(self) -> Iterator[Record]:
        for number, record in enumerate(super().records()):
            if number == 47:
                raise KeyboardInterrupt
            yield record


@pytest.mark.parametrize("uuids", [True, False])
def test_import_that_broke_off_goes_on_where_it_stopped(team: Team, tmp_path: Path, *, uuids: bool) -> None:
    items = [event(n) if uuids else event(n % 30, uuid=None) for n in range(100)]
    path = file_of(tmp_path / "a.jsonl", *items)
    with Interrupted.open(str(path)) as file, pytest.raises(KeyboardInterrupt):
        Importer(IngestTeam(id=team.id), ImportOptions(batch_size=10)).run(file)
    assert len(rows("events")) == 40
    SeenEvent.objects.all().delete()
    summary = bring_in(team, path, batch_size=10)
    assert (*counts(summary), summary.skipped) == (60, 60, 0, 0, 40)
    stored = rows("events")
    assert [row["event"] for row in stored] == [item["event"] for item in items]
    assert len({row["uuid"] for row in stored}) == 100
    assert properties_of("u6")["last"] == max(n for n in range(100) if n % 7 == 6) if uuids else True


def test_two_imports_of_one_file_do_not_mix(team: Team, tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", event(1), event(2))
    importer = Importer(IngestTeam(id=team.id), ImportOptions(batch_size=1))
    with EventFile.open(str(path)) as file:
        original = file.records

        def meddled() -> Iterator[Record]:
            for record in original():
                ImportProgress.unscoped.update(rows_done=1)
                yield record

        file.records = meddled  # type: ignore[method-assign]
        with pytest.raises(ImportStoppedError, match="another process"):
            importer.run(file)
    assert rows("events") == []


def test_strict_stops_at_the_first_bad_row_and_keeps_those_before(team: Team, tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", event(1), b"{", event(3))
    with pytest.raises(ImportStoppedError, match=":2: stopped at the first refused row"):
        bring_in(team, path, strict=True)
    assert event_names() == ["step 1"]


def test_clickhouse_that_is_away_stops_the_import_without_loss(team: Team, tmp_path: Path, settings: Any) -> None:
    url, settings.CLICKHOUSE_URL = settings.CLICKHOUSE_URL, "http://127.0.0.1:1/nothing"
    path = file_of(tmp_path / "a.jsonl", event(1), event(2))
    heard = Heard()
    with pytest.raises(ImportStoppedError, match="run the same command again"):
        bring_in(team, path, heard, seconds_to_wait=0.1)
    assert heard.notes == ["ClickHouse does not answer, waiting for it"]
    settings.CLICKHOUSE_URL = url
    assert counts(bring_in(team, path)) == (2, 2, 0, 0)


def command(*arguments: object) -> str:
    out = StringIO()
    call_command("import_events", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_command_takes_the_only_project_and_sums_up(team: Team) -> None:
    said = command(SAMPLE)
    assert said.startswith("4 rows read, 4 stored, 0 repeated, 0 refused in ")
    assert "outbox entries wait" in said
    assert rows("events")[0]["team_id"] == team.id


def test_command_wants_a_name_when_there_are_several_projects(team: Team) -> None:
    organization = Organization.objects.create(name="Other", slug="other")
    project = Project.objects.create(organization=organization)
    other = Team.objects.create(id=project.id, project=project, organization=organization)
    with pytest.raises(CommandError, match="several projects"):
        command(SAMPLE)
    with pytest.raises(CommandError, match="no such project"):
        command(SAMPLE, "--token", "phc_unknown")
    command(SAMPLE, "--token", other.api_token)
    assert {row["team_id"] for row in rows("events")} == {other.id}
    command(SAMPLE, "--project", team.id)
    assert len(rows("events")) == 8


def test_command_fails_when_a_row_was_refused(team: Team, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(tmp_path / "a.jsonl", event(10), b"{")
    with pytest.raises(CommandError, match="1 rows were refused") as refused:
        command(path, SAMPLE, "--project", team.id)
    assert refused.value.returncode == 1
    assert f"{path}:2: " in capsys.readouterr().err
    assert len(rows("events")) == 5


def start(path: Path | str, *options: str) -> subprocess.Popen[bytes]:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{settings.DATABASES['default']['NAME']}")
    environment = {**os.environ, "DATABASE_URL": database.geturl(), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, ROOT / "manage.py", "import_events", path, *options],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def committed_team(transactional_db: None) -> Team:
    organization = Organization.objects.create(name="Acme", slug="acme")
    project = Project.objects.create(organization=organization)
    return Team.objects.create(id=project.id, project=project, organization=organization)


def test_import_killed_in_the_middle_stores_every_event_once(committed_team: Team, tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.jsonl", *(event(n) for n in range(3000)))
    # So many batches that it is still at work when it is seen to be.
    process = start(path, "--batch-size", "5")
    until = time.monotonic() + 120
    while not ImportProgress.unscoped.filter(rows_done__gte=200).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    progress = ImportProgress.unscoped.get(team_id=committed_team.id)
    assert 200 <= progress.rows_done < 3000
    again = start(path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert f"{progress.rows_done:,} records done before".encode() in out
    assert event_names() == [f"step {n}" for n in range(3000)]
    assert properties_of("u0")["last"] == 2996 + (3000 - 2996) // 7 * 7


def test_standard_input_is_read_and_known_by_uuid(committed_team: Team) -> None:
    for stored in (4, 0):
        with SAMPLE.open("rb") as source:
            process = start("-")
            assert process.stdin is not None
            shutil.copyfileobj(source, process.stdin)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert f"4 rows read, {stored} stored, {4 - stored} repeated".encode() in out
    assert {row["team_id"] for row in rows("events")} == {committed_team.id}
