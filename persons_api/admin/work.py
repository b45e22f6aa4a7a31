"""What the server has to do and has done: deletions, outbox, imports, the activity log, and operators' own deeds."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from core.access.queries import MAX_ID_DIGITS
from core.activity.models import ActivityLog
from core.deletions.models import DeletionRequest, DeletionRun
from core.outbox.models import OutboxRows
from core.outbox.queries import outbox_readmit
from core.persons.models import ImportProgress
from core.tenancy.models import Organization
from persons_api.admin.base import OperatorAdmin, as_json, counted
from persons_api.admin.site import site


class _YesNo(admin.SimpleListFilter):
    """Whether a moment is there, in words."""

    field: ClassVar[str]
    words: ClassVar[tuple[str, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ANN401 Django's signature
        """Return the two choices."""
        del request, model_admin
        return [("yes", self.words[0]), ("no", self.words[1])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow."""
        del request
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(**{f"{self.field}__isnull": self.value() == "no"})


class _Verified(_YesNo):
    title, parameter_name, field = "state", "verified", "verified_at"
    words = ("verified", "open")


class _Refused(_YesNo):
    title, parameter_name, field = "state", "refused", "refused_at"
    words = ("refused", "waiting")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= MAX_ID_DIGITS else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@admin.register(DeletionRequest, site=site)
class DeletionRequestAdmin(OperatorAdmin):
    """Wishes to erase, with the receipts of those that are verified. The ids of persons are only counted."""

    list_display = ("id", "kind", "team_id", "subject", "requested_at", "attempts", "verified_at", "last_error")
    list_filter = (_Verified, "kind")
    deferred = ("tombstones",)
    deferred_in_lists = ("distinct_ids", "receipt")
    narrowed_by = ("team__id__exact",)
    search_fields = ("person_uuid",)
    search_help_text = "A project's id or a person's UUID"
    ordering = ("-id",)
    of_persons = ("person_uuid", "person_deleted", "id_count")
    of_projects = ("project_name", "project_organization")
    work_fields = (
        "requested_at", "requested_by_email", "run", "attempts", "last_error", "verified_at", "pretty_receipt",
    )  # fmt: skip
    fields = ("id", "kind", "team_id", *of_persons, *of_projects, *work_fields)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by project or person."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if (number := _number(term)) is not None:
            return queryset.filter(team_id=number), False
        person = _uuid(term)
        return (queryset.none() if person is None else queryset.filter(person_uuid=person)), False

    def get_fields(self, request: HttpRequest, obj: DeletionRequest | None = None) -> tuple[str, ...]:
        """Show what is to be erased: a person, or a project."""
        del request
        is_project = obj is not None and obj.kind == DeletionRequest.Kind.PROJECT
        return ("id", "kind", "team_id", *(self.of_projects if is_project else self.of_persons), *self.work_fields)

    @admin.display(description="of")
    def subject(self, request: DeletionRequest) -> str:
        """Name what is to be erased in a list: the project, or the person by UUID."""
        if request.kind == DeletionRequest.Kind.PROJECT:
            return f"project {request.project_name or request.team_id}"
        return f"person {request.person_uuid}"

    @admin.display(description="organization")
    def project_organization(self, request: DeletionRequest) -> str:
        """Name the organization of a project; it may be deleted, or gone."""
        if request.organization_id is None:
            return "-"
        found = Organization.with_deleted.filter(pk=request.organization_id).first()
        return f"{found or 'not here any more'} ({request.organization_id})"

    @admin.display(description="team id")
    def team_id(self, request: DeletionRequest) -> int:
        """Return the project's id; the project itself may be gone."""
        return request.team_id

    @admin.display(description="distinct ids")
    def id_count(self, request: DeletionRequest) -> int:
        """Say how many distinct ids the request names."""
        return len(request.distinct_ids)

    @admin.display(description="receipt")
    def pretty_receipt(self, request: DeletionRequest) -> SafeString:
        """Show the receipt."""
        return as_json(request.receipt)


@admin.register(DeletionRun, site=site)
class DeletionRunAdmin(OperatorAdmin):
    """Runs of the deletion job."""

    list_display = ("started_at", "finished_at", "step", "requests", "verified", "last_error")
    ordering = ("-started_at",)
    fields = ("id", "started_at", "finished_at", "step", "requests", "verified", "last_error", "pretty_found")

    @admin.display(description="rows found")
    def pretty_found(self, run: DeletionRun) -> SafeString:
        """Show the rows found by table."""
        return as_json(run.found)


@admin.register(OutboxRows, site=site)
class OutboxAdmin(OperatorAdmin):
    """What waits for ClickHouse, and what ClickHouse refused. The rows themselves are not read."""

    deferred = ("payload",)
    list_display = ("id", "table", "row_count", "created_at", "batch_id", "refused_at")
    list_filter = (_Refused,)
    ordering = ("id",)
    fields = ("id", "table", "row_count", "created_at", "batch_id", "refused_at")
    actions = ("readmit",)

    @admin.action(description="Try the refused ones again", permissions=["view"])
    def readmit(self, request: HttpRequest, queryset: QuerySet[OutboxRows]) -> None:
        """Let refused entries wait again, after the cause is repaired."""
        chosen = list(queryset.filter(refused_at__isnull=False)[:1000])
        count = outbox_readmit(ids=[entry.pk for entry in chosen])
        for entry in chosen:
            self.log_change(request, entry, "readmitted")
        messages.success(request, f"{counted(count, 'entry waits', 'entries wait')} again.")


@admin.register(ImportProgress, site=site)
class ImportProgressAdmin(OperatorAdmin):
    """How far files of events have been imported."""

    list_display = ("content_hash", "team", "rows_done", "events_stored", "updated_at", "finished_at")
    list_select_related = ("team",)
    ordering = ("-updated_at", "-id")
    fields = ("team", "content_hash", "rows_done", "events_stored", "updated_at", "finished_at")


@admin.register(ActivityLog, site=site)
class ActivityAdmin(OperatorAdmin):
    """Who did what, newest first."""

    deferred_in_lists = ("detail",)
    narrowed_by = ("team_id__exact", "organization_id__exact")
    list_display = ("created_at", "user", "scope", "activity", "item_id", "team_id", "organization_id")
    list_select_related = ("user",)
    search_fields = ("scope",)
    search_help_text = "A project's id, an organization's UUID, or a scope such as Team"
    ordering = ("-created_at", "-id")
    sortable_by = ()
    fields = (
        "id", "created_at", "user", "is_system", "scope", "activity", "item_id", "team_id", "organization_id",
        "pretty_detail",
    )  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by what the indexes know."""
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if (number := _number(term)) is not None:
            return queryset.filter(team_id=number), False
        if (organization := _uuid(term)) is not None:
            return queryset.filter(organization_id=organization), False
        return queryset.filter(scope=term), False

    @admin.display(description="detail")
    def pretty_detail(self, entry: ActivityLog) -> SafeString:
        """Show names and changes."""
        return as_json(entry.detail)


@admin.register(LogEntry, site=site)
class LogEntryAdmin(OperatorAdmin):
    """What operators did in this admin, kept by Django beside the activity log."""

    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag")
    list_select_related = ("user", "content_type")
    list_filter = ("action_flag",)
    ordering = ("-id",)
    fields = ("action_time", "user", "content_type", "object_id", "object_repr", "action_flag", "change_message")
