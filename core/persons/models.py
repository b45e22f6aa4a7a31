"""Persons, the distinct ids that name them, and what is remembered after a deletion."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import MD5, Cast, Coalesce, Concat, Now

from core.tenancy.fields import StoredJSONField
from core.tenancy.managers import TeamScopedModel


class Person(TeamScopedModel):
    """One person of a team. Postgres is the truth; ClickHouse holds a mirror by version."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    uuid = models.UUIDField()
    properties = StoredJSONField(default=dict)
    created_at = models.DateTimeField()
    is_identified = models.BooleanField(default=False)
    version = models.BigIntegerField(default=0)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    # A column of its own: an index on an expression over `properties` would make every update write all indexes.
    email_hash = models.GeneratedField(
        expression=MD5(KeyTextTransform("email", "properties")),
        output_field=models.CharField(max_length=32, null=True),
        db_persist=True,
    )
    # What `?search=` looks at, in lines: no index entry moves unless one of the three does.
    search_text = models.GeneratedField(
        expression=Concat(
            Coalesce(KeyTextTransform("email", "properties"), models.Value("", models.TextField())),
            models.Value("\n", models.TextField()),
            Coalesce(KeyTextTransform("name", "properties"), models.Value("", models.TextField())),
            models.Value("\n", models.TextField()),
            Cast("uuid", models.TextField()),
        ),
        output_field=models.TextField(),
        db_persist=True,
    )

    class Meta(TeamScopedModel.Meta):
        """The second index is the list order, the third serves `?email=`, the fourth `?search=`.

        The fifth finds rare values and keys: it makes a filter that few of a million persons match a hundred times
        quicker, and each change of properties write all indexes.
        """

        constraints: ClassVar = [models.UniqueConstraint("team", "uuid", name="person_uuid_unique")]
        indexes: ClassVar = [
            models.Index(models.F("team"), models.F("created_at").desc(), models.F("uuid"), name="person_list_idx"),
            models.Index(
                fields=["team", "email_hash"], name="person_email_idx", condition=models.Q(email_hash__isnull=False)
            ),
            GinIndex(fields=["search_text"], opclasses=["gin_trgm_ops"], name="person_search_idx"),
            GinIndex(fields=["properties"], name="person_properties_idx"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)


class PersonDistinctId(TeamScopedModel):
    """A distinct id and the person that it names now.

    `generation` counts the lives of the id: it rises by one when the id is used again after its
    person was deleted, so that rows of an earlier life can be told apart without clocks.
    """

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="distinct_id_rows", db_index=False)
    distinct_id = models.CharField(max_length=400)
    version = models.BigIntegerField(default=0)
    generation = models.PositiveIntegerField(default=0)

    class Meta(TeamScopedModel.Meta):
        """A distinct id names one person; a person's ids are read in the order in which they came."""

        constraints: ClassVar = [models.UniqueConstraint("team", "distinct_id", name="distinct_id_unique")]
        indexes: ClassVar = [
            models.Index("person", "id", name="distinct_id_person_idx"),
            GinIndex(fields=["distinct_id"], opclasses=["gin_trgm_ops"], name="distinct_id_search_idx"),
        ]

    def __str__(self) -> str:
        return self.distinct_id


class PersonTombstone(models.Model):
    """The highest version that a deleted person's UUID ever had."""

    pk = models.CompositePrimaryKey("team_id", "person_uuid")
    team_id = models.BigIntegerField()
    person_uuid = models.UUIDField()
    version = models.BigIntegerField()
    deleted_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.person_uuid)


class DistinctIdTombstone(models.Model):
    """The last version and generation of a deleted distinct id, by its hash: ids can be personal data themselves."""

    pk = models.CompositePrimaryKey("team_id", "distinct_id_hash")
    team_id = models.BigIntegerField()
    distinct_id_hash = models.BinaryField(max_length=32)
    version = models.BigIntegerField()
    generation = models.PositiveIntegerField()
    deleted_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"tombstone of a distinct id in team {self.team_id}"


class SeenEvent(models.Model):
    """Event uuids accepted lately, so that a retried request changes nothing twice."""

    pk = models.CompositePrimaryKey("team_id", "uuid")
    team_id = models.BigIntegerField()
    uuid = models.UUIDField()
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        """Pruned by age."""

        indexes: ClassVar = [BrinIndex("seen_at", name="seen_event_age_idx")]

    def __str__(self) -> str:
        return str(self.uuid)


class GroupType(TeamScopedModel):
    """The name of one of the five kinds of groups a project may have."""

    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    group_type = models.CharField(max_length=400)
    group_type_index = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TeamScopedModel.Meta):
        """At most five kinds, each with its own index."""

        constraints: ClassVar = [
            models.UniqueConstraint("team", "group_type", name="group_type_unique"),
            models.UniqueConstraint("team", "group_type_index", name="group_type_index_unique"),
            models.CheckConstraint(condition=models.Q(group_type_index__lte=4), name="group_type_at_most_five"),
        ]

    def __str__(self) -> str:
        return self.group_type


class Group(TeamScopedModel):
    """A group such as a company, with its own properties."""

    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    group_type_index = models.PositiveSmallIntegerField()
    group_key = models.CharField(max_length=400)
    properties = StoredJSONField(default=dict)
    version = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta(TeamScopedModel.Meta):
        """A key names one group of its kind."""

        constraints: ClassVar = [
            models.UniqueConstraint("team", "group_type_index", "group_key", name="group_key_unique")
        ]

    def __str__(self) -> str:
        return self.group_key


class ImportProgress(TeamScopedModel):
    """How far a file of events has been imported, so that a killed import goes on where it stopped."""

    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    content_hash = models.CharField(max_length=64)
    rows_done = models.BigIntegerField(default=0)
    events_stored = models.BigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TeamScopedModel.Meta):
        """Files are known by their content."""

        verbose_name = verbose_name_plural = "import progress"
        constraints: ClassVar = [models.UniqueConstraint("team", "content_hash", name="import_file_unique")]

    def __str__(self) -> str:
        return self.content_hash
