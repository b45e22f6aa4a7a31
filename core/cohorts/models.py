"""Cohorts and who is in them. Postgres is the truth; `cohort_people` in ClickHouse is its mirror."""

from typing import ClassVar

from django.db import models

from core.tenancy.managers import TeamScopedModel


class Cohort(TeamScopedModel):
    """A named set of persons: listed one by one (static) or found by filters (dynamic)."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=400, blank=True, default="")
    description = models.CharField(max_length=1000, blank=True, default="")
    is_static = models.BooleanField(default=False)
    filters = models.JSONField(default=dict)
    groups = models.JSONField(default=list)
    deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # Changes to the filters wish for a new calculation; the number last calculated says whether it is due.
    version_wanted = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(null=True, blank=True)
    calculating_since = models.DateTimeField(null=True, blank=True)
    last_calculation = models.DateTimeField(null=True, blank=True)
    errors_calculating = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=400, blank=True, default="")
    count = models.BigIntegerField(null=True, blank=True)

    class Meta(TeamScopedModel.Meta):
        """Lists are newest first."""

        indexes: ClassVar = [models.Index(fields=["team", "-created_at", "-id"], name="cohort_list_idx")]

    def __str__(self) -> str:
        return self.name


class CohortPerson(models.Model):
    """One person's membership; rows go with the person and with the cohort."""

    pk = models.CompositePrimaryKey("cohort_id", "person_id")
    cohort_id = models.BigIntegerField()
    person_id = models.BigIntegerField()
    version = models.BigIntegerField(default=0)

    class Meta:
        """A person's cohorts are found by the second index."""

        indexes: ClassVar = [models.Index(fields=["person_id", "cohort_id"], name="cohort_person_idx")]

    def __str__(self) -> str:
        return f"{self.person_id} in {self.cohort_id}"
