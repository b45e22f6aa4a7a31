"""Cohorts and who is in them. Postgres is the truth; `cohort_people` in ClickHouse is its mirror."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.tenancy.fields import StoredJSONField
from core.tenancy.managers import TeamScopedModel


class Cohort(TeamScopedModel):
    """A named set of persons: listed one by one (static) or found by filters (dynamic)."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=400, blank=True, default="")
    description = models.CharField(max_length=1000, blank=True, default="")
    is_static = models.BooleanField(default=False)
    filters = StoredJSONField(default=dict)
    groups = StoredJSONField(default=list)
    depends_on = ArrayField(models.BigIntegerField(), default=list, help_text="The cohorts that the filters name.")
    deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey("core.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # A change wishes for a new calculation; the number last calculated says whether it is due.
    version_wanted = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(null=True, blank=True)
    last_calculation = models.DateTimeField(null=True, blank=True)
    errors_calculating = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=400, blank=True, default="")
    retry_at = models.DateTimeField(null=True, blank=True)
    count = models.BigIntegerField(null=True, blank=True)
    # Who calculates holds a lease; what it has done so far stays when it dies.
    lease_id = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    progress = models.UUIDField(null=True, blank=True, help_text="Persons up to this UUID are done.")
    members_changed = models.BooleanField(default=False, help_text="Since the calculation under way began.")

    class Meta(TeamScopedModel.Meta):
        """Lists are newest first."""

        indexes: ClassVar = [models.Index(fields=["team", "-created_at", "-id"], name="cohort_list_idx")]

    def __str__(self) -> str:
        return self.name


class CohortPerson(models.Model):
    """One person's membership; rows go with the person and with the cohort.

    `version` rises over all memberships, so that a person who left and came back has a higher one.
    """

    version = models.BigAutoField(primary_key=True)
    cohort_id = models.BigIntegerField()
    person_id = models.BigIntegerField()

    class Meta:
        """A person is in a cohort once; a person's cohorts are found by the index."""

        constraints: ClassVar = [models.UniqueConstraint("cohort_id", "person_id", name="cohort_person_unique")]
        indexes: ClassVar = [models.Index(fields=["person_id", "cohort_id"], name="cohort_person_idx")]

    def __str__(self) -> str:
        return f"{self.person_id} in {self.cohort_id}"


class CohortUpload(models.Model):
    """A part of an uploaded list that waits to be added to a static cohort."""

    class Kind(models.TextChoices):
        """What the list holds."""

        ANY = "any"
        DISTINCT_ID = "distinct_id"
        PERSON_ID = "person_id"
        EMAIL = "email"

    id = models.BigAutoField(primary_key=True)
    cohort = models.ForeignKey(Cohort, on_delete=models.CASCADE, related_name="uploads")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    ids = ArrayField(models.TextField())

    def __str__(self) -> str:
        return f"{len(self.ids)} {self.kind} for {self.cohort_id}"
