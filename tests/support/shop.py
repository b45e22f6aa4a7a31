"""A project with something of everything that a project can have, made through the doors that clients use."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import orjson
import zstandard
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection, transaction

from core.outbox.models import OutboxRows
from core.outbox.services import outbox_add, outbox_drain
from core.plugins.models import Plugin, PluginDeliveryCount
from core.tenancy.models import Team, User
from events.deletion_places import TEAM_TABLES
from events.rows import Table, query_log_row, warning_row
from tasks.cohorts import cohorts_calculate
from tests.factories import make_key
from tests.support.contract import CheckedClient

SESSION = "01990000-1111-7222-8333-444444444444"


@dataclass(frozen=True)
class Shop:
    """A project and the key of its owner. `mark` is in every text that its clients sent."""

    team: Team
    client: CheckedClient
    mark: str

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the API with a path below the project."""
        data = b"" if body is None else orjson.dumps(body)
        address = f"/api/projects/{self.team.id}{path}"
        return self.client.generic(method, address, data, content_type="application/json", headers=headers)

    def made(self, path: str, body: Any, **headers: str) -> Any:
        answer = self.send("POST", path, body, **headers)
        assert answer.status_code < 300, answer.content
        return answer.json()

    def capture(self, *events: dict[str, Any], token: str | None = None) -> Any:
        body = orjson.dumps({"api_key": token or self.team.api_token, "batch": list(events)})
        return CheckedClient(raise_request_exception=False).generic(
            "POST", "/batch/", body, content_type="application/json"
        )

    def event(self, who: str, name: str = "page", **properties: Any) -> dict[str, Any]:
        return {"event": name, "distinct_id": f"{self.mark}-{who}", "uuid": str(uuid4()), "properties": properties}

    def person_id(self, who: str) -> str:
        found = self.send("GET", f"/persons/?distinct_id={self.mark}-{who}").json()["results"]
        return str(found[0]["id"])

    def upload(self) -> None:
        """Send a list that the next calculation of any project's cohorts adds."""
        uploaded = SimpleUploadedFile("members.csv", f"{self.mark}-ann\n".encode(), content_type="text/csv")
        fields = {"is_static": "true", "name": f"{self.mark} list", "csv": uploaded}
        assert self.client.post(f"/api/projects/{self.team.id}/cohorts/", fields).status_code == 201


def open_shop(team: Team, owner: User, *, mark: str, folder: Path | None = None) -> Shop:
    """Fill a project: people, merges, groups, events, warnings, recordings, cohorts, actions, kept answers, imports.

    There are also configs of plugins with files, jobs, logs and events that wait, and a folder of the owner.
    """
    client = CheckedClient(headers={"authorization": f"Bearer {make_key(owner)}"}, raise_request_exception=False)
    shop = Shop(team, client, mark)
    _configure(shop)
    _capture(shop)
    _change(shop)
    _gather(shop)
    if folder is not None:
        _import(shop, folder)
    row = warning_row(
        team_id=team.id, source="s", type="t", details=orjson.dumps({"distinctId": f"{mark}-ann"}).decode(),
        timestamp=datetime.now(UTC),
    )  # fmt: skip
    OutboxRows.objects.create(
        table="ingestion_warnings",
        row_count=1,
        payload=zstandard.compress(orjson.dumps(row) + b"\n"),
        refused_at=datetime.now(UTC),
    )
    _ask(shop, owner)
    outbox_drain()
    return shop


def _ask(shop: Shop, owner: User) -> None:
    """Write down what the log keeps of a query."""
    row = query_log_row(
        team_id=shop.team.id, query_id=f"{shop.mark}-query", event_time=datetime.now(UTC), query_duration_ms=5,
        read_rows=1, read_bytes=1, result_rows=1, memory_usage=0, query=f"select '{shop.mark}'", kind="HogQLQuery",
        name=shop.mark, is_personal_api_key_request=True, created_by=owner.id, exception_code=0, status="success",
    )  # fmt: skip
    with transaction.atomic():
        outbox_add({Table.QUERY_LOG: [row]})


