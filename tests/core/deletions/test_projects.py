"""Deletion of whole projects: refused at once, erased everywhere by the job, proven by a receipt."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from core.activity.models import ActivityLog
from core.capture.importer import PROJECT_DELETED
from core.cohorts.models import Cohort
from core.deletions import job, project_rows, projects
from core.deletions.models import DeletionRequest
from core.encryption.services import encrypt, encrypt_json
from core.outbox.services import outbox_drain
from core.persons.erasing import RunResult
from core.persons.values_rebuild import property_values_rebuild
from core.plugins.models import Plugin, PluginConfig, PluginSourceFile
from core.plugins.visible import visible_plugins
from core.projects.deleting import projects_delete
from core.tenancy.holding import TeamGoneError
from core.tenancy.models import Organization, Project, Team, User
from events.deletion_places import TEAM_TABLES
from events.deletions import SCRATCH
from tasks.cohorts import cohorts_calculate
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key, make_organization, make_team, make_user
from tests.support.shop import Shop, open_shop, rows_by_table, sha256, tables_with

pytestmark = pytest.mark.django_db(transaction=True)

type Run = Callable[[], list[RunResult]]
KEPT = {"core_activitylog", "core_team", "core_project"}


@dataclass(frozen=True)
class Street:
    """Two projects of one organization, and one of another."""

    gone: Shop
    second: Shop
    elsewhere: Shop
    owner: User

    @property
    def organization(self) -> Organization:
        return self.gone.team.organization

    @property
    def caller(self) -> Caller:
        return Caller(make_key(self.owner))

    def deleted(self, path: str = "") -> Any:
        return parsed(self.caller.get(f"/api/organizations/{self.organization.id}/deleted_projects/{path}"))

    def delete(self) -> None:
        assert self.caller("DELETE", f"/api/projects/{self.gone.team.id}/").status_code == 204


@pytest.fixture
def street(clickhouse: ModuleType, tmp_path: Path) -> Street:
    organization, outside = make_organization(name="Acme"), make_organization(name="Elsewhere")
    first, second, elsewhere = (
        make_team(organization, name="Shop"),
        make_team(organization, name="Second"),
        make_team(outside),
    )
    owner = make_user(organization, team=first)
    stranger = make_user(outside, team=elsewhere)
    shops = (
        open_shop(first, owner, mark="qqgone", folder=tmp_path),
        open_shop(second, owner, mark="qqsecond", folder=tmp_path),
        open_shop(elsewhere, stranger, mark="qqelsewhere", folder=tmp_path),
    )
    for shop in shops:
        shop.upload()
    return Street(*shops, owner)


def test_everything_of_it_goes_and_nothing_of_others(street: Street, clickhouse: ModuleType, run: Run) -> None:
    team = street.gone.team
    before = rows_by_table(clickhouse, team.id)
    others = rows_by_table(clickhouse, team.id, others=True)
    assert set(before) >= {*TEAM_TABLES} - {"person_property_values_rebuild"}, "the seed has something everywhere"
    assert set(before) >= {store.table for store in project_rows.STORES} | {"core_team", "core_project"}

    street.delete()
    (result,) = run()

    assert (result.requests, result.verified) == (4, 4)
    after = rows_by_table(clickhouse, team.id)
    assert set(after) == {"core_activitylog"}
    assert {entry.scope for entry in ActivityLog.objects.filter(team_id=team.id)} == {"Team", "Project"}
    others_after = rows_by_table(clickhouse, team.id, others=True)
    # Requests of persons in other projects are carried out by the same run: what is theirs alone may change by them.
    assert others_after.keys() <= others.keys()
    for table in others.keys() - CHANGED_BY_PERSONS:
        assert others_after[table] == others[table], table
    assert tables_with(clickhouse, "qqgone") == set()


CHANGED_BY_PERSONS = {
    "events", "persons", "person_property_updates", "person_property_values", "person_distinct_ids",
    "person_distinct_id_overrides", "ingestion_warnings", "core_activitylog", "core_idempotentanswer",
    "core_outboxrows", "cohort_people", "core_plugindelivery",
}  # fmt: skip


def test_other_projects_stay_byte_for_byte(street: Street, clickhouse: ModuleType, run: Run) -> None:
    DeletionRequest.unscoped.all().delete()
    before = rows_by_table(clickhouse, street.gone.team.id, others=True)
    street.delete()
    (result,) = run()
    assert result.verified == 1
    assert rows_by_table(clickhouse, street.gone.team.id, others=True) == before


def test_the_receipt_counts_what_was_there(street: Street, clickhouse: ModuleType, run: Run) -> None:
    team = street.gone.team
    before = {table: len(rows) for table, rows in rows_by_table(clickhouse, team.id).items()}
    answers = before.pop("core_idempotentanswer")
    kept = ActivityLog.objects.filter(team_id=team.id, scope__in=["Team", "Project"]).count()
    street.delete()
    (pending,) = street.deleted()["results"]
    assert (pending["status"], pending["receipt"], pending["attempts"]) == ("pending", None, 0)
    run()
    found = street.deleted(f"{team.id}/")
    assert found == street.deleted()["results"][0]
    receipt = found["receipt"]
    assert (found["id"], found["name"], found["status"], found["last_error"]) == (team.id, "Shop", "completed", "")
    assert found["deleted_by"] == {"id": street.owner.id, "email": street.owner.email} == receipt["requested_by"]
    assert found["verified_at"] == receipt["verified_at"]
    assert receipt["requested_at"] == found["deleted_at"] < receipt["run_started_at"] < receipt["verified_at"]
    assert (receipt["project_id"], receipt["name"], receipt["organization_id"]) == (
        team.id, "Shop", str(street.organization.id),
    )  # fmt: skip
    assert set(receipt) == {
        "project_id", "name", "organization_id", "requested_at", "requested_by", "run_id", "run_started_at",
        "verified_at", "tables",
    }  # fmt: skip
    tables = receipt["tables"]
    assert set(tables) == {*projects.PLACES, project_rows.PROJECT}
    assert all(counts["found"] == counts["removed"] and counts["remaining"] == 0 for counts in tables.values())
    for table in TEAM_TABLES:
        assert tables[table]["removed"] == before.get(table, 0), table
    stores = {store.table: store.place for store in project_rows.STORES}
    for table, place in stores.items():
        expected = {"core_activitylog": before["core_activitylog"] - kept, "core_idempotentanswer": answers}
        assert tables[place]["removed"] == expected.get(table, before.get(table, 0)), table
    assert (tables["postgres.project"]["removed"], tables["postgres.refused_rows"]["removed"]) == (1, 1)


def test_from_the_deletion_on_nobody_sees_it_or_writes_to_it(street: Street) -> None:
    team = street.gone.team
    street.delete()
    refused = street.gone.capture(street.gone.event("ann"))
    assert (refused.status_code, parsed(refused)["code"]) == (401, "invalid_api_key")
    for path in (f"/api/projects/{team.id}/", f"/api/environments/{team.id}/"):
        assert problem(street.caller.get(path))[0] == 404
        assert problem(street.caller("DELETE", path))[0] == 404
    assert problem(street.caller.get(f"/api/projects/{team.id}/persons/"))[3] == "Project not found."
    only_key = Caller(make_key(street.owner, scoped_teams=[team.id]))
    assert problem(only_key.get(f"/api/projects/{team.id}/persons/"))[0] == 404
    assert parsed(only_key.get("/api/projects/"))["results"] == []
    assert [found["id"] for found in parsed(street.caller.get("/api/projects/"))["results"]] == [street.second.team.id]
    # Whoever worked with it works with another one that is left.
    assert parsed(street.caller.get("/api/projects/@current/"))["id"] == street.second.team.id
    assert User.objects.get(id=street.owner.id).current_team_id is None
    assert street.second.capture(street.second.event("ann")).status_code == 200


def test_the_log_says_who_deleted_it(street: Street, run: Run) -> None:
    street.delete()
    run()
    entries = ActivityLog.objects.filter(team_id=street.gone.team.id, activity="deleted").order_by("scope")
    assert [(entry.scope, entry.item_id, entry.user_id, entry.detail["name"]) for entry in entries] == [
        ("Project", str(street.gone.team.id), street.owner.id, "Shop"),
        ("Team", str(street.gone.team.id), street.owner.id, "Shop"),
    ]
    assert {entry.organization_id for entry in entries} == {street.organization.id}


def test_requests_of_its_persons_are_answered_with_it(street: Street, run: Run) -> None:
    mine = DeletionRequest.objects.for_team(street.gone.team.id).get()
    theirs = DeletionRequest.objects.for_team(street.second.team.id).get()
    street.delete()
    run()
    mine.refresh_from_db()
    theirs.refresh_from_db()
    project = DeletionRequest.objects.for_team(street.gone.team.id).get(kind="project")
    assert mine.receipt["erased_with_project"] == {"project_id": street.gone.team.id, "request_id": project.id}
    assert (mine.receipt["tables"], mine.distinct_ids) == ({}, [{"sha256": sha256("qqgone-eve"), "generation": 0}])
    assert mine.receipt["run_id"] == project.receipt["run_id"] == theirs.receipt["run_id"]
    assert "erased_with_project" not in theirs.receipt
    assert theirs.receipt["tables"]["events"]["removed"] == 1


def test_rows_that_come_from_nowhere_leave_it_waiting(
    street: Street, clickhouse: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = street.gone.team
    row = orjson.dumps({"team_id": team.id, "group_type_index": 0, "group_key": "late", "properties": "{}"})

    def late(work: Any) -> None:
        clickhouse.insert_json_rows("groups", row, token=str(uuid4()))
        job.verify(work)

    street.delete()
    with monkeypatch.context() as patch:
        late.__name__ = "verify"
        patch.setattr(job, "STEPS", tuple(late if step is job.verify else step for step in job.STEPS))
        (result,) = run()
    assert (result.requests, result.verified) == (4, 2)
    found = street.deleted(f"{team.id}/")
    assert (found["status"], found["attempts"], found["last_error"]) == ("pending", 1, job.STILL_THERE)
    assert Team.with_deleted.filter(id=team.id).exists()
    open_requests = DeletionRequest.objects.for_team(team.id).filter(verified_at=None)
    assert {(request.kind, request.run_id, request.attempts) for request in open_requests} == {
        ("project", None, 1), ("events", None, 1),
    }  # fmt: skip

    (result,) = run()
    assert result.verified == 2
    tables = street.deleted(f"{team.id}/")["receipt"]["tables"]
    assert tables["groups"]["found"] == tables["groups"]["removed"] > 0
    assert tables["events"]["removed"] > 0
    assert tables["postgres.persons"]["removed"] > 0


def test_batches_of_any_size_take_all(
    street: Street, clickhouse: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_rows, "BATCH", 1)
    expected = len(rows_by_table(clickhouse, street.gone.team.id)["core_persondistinctid"])
    street.delete()
    run()
    assert (
        street.deleted(f"{street.gone.team.id}/")["receipt"]["tables"]["postgres.distinct_ids"]["removed"] == expected
    )
    assert set(rows_by_table(clickhouse, street.gone.team.id)) == {"core_activitylog"}


def test_with_its_organization_it_leaves_a_receipt_for_the_operator(
    street: Street, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    organization = street.organization
    assert street.caller("DELETE", f"/api/organizations/{organization.id}/").status_code == 204
    assert problem(street.caller.get(f"/api/organizations/{organization.id}/deleted_projects/"))[0] == 404
    call_command("run_deletions", "--dry-run")
    told = capsys.readouterr().out
    for shop in (street.gone, street.second):
        assert f'waiting: project {shop.team.id} "{shop.team.name}" of organization {organization.id}, deleted' in told
    assert "waiting requests: 5; a run would erase" in told
    call_command("run_deletions")
    told = capsys.readouterr()
    assert "5 of 5 requests verified" in told.out
    assert f'project {street.gone.team.id} "Shop" of organization {organization.id} is erased; receipt:' in told.out
    receipts = [orjson.loads(line) for line in told.out.splitlines() if line.startswith('  {"')]
    assert {receipt["project_id"] for receipt in receipts} == {street.gone.team.id, street.second.team.id}
    assert f"verifying projects ({len(projects.PLACES)})" in told.err
    assert not Organization.with_deleted.filter(id=organization.id).exists()
    assert not Project.objects.filter(organization_id=organization.id).exists()
    assert Organization.objects.filter(id=street.elsewhere.team.organization_id).exists()


def test_an_organization_without_projects_goes_with_the_next_run(clickhouse: ModuleType, run: Run) -> None:
    organization = make_organization()
    owner = make_user(organization)
    caller = Caller(make_key(owner))
    assert caller("POST", f"/api/organizations/{organization.id}/roles/", {"name": "Support"}).status_code == 201
    assert caller("DELETE", f"/api/organizations/{organization.id}/").status_code == 204
    assert Organization.with_deleted.filter(id=organization.id).exists()
    assert run() == []
    assert not Organization.with_deleted.filter(id=organization.id).exists()
    assert User.objects.filter(id=owner.id).exists()
    entries = ActivityLog.objects.filter(organization_id=organization.id)
    assert set(entries.values_list("scope", flat=True)) == {"Organization"}


def test_the_dry_run_counts_what_the_run_erases(street: Street, clickhouse: ModuleType, run: Run) -> None:
    DeletionRequest.unscoped.all().delete()
    street.delete()
    requests, expected = job.deletions_count()
    (result,) = run()
    assert requests == 1
    assert expected.pop("postgres.refused_rows") == 1
    found = {place: count for place, count in result.found.items() if count}
    assert found.pop("postgres.refused_rows") == 1
    assert found == expected


def test_deleting_several_leaves_alone_what_is_deleted_already(street: Street) -> None:
    ids = [street.gone.team.id, street.second.team.id]
    street.delete()
    projects_delete(organization_id=street.organization.id, team_ids=ids, user_id=None)
    requests = DeletionRequest.unscoped.filter(kind="project").order_by("team_id")
    assert [(request.team_id, request.requested_by_id) for request in requests] == [
        (ids[0], street.owner.id), (ids[1], None),
    ]  # fmt: skip
    tokens = Team.with_deleted.filter(id__in=ids).values_list("api_token", flat=True)
    assert {street.gone.team.api_token, street.second.team.api_token}.isdisjoint(tokens)


def test_deleted_projects_are_for_the_organization_alone(street: Street) -> None:
    street.delete()
    path = f"/api/organizations/{street.organization.id}/deleted_projects/"
    member = Caller(make_key(make_user(street.organization, level=1), scopes=["project:read"]))
    assert [found["id"] for found in parsed(member.get(path))["results"]] == [street.gone.team.id]
    assert problem(Caller(make_key(street.owner, scopes=["person:read"])).get(path))[0] == 403
    assert problem(Caller(make_key(make_user(make_organization()))).get(path))[0] == 403
    for text in (street.second.team.id, street.elsewhere.team.id, 2**63, "9" * 400, "-1", "x", "%00", "²"):
        assert problem(member.get(f"{path}{text}/"))[0] == 404, text
    elsewhere = f"/api/organizations/{street.elsewhere.team.organization_id}/deleted_projects/{street.gone.team.id}/"
    assert problem(street.elsewhere.client.get(elsewhere))[0] == 404
    page = parsed(member.get(f"{path}?limit=1&offset=1"))
    assert (page["count"], page["results"], page["next"]) == (1, [], None)
    status = parsed(street.second.send("GET", "/persons/deletion_status/?kind=all"))
    assert {found["kind"] for found in status["results"]} == {"events"}
    assert problem(street.second.send("GET", "/persons/deletion_status/?kind=project"))[0] == 400


def test_jobs_over_all_projects_leave_deleted_ones_alone(street: Street, tmp_path: Path) -> None:
    team = street.gone.team
    street.delete()
    Cohort.unscoped.update(version_wanted=99, retry_at=None, lease_until=None)
    cohorts_calculate()
    assert set(Cohort.unscoped.filter(team=team).values_list("version_wanted", "lease_id")) == {(99, None)}
    assert not Cohort.unscoped.filter(team=team, version=99).exists()
    assert Cohort.unscoped.filter(team=street.second.team, version=99).exists()
    with pytest.raises(TeamGoneError):
        list(property_values_rebuild(team_id=team.id))
    file = tmp_path / "more.jsonl"
    file.write_bytes(orjson.dumps(street.gone.event("ann")) + b"\n")
    with pytest.raises(CommandError, match="no such project"):
        call_command("import_events", str(file), "--project", str(team.id))
    assert PROJECT_DELETED


def test_every_table_of_clickhouse_with_a_team_is_covered(clickhouse: ModuleType) -> None:
    found = clickhouse.query(
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'team_id'"
    ).rows
    assert {table for (table,) in found} == {*TEAM_TABLES, *SCRATCH}


def test_every_table_of_postgres_that_belongs_to_a_project_is_covered(db: None) -> None:
    """A new table that names a project, or refers to a table that does, must be erased or be listed here as kept."""
    kept = {
        "core_deletionrequest": "receipts, which hold hashes in place of ids",
        "core_user": "current_team is emptied",
        "core_personalapikey": "scoped_teams holds ids that mean nothing any more",
        "core_project": "erased last, as one with the team",
        "core_team": "the same",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND (column_name ~ '(^|_)(teams?|projects?)(_id|$)' OR column_name ~ '(^|_)(team|project)_ids?$')"
        )
        named = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        )
        references = cursor.fetchall()
    covered = {store.table for store in project_rows.STORES}
    reached = named | covered | {"core_team", "core_project"}
    found = reached | {table for table, target in references if target in reached - kept.keys() | {"core_team"}}
    assert found <= covered | kept.keys(), "neither erased with a project nor listed as kept"
    assert covered <= found | {"core_cohortperson"}


def test_drained_outbox_is_part_of_it(street: Street, clickhouse: ModuleType, run: Run) -> None:
    for number in range(3):
        assert street.gone.capture(street.gone.event(f"waiting-{number}")).status_code == 200
    street.delete()
    run()
    outbox_drain()
    assert tables_with(clickhouse, "qqgone") == set()


def test_plugins_go_with_their_organization_unless_others_use_them(street: Street, run: Run) -> None:
    """A global plugin that another organization configured goes on working there; nobody owns it, no others see it."""
    organization = street.organization
    unused, used, clash = (
        Plugin.objects.create(
            organization=organization, plugin_type="repository", name=name, is_global=name != "clash",
            url=f"https://github.com/example/{name}", archive=b"zip", encrypted_query=encrypt(b"private_token=hush"),
        )
        for name in ("unused", "used", "clash")
    )  # fmt: skip
    for plugin in (unused, used, clash):
        PluginSourceFile.objects.create(plugin=plugin, filename="frontend.tsx", source="export default 1")
    Plugin.objects.create(plugin_type="repository", name="older", url=clash.url)
    theirs = [
        PluginConfig.unscoped.create(team=team, plugin=plugin, order=1, encrypted_config=encrypt_json({}))
        for team, plugin in (
            (street.elsewhere.team, used), (street.elsewhere.team, clash), (street.gone.team, unused),
        )
    ]  # fmt: skip
    assert street.caller("DELETE", f"/api/organizations/{organization.id}/").status_code == 204
    run()
    assert not Organization.with_deleted.filter(id=organization.id).exists()
    assert not Plugin.objects.filter(id=unused.id).exists()
    assert not PluginSourceFile.objects.filter(plugin_id=unused.id).exists()
    assert {config.id for config in theirs[:2]} <= set(PluginConfig.unscoped.values_list("id", flat=True))
    kept = Plugin.objects.filter(id__in=[used.id, clash.id]).order_by("id")
    assert [(one.organization_id, one.is_global, one.url, one.archive, one.encrypted_query) for one in kept] == [
        (None, False, "https://github.com/example/used", None, None),
        (None, False, None, None, None),
    ]
    assert {one.source_files.get().source for one in kept} == {"export default 1"}
    assert set(kept) <= set(visible_plugins(street.elsewhere.team.organization_id))
    assert set(kept).isdisjoint(visible_plugins(make_organization().id))
    answer = street.elsewhere.send("GET", f"/plugin_configs/{theirs[0].id}/").json()
    assert answer["plugin_info"]["organization_id"] is answer["plugin_info"]["organization_name"] is None
