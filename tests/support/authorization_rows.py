"""THE table of the authorization matrix: what every method of every URL demands. It is kept by hand.

A new endpoint needs a row here: its scopes (a9 of the access specification), the level it needs (section e), whether
a session must be fresh (a7), a request that is in order and the status of its answer to callers who are let in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.support.authorization import ADMIN, MEMBER, OWNER, About, Endpoint

SESSIONS_ONLY: Final = None


@dataclass(frozen=True)
class Row:
    """One method of one URL."""

    scopes: tuple[str, ...] | None
    status: int = 200
    level: int = MEMBER
    sensitive: bool = False
    body: Any = None
    query: str = ""
    level_comes_last: bool = False


@dataclass(frozen=True)
class Group:
    """URLs below the same prefixes, about the same kind of tenant. `scope_object` is what OPTIONS must read."""

    prefixes: tuple[str, ...]
    about: About
    scope_object: str
    rows: Mapping[str, Mapping[str, Row]]
    objects: Mapping[str, str] = field(default_factory=dict)


def reads(*scopes: str, query: str = "", status: int = 200) -> dict[str, Row]:
    return {"GET": Row(scopes, query=query, status=status)}


def posts(*scopes: str, body: Any = None, status: int = 200, query: str = "") -> dict[str, Row]:
    return {"POST": Row(scopes, body=body, status=status, query=query)}


_PROJECT_TREES: Final = ("/api/projects/{project_id}", "/api/environments/{project_id}")
_AT: Final = "timestamp=2024-03-02T00:00:00Z"
_ASKED: Final = {"persons": [{"distinct_id": "ann", "timestamp": "2024-03-02T00:00:00Z"}]}
_CHANGE: Final = {"properties": {"plan": "team"}}
_FUNNEL: Final = {"events": [{"id": "view"}]}
_STEPS: Final = 'events=[{"id":"view"}]'
_BOUGHT: Final = 'funnel_correlation_person_entity={"id":"buy"}'

PERSONS: Final = Group(
    tuple(f"{tree}/persons/" for tree in _PROJECT_TREES),
    About.PROJECT_RESOURCE,
    "person",
    {
        # Persons are made by events; whoever may write is told so.
        "": {**reads("person:read"), "POST": Row(("person:write",), status=405)},
        "activity/": reads("activity_log:read"),
        "batch_by_distinct_ids/": posts("person:read", body={"distinct_ids": ["ann"]}),
        "batch_by_uuids/": posts("person:read", body={"uuids": ["{person_uuid}"]}),
        "bulk_delete/": posts("person:write", body={"ids": ["{person_uuid}"]}, status=202),
        "cohorts/": reads("person:read", "cohort:read", query="person_id={person}"),
        "deletion_status/": reads("person:read"),
        "funnel/": {
            "GET": Row(("person:read",), query=f"funnel_step=1&{_STEPS}"),
            "POST": Row(("person:read",), query="funnel_step=1", body=_FUNNEL),
        },
        "funnel/correlation/": {
            "GET": Row(("person:read",), query=f"{_STEPS}&{_BOUGHT}"),
            "POST": Row(("person:read",), query=_BOUGHT, body=_FUNNEL),
        },
        "lifecycle/": reads("person:read", query=f"{_STEPS}&target_date=2024-03-02&lifecycle_type=new"),
        "path/": {"GET": Row(("person:read",)), "POST": Row(("person:read",), body={"path_start_key": "1_click"})},
        "properties_at_time/": {
            "GET": Row(("person:read",), query=f"distinct_id=ann&{_AT}"),
            "POST": Row(("person:read",), body=_ASKED),
        },
        "reset_person_distinct_id/": posts("person:write", body={"distinct_id": "ann"}),
        "retention/": reads("person:read", query="period=Week"),
        "stickiness/": reads("person:read", query="entity_type=events&stickiness_days=1"),
        "trends/": reads("person:read", query="entity_type=events"),
        "values/": reads("person:read", query="key=plan"),
        "{id}/": {
            "GET": Row(("person:read",)),
            "PUT": Row(("person:write",), body=_CHANGE),
            "PATCH": Row(("person:write",), body=_CHANGE),
            "DELETE": Row(("person:write",), status=204),
        },
        "{id}/activity/": reads("activity_log:read"),
        "{id}/delete_events/": posts("person:write"),
        "{id}/delete_property/": posts("person:write", body={"$unset": "plan"}),
        "{id}/delete_recordings/": posts("person:write"),
        "{id}/properties_timeline/": reads("person:read"),
        "{id}/property_history/": reads("person:read", query="key=plan"),
        "{id}/split/": posts("person:write", body={"distinct_ids_to_split": ["ann-phone"]}),
        "{id}/update_property/": posts("person:write", body={"key": "plan", "value": "team"}),
    },
    {"id": "person"},
)

_QUERY: Final = {"query": {"kind": "DatabaseSchemaQuery"}}
_QUERIES: Final = tuple(f"{tree}/query/" for tree in _PROJECT_TREES)
QUERY: Final = (
    Group(
        _QUERIES,
        About.PROJECT_RESOURCE,
        "query",
        {
            "": posts("query:read", body=_QUERY),
            "check_auth_for_async/": posts("query:read"),
            "upgrade/": posts("query:read", body=_QUERY),
            "{id}/": reads("query:read"),
            "{id}/log/": reads("query:read"),
        },
        {"id": "query"},
    ),
    Group(
        _QUERIES,
        About.PROJECT_RESOURCE,
        "query",
        {"{id}/": {"DELETE": Row(("query:read",), query="dequeue_only=true")}},
        {"id": "cancelled_query"},
    ),
    Group(
        _QUERIES, About.PROJECT_RESOURCE, "query", {"{id}/": posts("query:read", body=_QUERY)}, {"id": "kind_of_query"}
    ),
)

COHORTS: Final = Group(
    tuple(f"{tree}/cohorts/" for tree in _PROJECT_TREES),
    About.PROJECT_RESOURCE,
    "cohort",
    {
        "": {
            "GET": Row(("cohort:read",)),
            "POST": Row(("cohort:write",), status=201, body={"name": "New", "groups": []}),
        },
        "{id}/": {
            "GET": Row(("cohort:read",)),
            "PUT": Row(("cohort:write",), body={"name": "Other"}),
            "PATCH": Row(("cohort:write",), body={"name": "Other"}),
            "DELETE": Row(("cohort:write",), status=204),
        },
        "{id}/add_persons_to_static_cohort/": {
            method: Row(("cohort:write",), body={"person_ids": ["{person_uuid}"]}) for method in ("PATCH", "POST")
        },
        "{id}/remove_person_from_static_cohort/": {
            method: Row(("cohort:write",), body={"person_id": "{person_uuid}"}) for method in ("PATCH", "POST")
        },
        "{cohort_id}/persons/": reads("cohort:read", "person:read"),
    },
    {"id": "cohort", "cohort_id": "cohort"},
)

ACTIONS: Final = Group(
    tuple(f"{tree}/actions/" for tree in _PROJECT_TREES),
    About.PROJECT_RESOURCE,
    "action",
    {
        "": {
            "GET": Row(("action:read",)),
            "POST": Row(("action:write",), status=201, body={"steps": [{"event": "buy"}]}),
        },
        "{id}/": {
            "GET": Row(("action:read",)),
            "PUT": Row(("action:write",), body={"name": "Other"}),
            "PATCH": Row(("action:write",), body={"name": "Other"}),
            "DELETE": Row(("action:write",), status=204),
        },
    },
    {"id": "action"},
)

_READS_PLUGIN: Final = Row(("plugin:read",))
_WRITES_PLUGIN: Final = Row(("plugin:write",))


def _plugin_configs(family: str) -> dict[str, dict[str, Row]]:
    """Return the rows of a base: all take and answer alike, a config is created of a plugin of the base's family."""
    body = {"plugin": f"{{{family}_plugin}}", "order": 2, "enabled": False, "config": {"host": "example.org"}}
    return {
        "": {"GET": _READS_PLUGIN, "POST": replace(_WRITES_PLUGIN, status=201, body=body)},
        "{id}/": {
            "GET": _READS_PLUGIN,
            "PUT": replace(_WRITES_PLUGIN, body=body),
            "PATCH": replace(_WRITES_PLUGIN, body={"order": 3}),
            "DELETE": replace(_WRITES_PLUGIN, status=204),
        },
        "{id}/activity/": {"GET": _READS_PLUGIN},
        "{id}/frontend/": {"GET": _READS_PLUGIN},
        "{id}/job/": {"POST": replace(_WRITES_PLUGIN, body={"job": {"type": "export"}})},
        "rearrange/": {"PATCH": replace(_WRITES_PLUGIN, body={"orders": {f"{{{family}_config}}": 7}})},
    }


