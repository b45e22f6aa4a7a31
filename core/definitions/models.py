"""Which properties a project has seen, and what their values are."""

from typing import ClassVar

from django.db import models

from core.tenancy.managers import TeamScopedModel


class PropertyDefinition(TeamScopedModel):
    """A key of the properties of events, persons or one kind of groups; its first value that has a type gives it."""

    class Type(models.TextChoices):
        """Whose property it is."""

        EVENT = "event"
        PERSON = "person"
        GROUP = "group"

    class PropertyType(models.TextChoices):
        """How HogQL reads its values."""

        NUMERIC = "Numeric"
        STRING = "String"
        BOOLEAN = "Boolean"
        DATETIME = "DateTime"

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey("core.Team", on_delete=models.CASCADE, related_name="+", db_index=False)
    type = models.CharField(max_length=6, choices=Type.choices)
    group_type_index = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of a group's property only.")
    name = models.CharField(max_length=400)
    property_type = models.CharField(  # noqa: DJ001 - no value told it yet
        max_length=8, choices=PropertyType.choices, null=True, blank=True, help_text="Null for lists and objects."
    )

    class Meta(TeamScopedModel.Meta):
        """The index of the first constraint is the one that names are looked up in."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team", "name", "type", "group_type_index"],
                nulls_distinct=False,
                name="property_definition_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(type="group", group_type_index__lte=4)
                | (~models.Q(type="group") & models.Q(group_type_index__isnull=True)),
                name="property_definition_group",
            ),
        ]

    def __str__(self) -> str:
        return self.name
