"""Finds the team that a public project token belongs to."""

from typing import Any, NamedTuple

from core.tenancy.models import Team


class TokenTeam(NamedTuple):
    """What capture needs to know of a team."""

    id: int
    person_processing_opt_out: bool
    anonymize_ips: bool
    ingested_event: bool


def team_by_token(token: str) -> TokenTeam | None:
    """Return the team of a token. Asked for every request, never cached: a reset token must fail at once."""
    columns = ("id", "person_processing_opt_out", "anonymize_ips", "ingested_event")
    row = Team.objects.filter(api_token=token).values_list(*columns).first()
    return None if row is None else TokenTeam(*row)


def team_settings_by_token(token: str) -> dict[str, Any] | None:
    """Return the settings without a column that the team of a token has changed; None for an unknown token."""
    row = Team.objects.filter(api_token=token).values_list("settings", flat=True).first()
    return None if row is None else dict(row)
