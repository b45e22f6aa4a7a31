"""Keeps a project from being deleted while something of it is being written."""

from core.tenancy.statements import execute


class TeamGoneError(LookupError):
    """The project was deleted after the caller had found it; nothing may be written into it any more."""

    def __init__(self) -> None:
        super().__init__("The project was deleted.")


def team_hold(team_id: int) -> None:
    """Let the team not be deleted until the transaction ends; writers call it first, before any other lock.

    A deletion waits for those who hold the team, and who comes after it finds none: so once a deletion is
    committed, nothing more of the team is. Raises TeamGoneError for a team that is deleted.
    """
    if not execute("SELECT id FROM core_team WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE", [team_id]):
        raise TeamGoneError
