"""The one place that scopes a query by team."""

from typing import Self

from django.db import models


class UnscopedQueryError(RuntimeError):
    """A query on a team's rows that names no team: a defect in our code, never the caller's fault."""


class TeamScopedManager[M: models.Model](models.Manager[M]):
    """Refuses every query until a team is named with `for_team`."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Fail closed."""
        message = f"{self.model.__name__}.objects must be narrowed with for_team(); jobs over all teams use .unscoped"
        raise UnscopedQueryError(message)

    def for_team(self, team_id: int) -> models.QuerySet[M]:
        """Rows of one team."""
        return models.QuerySet(self.model, using=self._db).filter(team_id=team_id)

    def db_manager(self, using: str | None = None, hints: dict[str, models.Model] | None = None) -> Self:
        """Keep the scoped manager when Django copies it for another database alias."""
        return super().db_manager(using, hints)


class TeamScopedModel(models.Model):
    """A row that belongs to exactly one team."""

    objects = TeamScopedManager[Self]()
    unscoped = models.Manager[Self]()

    class Meta:
        """Django's own machinery (cascades, related managers) may not fail closed."""

        abstract = True
        base_manager_name = "unscoped"
        default_manager_name = "unscoped"