_FAMILIES: Final = ("destination", "frontend_apps", "transformation", "import_apps")
PLUGIN_CONFIGS: Final = (
    *(
        Group(
            tuple(
                f"{tree}/pipeline_{family}{'s' if family.endswith('app') else ''}_configs/" for tree in _PROJECT_TREES
            ),
            About.PROJECT_RESOURCE,
            "plugin",
            _plugin_configs(family),
            {"id": f"{family}_config"},
        )
        for family in _FAMILIES
    ),
    Group(
        tuple(f"{tree}/plugin_configs/" for tree in _PROJECT_TREES),
        About.PROJECT_RESOURCE,
        "plugin",
        {**_plugin_configs("destination"), "{plugin_config_id}/logs/": {"GET": _READS_PLUGIN}},
        {"id": "destination_config", "plugin_config_id": "destination_config"},
    ),
)

PLUGINS: Final = Group(
    ("/api/organizations/{organization_id}/plugins/",),
    About.ORGANIZATION_RESOURCE,
    "plugin",
    {
        "": {
            "GET": _READS_PLUGIN,
            "POST": replace(_WRITES_PLUGIN, status=201, body={"plugin_type": "source", "name": "Mine"}),
        },
        "activity/": {"GET": _READS_PLUGIN},
        "{id}/": {
            "GET": _READS_PLUGIN,
            "PUT": replace(_WRITES_PLUGIN, body={"name": "Other"}),
            "PATCH": replace(_WRITES_PLUGIN, body={"name": "Other"}),
            "DELETE": replace(_WRITES_PLUGIN, status=204),
        },
        "{id}/source/": {"GET": _READS_PLUGIN},
        "{id}/upgrade/": {"POST": _WRITES_PLUGIN},
        "{id}/update_source/": {"PATCH": replace(_WRITES_PLUGIN, body={"index.ts": "export {}"})},
    },
    {"id": "unused_plugin"},
)

