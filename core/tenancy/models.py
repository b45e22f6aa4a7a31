"""Users, organizations and projects. A project has one environment, the team, with the same integer id."""

import secrets
from typing import Any, ClassVar
from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower

from core.tenancy.fields import StoredJSONField

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def random_token(prefix: str, size: int) -> str:
    """Return the prefix followed by the base62 form of `size` random bytes."""
    number = int.from_bytes(secrets.token_bytes(size))
    digits = []
    while number:
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return prefix + "".join(reversed(digits))


def new_project_token() -> str:
    """Return a public project token (`phc_`, 32 random bytes)."""
    return random_token("phc_", 32)


class UserManager(BaseUserManager["User"]):
    """Users are known by their e-mail address, compared without case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":  # noqa: ANN401 model fields
        """Make a user; without a password only keys can authenticate."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":  # noqa: ANN401 model fields
        """Make an operator of this server."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Look a user up for login, ignoring case."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who may log in or hold personal API keys."""

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    email = models.EmailField(max_length=254, unique=True)
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    distinct_id = models.CharField(max_length=200, default=uuid4)
    is_email_verified = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(auto_now_add=True)
    current_organization = models.ForeignKey(
        "core.Organization", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    current_team = models.ForeignKey("core.Team", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects = UserManager()
    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        """E-mail addresses are unique whatever their case."""

        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="user_email_unique")]

    def __str__(self) -> str:
        return self.email


class ExistingManager[M: models.Model](models.Manager[M]):
    """Leaves out what was deleted and only waits for the erasure of its data."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return what exists for everyone but the deletion job."""
        return super().get_queryset().filter(deleted_at__isnull=True)


class Organization(models.Model):
    """The owner of projects; users belong to it with a level."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=64)
    slug = models.SlugField(max_length=48, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    plugins_access_level = models.PositiveSmallIntegerField(default=9)
    enforce_2fa = models.BooleanField(null=True, blank=True)
    members_can_invite = models.BooleanField(default=True)
    members_can_use_personal_api_keys = models.BooleanField(default=True)
    allow_publicly_shared_resources = models.BooleanField(default=True)
    is_member_join_email_enabled = models.BooleanField(default=True, db_default=True)
    default_role = models.ForeignKey("core.Role", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ExistingManager["Organization"]()
    with_deleted = models.Manager["Organization"]()

    class Meta:
        """A deleted organization waits, unseen, until the data of its projects is erased."""

        base_manager_name = "with_deleted"

    def __str__(self) -> str:
        return self.name


class Level(models.IntegerChoices):
    """How much a member may do in an organization."""

    MEMBER = 1, "member"
    ADMIN = 8, "admin"
    OWNER = 15, "owner"


class OrganizationMembership(models.Model):
    """One user's place in one organization."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="organization_memberships")
    level = models.PositiveSmallIntegerField(choices=Level.choices, default=Level.MEMBER)
    joined_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        """A user is a member once."""

        constraints: ClassVar = [models.UniqueConstraint("organization", "user", name="organization_member_unique")]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class Project(models.Model):
    """A project of an organization."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=200, default="Default project")
    product_description = models.TextField(null=True, blank=True, max_length=1000)  # noqa: DJ001 null is what the API answers
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """The one environment of a project and the tenant of every person and event; its id is the project's id."""

    id = models.BigIntegerField(primary_key=True)
    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="team")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="teams")
    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    api_token = models.CharField(max_length=200, unique=True, default=new_project_token)
    name = models.CharField(max_length=200, default="Default project")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    timezone = models.CharField(max_length=240, default="UTC")
    week_start_day = models.SmallIntegerField(null=True, blank=True)
    anonymize_ips = models.BooleanField(default=False)
    ingested_event = models.BooleanField(default=False)
    is_demo = models.BooleanField(default=False)
    person_processing_opt_out = models.BooleanField(default=False)
    person_display_name_properties = StoredJSONField(null=True, blank=True)
    settings = StoredJSONField(default=dict, help_text="Every other field of the Team object that was ever set.")
    rate_limits = StoredJSONField(
        null=True, blank=True, help_text='Limits of this project alone, such as {"burst": "1000/minute"}.'
    )
    is_generating_demo_data = models.BooleanField(default=False, db_default=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ExistingManager["Team"]()
    with_deleted = models.Manager["Team"]()

    class Meta:
        """Environment and project ids are equal; a deleted team waits, unseen, until its data is erased."""

        verbose_name = "project"
        base_manager_name = "with_deleted"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=models.F("project_id")), name="team_id_equals_project_id")
        ]

    def __str__(self) -> str:
        return self.name
