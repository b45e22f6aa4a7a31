"""Gathers every resource's models so that Django finds them; nothing else lives here."""

from core.access.models import PersonalAPIKey
from core.activity.models import ActivityLog
from core.outbox.models import OutboxRows
from core.persons.models import (
    DeletionRequest,
    DistinctIdTombstone,
    Group,
    GroupType,
    ImportProgress,
    Person,
    PersonDistinctId,
    PersonTombstone,
    SeenEvent,
)
from core.tenancy.models import Organization, OrganizationMembership, Project, Team, User

__all__ = [
    "ActivityLog",
    "DeletionRequest",
    "DistinctIdTombstone",
    "Group",
    "GroupType",
    "ImportProgress",
    "Organization",
    "OrganizationMembership",
    "OutboxRows",
    "Person",
    "PersonDistinctId",
    "PersonTombstone",
    "PersonalAPIKey",
    "Project",
    "SeenEvent",
    "Team",
    "User",
]
