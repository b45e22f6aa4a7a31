"""Gathers every resource's models so that Django finds them; nothing else lives here."""

from core.access.models import PersonalAPIKey
from core.actions.models import Action
from core.activity.models import ActivityLog
from core.cohorts.models import Cohort, CohortPerson, CohortUpload
from core.definitions.models import PropertyDefinition
from core.deletions.models import DeletionRequest, DeletionRun
from core.folders.models import PersistedFolder
from core.idempotency.models import IdempotentAnswer
from core.outbox.models import OutboxRows
from core.persons.models import (
    DistinctIdTombstone,
    Group,
    GroupType,
    ImportProgress,
    Person,
    PersonDistinctId,
    PersonTombstone,
    SeenEvent,
)
from core.plugins.models import (
    Plugin,
    PluginAttachment,
    PluginConfig,
    PluginDelivery,
    PluginDeliveryCount,
    PluginDestination,
    PluginJob,
    PluginSourceFile,
)
from core.roles.models import Role, RoleMembership
from core.tenancy.models import Organization, OrganizationMembership, Project, Team, User

__all__ = [
    "Action",
    "ActivityLog",
    "Cohort",
    "CohortPerson",
    "CohortUpload",
    "DeletionRequest",
    "DeletionRun",
    "DistinctIdTombstone",
    "Group",
    "GroupType",
    "IdempotentAnswer",
    "ImportProgress",
    "Organization",
    "OrganizationMembership",
    "OutboxRows",
    "PersistedFolder",
    "Person",
    "PersonDistinctId",
    "PersonTombstone",
    "PersonalAPIKey",
    "Plugin",
    "PluginAttachment",
    "PluginConfig",
    "PluginDelivery",
    "PluginDeliveryCount",
    "PluginDestination",
    "PluginJob",
    "PluginSourceFile",
    "Project",
    "PropertyDefinition",
    "Role",
    "RoleMembership",
    "SeenEvent",
    "Team",
    "User",
]