_WRITES_FOLDER: Final = Row(("persisted_folder:write",), body={"type": "home", "path": "Team"})

PERSISTED_FOLDERS: Final = Group(
    tuple(f"{tree}/persisted_folder/" for tree in _PROJECT_TREES),
    About.PROJECT_RESOURCE,
    "persisted_folder",
    {
        "": {"GET": Row(("persisted_folder:read",)), "POST": replace(_WRITES_FOLDER, status=201)},
        "{id}/": {
            "GET": Row(("persisted_folder:read",)),
            "PUT": _WRITES_FOLDER,
            "PATCH": _WRITES_FOLDER,
            "DELETE": replace(_WRITES_FOLDER, status=204, body=None),
        },
    },
    {"id": "own_folder"},
)

_LIST: Final = {"": reads("project:read")}
_LIST_AND_CREATE: Final = {
    "": {"GET": Row(("project:read",)), "POST": Row(("project:write",), 201, ADMIN, body={"name": "New"})}
}
_ONE_PROJECT: Final = {
    "{id}/": {
        "GET": Row(("project:read",)),
        "PUT": Row(("project:write",), body={"name": "Other"}),
        "PATCH": Row(("project:write",), body={"name": "Other"}),
        "DELETE": Row(("project:write",), 204, ADMIN),
    },
    "{id}/activity/": reads("activity_log:read"),
    "{id}/is_generating_demo_data/": reads("project:read"),
    "{id}/reset_token/": {"PATCH": Row(("project:write",), level=ADMIN)},
}
_ORGANIZATION: Final = "/api/organizations/{organization_id}"

PROJECTS: Final = (
    Group(("/api/projects/",), About.PROJECTS, "project", _LIST_AND_CREATE),
    Group(("/api/environments/",), About.PROJECTS, "project", _LIST),
    Group(("/api/projects/", "/api/environments/"), About.PROJECT, "project", _ONE_PROJECT),
    Group(("/api/projects/{project_id}/environments/",), About.PROJECT_RESOURCE, "project", _LIST),
    Group((f"{_ORGANIZATION}/projects/",), About.ORGANIZATION_RESOURCE, "project", _LIST_AND_CREATE),
    Group((f"{_ORGANIZATION}/projects/",), About.PROJECT_IN_ORGANIZATION, "project", _ONE_PROJECT),
)

DELETED_PROJECTS: Final = Group(
    (f"{_ORGANIZATION}/deleted_projects/",),
    About.ORGANIZATION_RESOURCE,
    "project",
    {"": reads("project:read"), "{id}/": reads("project:read")},
    {"id": "removed_project"},
)

_WRITES_ORGANIZATION: Final = ("organization:write",)
_ROLE: Final = Row(_WRITES_ORGANIZATION, level=ADMIN, sensitive=True, body={"name": "Auditors"})
_IN_ROLE: Final = Row(_WRITES_ORGANIZATION, 201, ADMIN, sensitive=True, body={"user_uuid": "{spare_uuid}"})
_LEVEL: Final = Row(("organization_member:write",), level=ADMIN, sensitive=True, body={"level": 8})
_GONE: Final[dict[str, Any]] = {"status": 204, "body": None}

