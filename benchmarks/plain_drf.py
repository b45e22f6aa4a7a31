"""What a good developer writes with DRF in an hour: model serializers, a model viewset, limit and offset.

Same tables, same server, Django's connection pool and `prefetch_related`; keys are looked up through the ORM.
`/api/projects/N/persons/` asks who calls, as ours does; `/open/...` asks nobody.
"""

# ruff: noqa: DJ008 nothing prints these models
import hashlib
import os
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from persons_api import env

_database = env.postgres("DATABASE_URL", os.environ["DATABASE_URL"])
_database["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 8, "timeout": 10}}
settings.configure(
    SECRET_KEY="of a benchmark",  # noqa: S106 nothing is signed
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="benchmarks.plain_drf",
    USE_TZ=True,
    DATABASES={"default": _database},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "rest_framework"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
        "PAGE_SIZE": 100,
    },
)
django.setup()

from django.db import models  # noqa: E402 needs the settings
from django.urls import include, path  # noqa: E402
from rest_framework import authentication, exceptions, permissions, routers, serializers, viewsets  # noqa: E402


class Person(models.Model):
    """Our persons table."""

    id = models.BigAutoField(primary_key=True)
    team_id = models.BigIntegerField()
    uuid = models.UUIDField()
    properties = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    is_identified = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField(null=True)

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """Newest first."""

        app_label = "plain"
        managed = False
        db_table = "core_person"
        ordering = ["-created_at", "uuid"]


class PersonDistinctId(models.Model):
    """Our distinct ids table."""

    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="distinct_id_rows")
    distinct_id = models.CharField(max_length=400)

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """Oldest first."""

        app_label = "plain"
        managed = False
        db_table = "core_persondistinctid"
        ordering = ["id"]


class Member(models.Model):
    """Our users table, as far as it matters."""

    email = models.EmailField()
    is_active = models.BooleanField()
    is_authenticated = True

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """A user."""

        app_label = "plain"
        managed = False
        db_table = "core_user"


class Key(models.Model):
    """Our keys table."""

    id = models.CharField(primary_key=True, max_length=50)
    user = models.ForeignKey(Member, on_delete=models.CASCADE)
    secure_value = models.CharField(max_length=300)

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """A key."""

        app_label = "plain"
        managed = False
        db_table = "core_personalapikey"


class Team(models.Model):
    """Our teams table."""

    id = models.BigIntegerField(primary_key=True)
    organization_id = models.UUIDField()

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """A team."""

        app_label = "plain"
        managed = False
        db_table = "core_team"


class Membership(models.Model):
    """Our memberships table."""

    id = models.UUIDField(primary_key=True)
    organization_id = models.UUIDField()
    user = models.ForeignKey(Member, on_delete=models.CASCADE)

    objects: models.Manager[Any] = models.Manager()

    class Meta:
        """A membership."""

        app_label = "plain"
        managed = False
        db_table = "core_organizationmembership"


class KeyAuthentication(authentication.BaseAuthentication):
    """Bearer keys."""

    def authenticate(self, request: Any) -> Any:  # noqa: ANN401 DRF's signature
        """Return the user of the key."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            return None
        hashed = "sha256$" + hashlib.sha256(value.encode()).hexdigest()
        key = Key.objects.select_related("user").filter(secure_value=hashed, user__is_active=True).first()
        if key is None:
            raise exceptions.AuthenticationFailed
        return key.user, key


class IsMember(permissions.BasePermission):
    """Members of the project's organization."""

    def has_permission(self, request: Any, view: Any) -> bool:  # noqa: ANN401 DRF's signature
        """Ask the database."""
        organizations = Team.objects.filter(id=view.kwargs["team_id"]).values("organization_id")
        return Membership.objects.filter(user=request.user.pk, organization_id__in=organizations).exists()


class DistinctIdSerializer(serializers.ModelSerializer[PersonDistinctId]):
    """One distinct id."""

    class Meta:
        """Its text."""

        model = PersonDistinctId
        fields = ["distinct_id"]


class PersonSerializer(serializers.ModelSerializer[Person]):
    """A person with its distinct ids."""

    distinct_ids = DistinctIdSerializer(source="distinct_id_rows", many=True, read_only=True)

    class Meta:
        """All that ours answers from columns."""

        model = Person
        fields = ["id", "uuid", "properties", "created_at", "is_identified", "last_seen_at", "distinct_ids"]


class OpenPersonViewSet(viewsets.ModelViewSet[Person]):
    """Persons of a team, for anyone."""

    serializer_class = PersonSerializer
    lookup_field = "uuid"
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    def get_queryset(self) -> "models.QuerySet[Person]":
        """Return the team's persons."""
        return Person.objects.filter(team_id=self.kwargs["team_id"]).prefetch_related("distinct_id_rows")


class PersonViewSet(OpenPersonViewSet):
    """Persons of a team, for its members."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [permissions.IsAuthenticated, IsMember]


_closed, _open = routers.SimpleRouter(), routers.SimpleRouter()
_closed.register("persons", PersonViewSet, basename="persons")
_open.register("persons", OpenPersonViewSet, basename="open-persons")
urlpatterns = [
    path("api/projects/<int:team_id>/", include(_closed.urls)),
    path("open/projects/<int:team_id>/", include(_open.urls)),
]
application = get_wsgi_application()
