"""The users, tenants, keys, sessions and objects that the authorization matrix speaks of, made in Postgres."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, cast
from urllib.parse import urlencode
from uuid import uuid4

import orjson
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone

from core.access.models import PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
from core.access.sessions import SIGNED_IN_AT
from core.actions.models import Action
from core.cohorts.models import Cohort, CohortPerson
from core.folders.models import PersistedFolder
from core.persons.ingest import IngestTeam, NewEvent, events_ingest
from core.persons.models import Person
from core.projects.deleting import projects_delete
from core.query.status import Status, status_finish, status_start
from core.roles.models import Role, RoleMembership
from core.tenancy.models import Organization, Team, User
from core.users.services import key_delete, key_roll
from tests.factories import make_organization, make_plugin, make_plugin_config, make_team, make_user
from tests.support.authorization import (
    CURRENT,
    CURRENT_PROJECT,
    FORBIDS_KEYS,
    HOME,
    LEVELS,
    ORGANIZATIONS,
    PROJECTS,
    Credential,
    Csrf,
    Endpoint,
    Place,
    Refusal,
    Who,
)
from tests.support.authorization_callers import every_caller
from tests.support.contract import CheckedClient

MISSING_PROJECT: Final = 999_999_999
MISSING_ORGANIZATION: Final = "00000000-0000-4000-8000-000000000000"
NO_FOLDER: Final = "00000000-0000-4000-8000-00000000f01d"
_CSRF: Final = "c" * 32
_CAPABILITIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "destination": {"methods": ["onEvent"]},
    "frontend_apps": {},
    "transformation": {"methods": ["processEvent"]},
    "import_apps": {"scheduled_tasks": ["runEveryMinute"]},
}
"""The families of plugin configs, each with what a plugin of it can do."""
_ARGUMENT: Final = re.compile(r"\{(\w+)\}")


class World:
    """Everything the matrix needs, made in the transaction of one test; it sends the calls."""

    def __init__(self) -> None:
        self.client = CheckedClient(raise_request_exception=False, enforce_csrf_checks=True)
        self.organizations: dict[str, Organization] = {}
        self.projects: dict[str, Team] = {}
        self.users: dict[str, User] = {}
        self.objects: dict[str, str] = {"me": "@me"}
        self._values: dict[Who, str] = {}
        self._texts: dict[str, str] = {"unknown": new_key_value()}
        self._sessions: dict[Who, str] = {}
        self._own_keys: dict[str, str] = {}
        self._own_folders: dict[str, str] = {}
        self._make_tenants()
        self._make_users()
        self._make_objects()
        self._make_credentials()
        self.ids: Mapping[str, str] = {
            **{name: str(found.pk) for name, found in self.organizations.items()},
            **{name: str(found.pk) for name, found in self.projects.items()},
        }
        self._texts["token"] = self.projects["shop"].api_token

    def _make_tenants(self) -> None:
        for key, name in ORGANIZATIONS.items():
            allowed = key not in FORBIDS_KEYS
            self.organizations[key] = make_organization(name=name, members_can_use_personal_api_keys=allowed)
        self.organizations["gone"] = make_organization(name="Gone", deleted_at=timezone.now())
        for key, organization in PROJECTS.items():
            self.projects[key] = make_team(self.organizations[organization], name=key)
        removed = self.projects["removed"] = make_team(self.organizations["acme"], name="removed")
        projects_delete(organization_id=removed.organization_id, team_ids=[removed.pk], user_id=None)

    def _make_users(self) -> None:
        for name, levels in LEVELS.items():
            first = next(iter(levels), None)
            self.users[name] = make_user(
                self.organizations[first] if first else None,
                level=levels[first] if first else 1,
                team=self.projects[CURRENT_PROJECT[first]] if first else None,
                email=f"{name}@example.org",
                is_active=name != "inactive",
            )
            for other in list(levels)[1:]:
                self.organizations[other].memberships.create(user=self.users[name], level=levels[other])

    def _make_objects(self) -> None:
        team = self.projects["shop"].pk
        moment = datetime(2024, 3, 1, 10, tzinfo=UTC)
        events = [
            NewEvent(uuid=uuid4(), event=name, distinct_id=who, timestamp=moment, properties={}, **more)
            for name, who, more in (
                ("click", "ann", {"set": {"plan": "pro"}}),
                ("click", "ann-phone", {}),
                ("$identify", "ann", {"merge_with": "ann-phone"}),
            )
        ]
        events_ingest(team=IngestTeam(team), events=events)
        person = Person.objects.for_team(team).get(distinct_id_rows__distinct_id="ann")
        cohort = Cohort.objects.for_team(team).create(team_id=team, name="Chosen", is_static=True)
        CohortPerson.objects.create(cohort_id=cohort.pk, person_id=person.pk)
        action = Action.objects.for_team(team).create(team_id=team, name="Buys")
        self.objects |= {
            "person": str(person.pk),
            "person_uuid": str(person.uuid),
            "cohort": str(cohort.pk),
            "action": str(action.pk),
        }
        acme = self.organizations["acme"]
        role = Role.objects.create(organization=acme, name="Support")
        member = self.users["member"].organization_memberships.get()
        seat = RoleMembership.objects.create(role=role, user=self.users["member"], organization_member=member)
        self.objects |= {
            "spare_uuid": str(self.users["spare"].uuid),
            "removed_project": str(self.projects["removed"].pk),
            "role": str(role.pk),
            "role_membership": str(seat.pk),
        }
        self._make_plugins()
        self._make_folders()
        self._make_query()

    def _make_plugins(self) -> None:
        for family, capabilities in _CAPABILITIES.items():
            plugin = make_plugin(self.organizations["acme"], name=family, capabilities=dict(capabilities))
            config = make_plugin_config(self.projects["shop"], plugin, config={"host": "example.org"}, enabled=True)
            self.objects |= {f"{family}_plugin": str(plugin.pk), f"{family}_config": str(config.pk)}
        unused = make_plugin(self.organizations["acme"], name="unused")
        self.objects["unused_plugin"] = str(unused.pk)

    def _make_folders(self) -> None:
        """Give everyone who may see the project a folder in it: whose it is, nobody else sees."""
        team = self.projects["shop"]
        folders = PersistedFolder.objects.for_team(team.pk)
        for name, levels in LEVELS.items():
            if HOME in levels:
                folder = folders.create(team=team, user=self.users[name], type="pinned", path="Boards")
                self._own_folders[name] = str(folder.pk)

    def _make_query(self) -> None:
        team_id = self.projects["shop"].pk
        status = Status("done", team_id, cache_key="cache_of_the_world", start_time=datetime.now(UTC))
        status_finish(status_start(status, again=True), answer={"results": []})
        self.objects |= {"query": "done", "cancelled_query": "cancelled", "kind_of_query": "DatabaseSchemaQuery"}

    def _make_credentials(self) -> None:
        now, rows = timezone.now(), []
        for who in every_caller():
            if who.credential is Credential.SESSION or who.beside == "session":
                self._sessions[who] = self._new_session(who)
            if who.value == "own" and (who.is_key or who.scheme != "Bearer"):
                self._values[who] = new_key_value()
                rows.append(self._key_row(who, self._values[who], now))
        rows += [self._key_row(Who("own", Credential.KEY, user), new_key_value(), now) for user in self.users]
        PersonalAPIKey.objects.bulk_create(rows)
        self._own_keys = {row.user.email.partition("@")[0]: row.pk for row in rows}
        for what, end in (("rolled", key_roll), ("deleted", key_delete)):
            self._texts[what] = new_key_value()
            row = self._key_row(Who(what, Credential.KEY, "holder"), self._texts[what], now)
            row.save()
            end(key=row)

    def _key_row(self, who: Who, value: str, now: datetime) -> PersonalAPIKey:
        return PersonalAPIKey(
            user=self.users[who.user],
            label=who.name[:40],
            secure_value=hash_key_value(value),
            mask_value=mask_key_value(value),
            scopes=None if who.scopes is None else list(who.scopes),
            scoped_teams=[self.projects[name].pk for name in who.projects],
            scoped_organizations=[str(self.organizations[name].pk) for name in who.organizations],
            # Used just now: authentication would note the time of the first use, which is no effect of the call.
            last_used_at=now,
        )

    def _new_session(self, who: Who) -> str:
        user = self.users[who.user]
        store = SessionStore()
        store[SESSION_KEY] = str(user.pk)
        store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        if who.signed_in_lately:
            store[SIGNED_IN_AT] = int(time.time())
        store.create()
        name = str(store.session_key)
        if who.name.startswith("ended"):
            store.delete()
        return name

    def address(self, endpoint: Endpoint, who: Who, place: Place) -> str:
        """Return the path and the query string of a call."""
        query = [self._filled(endpoint.query)] if endpoint.query else []
        if who.key == "query string":
            query.append(urlencode({"personal_api_key": self._value(who)}))
        if who.beside == "unknown key in the query":
            query.append("personal_api_key=phx_unknown")
        path = _ARGUMENT.sub(lambda match: self._argument(match.group(1), endpoint, who, place), endpoint.template)
        return path + ("?" + "&".join(query) if query else "")

    def _argument(self, name: str, endpoint: Endpoint, who: Who, place: Place) -> str:
        if name in endpoint.objects:
            return self._object(endpoint.objects[name], who)
        if name == "project_id" or (name == "id" and place.project):
            return self._project_id(place.project)
        return self._organization_id(place.organization)

    def _object(self, name: str, who: Who) -> str:
        if name == "own_key":
            return CURRENT if who.is_key else self._own_keys[who.user]
        if name == "own_folder":
            return self._own_folders.get(who.user, NO_FOLDER)
        return self.objects[name]

    def _project_id(self, name: str | None) -> str:
        if name == "missing":
            return str(MISSING_PROJECT)
        return str(self.projects[name].pk) if name in self.projects else str(name)

    def _organization_id(self, name: str | None) -> str:
        if name == "missing":
            return MISSING_ORGANIZATION
        return str(self.organizations[name].pk) if name in self.organizations else str(name)

    def _filled(self, text: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: self.objects.get(match.group(1), match.group()), text)

    def _value(self, who: Who) -> str:
        return self._values[who] if who in self._values else self._texts[who.value]

    def send(self, endpoint: Endpoint, who: Who, place: Place) -> HttpResponse:
        """Make the call."""
        headers: dict[str, Any] = {"HTTP_COOKIE": ""}
        if who in self._sessions:
            headers |= self._browser_headers(who)
        if (who.is_key and who.key == "Authorization header") or who.scheme != "Bearer":
            headers["HTTP_AUTHORIZATION"] = f"{who.scheme} {self._value(who)}"
        data, kind = self._body(endpoint, who)
        address = self.address(endpoint, who, place)
        return cast("HttpResponse", self.client.generic(endpoint.method, address, data, kind, **headers))

    def _browser_headers(self, who: Who) -> dict[str, str]:
        cookies = {settings.SESSION_COOKIE_NAME: self._sessions[who]}
        if who.csrf is not Csrf.NO_COOKIE:
            cookies[settings.CSRF_COOKIE_NAME] = _CSRF
        found = {"HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        return found if who.csrf is Csrf.NO_HEADER else {**found, "HTTP_X_CSRFTOKEN": _CSRF}

    def _body(self, endpoint: Endpoint, who: Who) -> tuple[bytes, str]:
        if who.beside == "form":
            form = {"personal_api_key": self._value(who)}
            return urlencode(form).encode(), "application/x-www-form-urlencoded"
        body = None if endpoint.body is None else orjson.loads(self._filled(orjson.dumps(endpoint.body).decode()))
        if who.key == "body":
            body = {**(body or {}), "personal_api_key": self._value(who)}
        if who.beside == "unknown key in the body":
            body = {**(body or {}), "personal_api_key": "phx_unknown"}
        return (b"", "") if body is None else (orjson.dumps(body), "application/json")

    def answer(self, refusal: Refusal) -> dict[str, Any]:
        """Return the whole body of a refusal."""
        detail = re.sub(r"<(\w+)>", lambda match: self.ids[match.group(1)], refusal.detail)
        return {"type": refusal.type, "code": refusal.code, "detail": detail, "attr": None}

    def digest(self) -> dict[str, str]:
        """Return a digest of the rows of every table of ours, by table."""
        with connection.cursor() as cursor:
            cursor.execute(_digests())
            return dict(cursor.fetchall())


@cache
def _digests() -> str:
    names = [name for name in connection.introspection.table_names() if name.startswith("core_")]
    digest = "md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
    return " UNION ALL ".join(f"SELECT '{name}', {digest} FROM {name} t" for name in names)  # noqa: S608 our tables