ORGANIZATIONS: Final = (
    Group(
        ("/api/organizations/",),
        About.NO_TENANT,
        "organization",
        {"": {"GET": Row(("organization:read",)), "POST": Row(_WRITES_ORGANIZATION, 201, body={"name": "New"})}},
    ),
    Group(
        ("/api/organizations/",),
        About.ORGANIZATION,
        "organization",
        {
            "{id}/": {
                "GET": Row(("organization:read",)),
                "PUT": Row(_WRITES_ORGANIZATION, level=ADMIN, sensitive=True, body={"name": "Other"}),
                "PATCH": Row(_WRITES_ORGANIZATION, level=ADMIN, sensitive=True, body={"name": "Other"}),
                "DELETE": Row(_WRITES_ORGANIZATION, 204, OWNER, sensitive=True),
            }
        },
    ),
    Group(
        (f"{_ORGANIZATION}/members/",),
        About.ORGANIZATION_RESOURCE,
        "organization_member",
        {
            "": reads("organization_member:read"),
            "{id}/": {
                "GET": Row(("organization_member:read",)),
                "PUT": _LEVEL,
                "PATCH": _LEVEL,
                # Whose level is too low may still remove one: oneself. So the view tells, after everything else.
                "DELETE": replace(_LEVEL, **_GONE, level_comes_last=True),
            },
        },
        {"id": "spare_uuid"},
    ),
    Group(
        (f"{_ORGANIZATION}/activity/",),
        About.ORGANIZATION_RESOURCE,
        "activity_log",
        {"": {"GET": Row(("activity_log:read",), level=ADMIN)}},
    ),
    Group(
        (f"{_ORGANIZATION}/roles/",),
        About.ORGANIZATION_RESOURCE,
        "organization",
        {
            "": {"GET": Row(("organization:read",)), "POST": replace(_ROLE, status=201)},
            "{id}/": {
                "GET": Row(("organization:read",)),
                "PUT": _ROLE,
                "PATCH": _ROLE,
                "DELETE": replace(_ROLE, **_GONE),
            },
        },
        {"id": "role"},
    ),
    Group(
        (f"{_ORGANIZATION}/roles/{{role_id}}/role_memberships/",),
        About.ORGANIZATION_RESOURCE,
        "organization",
        {
            "": {"GET": Row(("organization:read",)), "POST": _IN_ROLE},
            "{id}/": {"GET": Row(("organization:read",)), "DELETE": replace(_IN_ROLE, **_GONE)},
        },
        {"role_id": "role", "id": "role_membership"},
    ),
)

USERS: Final = Group(
    ("/api/users/",),
    About.ACCOUNT,
    "user",
    {"{id}/": {"GET": Row(("user:read",)), "PATCH": Row(("user:write",), body={})}},
    {"id": "me"},
)
KEYS: Final = Group(
    ("/api/personal_api_keys/",),
    About.ACCOUNT,
    "user",
    {
        "": {
            "GET": Row(SESSIONS_ONLY),
            "POST": Row(SESSIONS_ONLY, 201, sensitive=True, body={"label": "ci", "scopes": ["person:read"]}),
        },
        "{id}/": {
            "GET": Row(()),
            "PUT": Row(SESSIONS_ONLY, sensitive=True, body={"label": "ci", "scopes": ["person:read"]}),
            "PATCH": Row(SESSIONS_ONLY, sensitive=True, body={"label": "ci"}),
            "DELETE": Row(SESSIONS_ONLY, 204, sensitive=True),
        },
        "{id}/roll/": {"POST": Row(SESSIONS_ONLY, sensitive=True)},
    },
    {"id": "own_key"},
)

GROUPS: Final = (
    PERSONS,
    COHORTS,
    *QUERY,
    ACTIONS,
    *PLUGIN_CONFIGS,
    PLUGINS,
    PERSISTED_FOLDERS,
    *PROJECTS,
    DELETED_PROJECTS,
    *ORGANIZATIONS,
    USERS,
    KEYS,
)


def _templates(group: Group) -> Iterator[tuple[str, Mapping[str, Row]]]:
    for prefix in group.prefixes:
        for path, rows in group.rows.items():
            yield prefix + path, rows


def endpoints() -> dict[str, dict[str, Endpoint]]:
    """Return every row by URL template and method."""
    found: dict[str, dict[str, Endpoint]] = {}
    for group in GROUPS:
        for template, rows in _templates(group):
            for method, row in rows.items():
                found.setdefault(template, {})[method] = Endpoint(
                    template=template,
                    method=method,
                    about=group.about,
                    scopes=row.scopes,
                    level=row.level,
                    sensitive=row.sensitive,
                    status=row.status,
                    body=row.body,
                    query=row.query,
                    objects=group.objects,
                    level_comes_last=row.level_comes_last,
                )
    return found


def scope_objects() -> dict[str, str]:
    """Return the object that OPTIONS must be able to read, by URL template."""
    return {template: group.scope_object for group in GROUPS for template, _ in _templates(group)}
