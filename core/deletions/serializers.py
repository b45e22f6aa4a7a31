"""What became of deletions, as it is answered and documented."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers


class DeletionTable(serializers.Serializer[Any]):
    """What a run met in one table; `remaining` was counted after the rows had gone."""

    found = serializers.IntegerField()
    removed = serializers.IntegerField()
    remaining = serializers.IntegerField()


class DeletionAsker(serializers.Serializer[Any]):
    """Who asked, as of the time of the request."""

    id = serializers.IntegerField(allow_null=True)
    email = serializers.CharField(allow_blank=True)


class ProjectDeletionReceipt(serializers.Serializer[Any]):
    """The proof that a project is erased: what was found and removed in each table, and when that was verified.

    Places are named as the tables of ClickHouse; `postgres.` stands before those of Postgres, `s3.recordings` are
    objects.
    """

    project_id = serializers.IntegerField()
    name = serializers.CharField()
    organization_id = serializers.UUIDField()
    requested_at = serializers.DateTimeField()
    requested_by = DeletionAsker(allow_null=True)
    run_id = serializers.UUIDField()
    run_started_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField()
    tables = serializers.DictField(child=DeletionTable())


class DeletedProject(serializers.Serializer[Any]):
    """A project that was deleted: its data waits for the deletion job, or is erased and has a receipt."""

    id = serializers.IntegerField(help_text="The id that the project had.")
    name = serializers.CharField()
    deleted_at = serializers.DateTimeField()
    deleted_by = DeletionAsker(allow_null=True)
    status = serializers.ChoiceField(choices=["pending", "completed"])
    verified_at = serializers.DateTimeField(allow_null=True)
    receipt = ProjectDeletionReceipt(allow_null=True)
    attempts = serializers.IntegerField(help_text="Runs of the deletion job that did not come to the end.")
    last_error = serializers.CharField(allow_blank=True, help_text="Why the last of them did not.")


@extend_schema_serializer(many=False)
class PaginatedDeletedProjectList(serializers.Serializer[Any]):
    """A page of deleted projects, newest first."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = DeletedProject(many=True)