def _configure(shop: Shop) -> None:
    mark, webhook = shop.mark, Plugin.objects.get(url="inline://webhook")
    config = {"url": f"https://1.1.1.1/{mark}", "signing_secret": f"{mark}-secret"}
    fields = {"plugin": webhook.pk, "order": 1, "enabled": True, "name": f"{mark} hook", "config": config}
    made = shop.made("/plugin_configs/", fields)
    job = {"job": {"type": "send_test_event", "payload": {}}}
    assert shop.send("POST", f"/plugin_configs/{made['id']}/job/", job).status_code == 200
    custom = Plugin.objects.create(
        organization=shop.team.organization, plugin_type="custom", name="Custom",
        config_schema=[{"key": "mapping", "type": "attachment"}],
    )  # fmt: skip
    uploaded = SimpleUploadedFile(f"{mark}.csv", b"a,b", content_type="text/csv")
    sent = {"plugin": str(custom.pk), "order": "2", "config": "{}", "add_attachment[mapping]": uploaded}
    assert shop.client.post(f"/api/projects/{shop.team.id}/plugin_configs/", sent).status_code == 201
    # What the deliverer would write down; the receiver is none.
    PluginDeliveryCount.unscoped.create(
        team=shop.team, plugin_config_id=made["id"], bucket=datetime.now(UTC), delivered=3, failed=1
    )
    shop.made("/persisted_folder/", {"type": "pinned", "path": f"{mark}/Boards"})


def _capture(shop: Shop) -> None:
    mark = shop.mark
    answer = shop.capture(
        shop.event("ann-anonymous", city=f"{mark}-city"),
        shop.event("ann", "$identify", **{"$anon_distinct_id": f"{mark}-ann-anonymous", "$set": {"name": f"{mark} A"}}),
        shop.event("bob", "$set", **{"$set": {"email": f"{mark}@example.org"}}),
        shop.event("carol"),
        shop.event("dave", "$identify", **{"$anon_distinct_id": f"{mark}-dave-phone"}),
        shop.event("eve"),
        shop.event("bob", "$groupidentify", **{
            "$group_type": "company", "$group_key": f"{mark}-inc", "$group_set": {"name": f"{mark} Inc"}
        }),
        shop.event("bob", "paid", **{"$groups": {"company": f"{mark}-inc"}}),
        # Refused, which is told as an ingestion warning.
        shop.event("bob", "$merge_dangerously", alias="anonymous"),
    )  # fmt: skip
    assert answer.status_code == 200, answer.content
    for session in (SESSION, f"{SESSION[:-1]}5"):
        snapshot = {
            "event": "$snapshot",
            "uuid": str(uuid5(NAMESPACE_URL, mark + session)),
            "properties": {
                "token": shop.team.api_token,
                "distinct_id": f"{mark}-ann",
                "$session_id": session,
                "$snapshot_data": [{"type": 4, "data": {"href": f"https://{mark}"}, "timestamp": 1_760_000_000_000}],
            },
        }
        sent = CheckedClient().generic("POST", "/s/", orjson.dumps([snapshot]), content_type="application/json")
        assert sent.status_code == 200, sent.content


def _change(shop: Shop) -> None:
    mark = shop.mark
    path = f"/persons/{shop.person_id('ann')}/update_property/"
    key = {"Idempotency-Key": f"{mark}-1"}
    assert shop.send("POST", path, {"key": "plan", "value": f"{mark}-pro"}, **key).status_code < 300
    shop.made(f"/persons/{shop.person_id('dave')}/split/", {"distinct_ids_to_split": [f"{mark}-dave-phone"]})
    shop.made("/persons/bulk_delete/", {"distinct_ids": [f"{mark}-eve"], "delete_events": True})


def _gather(shop: Shop) -> None:
    shop.upload()
    leaf = {"key": "email", "type": "person", "value": "@", "operator": "icontains"}
    filters = {"properties": {"type": "AND", "values": [leaf]}}
    shop.made("/cohorts/", {"name": f"{shop.mark} found", "filters": filters})
    cohorts_calculate()
    shop.made("/actions/", {"name": f"{shop.mark} pays", "steps": [{"event": "paid", "url": shop.mark}]})


