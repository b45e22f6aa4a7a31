"""What a request knows about the tenant it speaks of: plain frozen values, never model objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson


@dataclass(frozen=True, slots=True)
class TeamContext:
    """The project (and its one environment) that a request is about."""

    id: int
    organization_id: UUID
    api_token: str
    name: str
    timezone: str
    person_display_name_properties: tuple[str, ...] | None
    person_processing_opt_out: bool
    anonymize_ips: bool
    ingested_event: bool
    rate_limits: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class OrganizationContext:
    """The organization that a request is about."""

    id: UUID
    name: str
    members_can_use_personal_api_keys: bool
    plugins_access_level: int


TEAM_COLUMNS = (
    "t.id, t.organization_id, t.api_token, t.name, t.timezone, t.person_display_name_properties, "
    "t.person_processing_opt_out, t.anonymize_ips, t.ingested_event, t.rate_limits"
)
ORGANIZATION_COLUMNS = "o.id, o.name, o.members_can_use_personal_api_keys, o.plugins_access_level"


def team_from_row(row: Sequence[Any]) -> TeamContext | None:
    """Read TEAM_COLUMNS; an outer join that found nothing is None."""
    if row[0] is None:
        return None
    names = row[5]
    if isinstance(names, str):
        names = orjson.loads(names)
    names = tuple(str(name) for name in names) if names else None
    limits = orjson.loads(row[9]) if isinstance(row[9], str) else row[9]
    identity, flags = row[:5], row[6:9]
    return TeamContext(*identity, names, *flags, limits)  # type: ignore[call-arg]  # the slices are as long as the columns


def organization_from_row(row: Sequence[Any]) -> OrganizationContext | None:
    """Read ORGANIZATION_COLUMNS; an outer join that found nothing is None."""
    return None if row[0] is None else OrganizationContext(*row[:4])
