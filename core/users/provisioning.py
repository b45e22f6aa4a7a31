"""Making an organization, a project, a user and a key in one go, for operators and test harnesses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from core.activity.changes import changes_between
from core.activity.services import activity_log
from core.organizations.services import organization_create
from core.plugins.levels import PluginsAccessLevel
from core.projects.rate_limits import rate_limits_set
from core.projects.services import project_create
from core.tenancy.models import Level, Organization, OrganizationMembership, Team, User
from core.users.operating import operator_make
from core.users.services import key_create


@dataclass(frozen=True, slots=True)
class Wish:
    """What should be there afterwards."""

    organization: str
    project: str
    email: str
    password: str | None = None
    level: Level | None = None
    """Owner for a new member; None leaves an existing member as they are."""
    label: str = "provisioned"
    scopes: Sequence[str] = ("*",)
    scoped_teams: Sequence[int] = ()
    scoped_organizations: Sequence[str] = ()
    session_recording: bool | None = None
    """Whether browsers are told to record; None leaves the project as it is."""
    operator: bool = False
    """Whether the user is made an operator of this server; False leaves who is one."""
    rate_limits: Mapping[str, str] | None = None
    """The project's own limits, which replace those it has; None leaves them."""
    plugins_access_level: PluginsAccessLevel | None = None
    """What the organization may do with plugins; None leaves it, which is everything for a new one."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What is there now; the key is shown this once."""

    organization_id: str
    project_id: int
    api_token: str
    user_id: int
    email: str
    personal_api_key: str


@transaction.atomic
def provision(*, wish: Wish) -> Provisioned:
    """Find or make organization (by name), project (by name in it) and user (by e-mail); always make a key."""
    organization = Organization.objects.filter(name=wish.organization).order_by("created_at").first()
    organization = organization or organization_create(name=wish.organization)
    if wish.plugins_access_level is not None:
        _set_plugins_access_level(organization, wish.plugins_access_level)
    team = Team.objects.filter(organization=organization, project__name=wish.project).order_by("pk").first()
    team = team or project_create(organization_id=organization.pk, user_id=None, name=wish.project)
    if wish.session_recording is not None:
        team.settings = {**team.settings, "session_recording_opt_in": wish.session_recording}
        team.save(update_fields=["settings", "updated_at"])
    if wish.rate_limits is not None:
        rate_limits_set(team_id=team.pk, rate_limits=wish.rate_limits, user_id=None)
    user = User.objects.filter(email__iexact=wish.email).first()
    if user is None:
        user = User.objects.create_user(wish.email, wish.password, first_name=wish.email.partition("@")[0][:150])
    elif wish.password:
        user.set_password(wish.password)
    user.current_organization, user.current_team = organization, team
    user.save()
    membership, is_new = OrganizationMembership.objects.get_or_create(
        organization=organization, user=user, defaults={"level": wish.level or Level.OWNER}
    )
    if not is_new and wish.level is not None:
        _set_level(membership, wish.level)
    if wish.operator:
        operator_make(user=user)
    _, value = key_create(
        user=user,
        label=wish.label,
        scopes=wish.scopes,
        scoped_teams=wish.scoped_teams,
        scoped_organizations=wish.scoped_organizations,
    )
    return Provisioned(
        organization_id=str(organization.pk),
        project_id=team.pk,
        api_token=team.api_token,
        user_id=user.pk,
        email=user.email,
        personal_api_key=value,
    )


def _set_plugins_access_level(organization: Organization, level: PluginsAccessLevel) -> None:
    """Change what an organization may do with plugins and tell the activity log, in the name of the system."""
    field = "plugins_access_level"
    changes = changes_between("Organization", {field: organization.plugins_access_level}, {field: int(level)})
    if not changes:
        return
    organization.plugins_access_level = int(level)
    organization.save(update_fields=[field, "updated_at"])
    activity_log(
        team_id=None,
        organization_id=organization.pk,
        user_id=None,
        scope="Organization",
        activity="updated",
        item_id=str(organization.pk),
        detail={"name": organization.name, "changes": changes},
    )


def _set_level(membership: OrganizationMembership, level: Level) -> None:
    """Change the level of a member and tell the activity log, in the name of the system."""
    changes = changes_between("OrganizationMembership", {"level": membership.level}, {"level": int(level)})
    if not changes:
        return
    membership.level = level
    membership.save(update_fields=["level", "updated_at"])
    activity_log(
        team_id=None,
        organization_id=membership.organization_id,
        user_id=None,
        scope="OrganizationMembership",
        activity="updated",
        item_id=str(membership.pk),
        detail={"name": membership.user.email, "changes": changes},
    )