def _import(shop: Shop, folder: Path) -> None:
    file = folder / f"{shop.mark}.jsonl"
    line = {**shop.event("frank", "imported"), "timestamp": "2026-01-01T00:00:00Z"}
    file.write_bytes(orjson.dumps(line) + b"\n")
    call_command("import_events", str(file), "--project", str(shop.team.id))


# Who of the tables without a team an entry belongs to, by SQL; what the run itself writes is left out.
_OWNERS = {
    "core_cohortperson": "(SELECT team_id FROM core_cohort WHERE id = t.cohort_id)",
    "core_cohortupload": "(SELECT team_id FROM core_cohort WHERE id = t.cohort_id)",
    "core_team": "t.id",
    "core_project": "t.id",
}
_OF_THE_RUN = {"core_deletionrequest", "core_deletionrun"}
_OF_ALL = {"core_user", "core_organization", "core_organizationmembership", "core_role", "core_rolemembership",
           "core_personalapikey", "core_plugin", "core_pluginsourcefile", "core_user_groups",
           "core_user_user_permissions"}  # fmt: skip


def rows_by_table(client: ModuleType, team_id: int, *, others: bool = False) -> dict[str, list[str]]:
    """Return the rows of a project in both stores by table, or those of all others, as sorted texts.

    Of a project every row that is stored, so that nothing of it hides; of others what they mean, for ClickHouse may at
    any time merge away what a later version has replaced.
    """
    return {name: sorted(rows) for name, rows in _rows(client, team_id, others=others) if rows}


def _rows(client: ModuleType, team_id: int, *, others: bool) -> Iterator[tuple[str, list[str]]]:
    outbox_drain()
    sign = "!=" if others else "="
    for table in TEAM_TABLES:
        final = "FINAL" if others and _merges_rows(client, table) else ""
        sql = f"SELECT toString(tuple(*)) FROM `{table}` {final} WHERE team_id {sign} {team_id}"  # noqa: S608 own names
        yield table, [row[0] for row in client.query(sql).rows]
    sign = "IS DISTINCT FROM" if others else "="
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, bool_or(column_name = 'team_id') FROM information_schema.columns"
            " WHERE table_name LIKE 'core\\_%' GROUP BY 1"
        )
        for table, has_team in cursor.fetchall():
            if table in _OF_THE_RUN | _OF_ALL | {"core_outboxrows"}:
                continue
            owner = "t.team_id" if has_team else _OWNERS[table]
            cursor.execute(f"SELECT t::text FROM {table} t WHERE {owner} {sign} {team_id}")  # noqa: S608 own names
            yield table, [row[0] for row in cursor.fetchall()]
    lines = (
        line for entry in OutboxRows.objects.all() for line in zstandard.decompress(bytes(entry.payload)).splitlines()
    )
    yield "core_outboxrows", [line.decode() for line in lines if (orjson.loads(line)["team_id"] == team_id) != others]


def _merges_rows(client: ModuleType, table: str) -> bool:
    sql = "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
    ((engine,),) = client.query(sql, {"table": table}).rows
    return str(engine) != "MergeTree"


def tables_with(client: ModuleType, text: str) -> set[str]:
    """Return the tables of both stores in which a text occurs anywhere, compressed payloads included."""
    found = {
        name
        for (name,) in client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").rows
        if client.query(
            f"SELECT count() FROM `{name}` WHERE position(toString(tuple(*)), {{text:String}}) > 0",  # noqa: S608 own names
            {"text": text},
        ).rows[0][0]
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'core\\_%'")
        for (name,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*) FROM {name} t WHERE position(%s IN t::text) > 0"  # noqa: S608 own names
                " OR position(encode(convert_to(%s, 'UTF8'), 'hex') IN t::text) > 0",
                [text, text],
            )
            if cursor.fetchone()[0]:
                found.add(name)
    payloads = (zstandard.decompress(bytes(entry.payload)) for entry in OutboxRows.objects.all())
    return found | ({"core_outboxrows"} if any(text.encode() in payload for payload in payloads) else set())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
