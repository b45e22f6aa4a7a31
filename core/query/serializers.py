"""The published shapes of POST query and its companions. Answers never pass through these."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from core.persons.serializers import AnyJSONField
from core.query.bodies import MAX_NAME
from core.query.modes import DESCRIPTION
from core.query.nodes_schema import NODES

_OBJECT: Final = {"type": "object", "additionalProperties": {}}


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="QueryNode", serializers=dict(NODES), resource_type_field_name="kind", many=False
    )
)
class NodeField(serializers.JSONField):
    """A query: an object whose `kind` says what it is."""


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "boolean"}], "default": "blocking"})
class RefreshField(serializers.JSONField):
    """A word, true or false."""


@extend_schema_field(_OBJECT)
class AnyObjectField(serializers.JSONField):
    """An object with any members."""


class FiltersOverride(serializers.Serializer[Any]):
    """What a dashboard demands of its queries."""

    date_from = serializers.CharField(required=False, allow_null=True)
    date_to = serializers.CharField(required=False, allow_null=True)
    properties = AnyJSONField(required=False, allow_null=True)
    breakdown_filter = AnyObjectField(required=False, allow_null=True)


class QueryRequest(serializers.Serializer[Any]):
    """A query and how it is to be run. Members beside these are refused."""

    query = NodeField(help_text="The query.")
    refresh = RefreshField(required=False, allow_null=True, help_text=DESCRIPTION)
    client_query_id = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=128,
        help_text="The id under which the query is polled, cancelled and logged: letters, digits and `_.~@+=-`.",
    )
    name = serializers.CharField(
        required=False, allow_null=True, max_length=MAX_NAME, help_text="What the log of queries calls it."
    )
    filters_override = FiltersOverride(required=False, allow_null=True)
    variables_override = serializers.DictField(
        child=AnyObjectField(),
        required=False,
        allow_null=True,
        help_text="Members to change of the query's `variables` with the same ids.",
    )
    limit_context = serializers.ChoiceField(choices=["posthog_ai"], required=False, allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Declare `async`, which is no Python name."""
        legacy = serializers.BooleanField(
            required=False, allow_null=True, help_text='Older form of `refresh: "async"`; true wins over `refresh`.'
        )
        fields = super().get_fields()
        return {"query": fields.pop("query"), "refresh": fields.pop("refresh"), "async": legacy, **fields}


class QueryProgress(serializers.Serializer[Any]):
    """How far ClickHouse is."""

    bytes_read = serializers.IntegerField()
    rows_read = serializers.IntegerField()
    estimated_rows_total = serializers.IntegerField()
    time_elapsed = serializers.FloatField(help_text="Seconds.")
    active_cpu_time = serializers.FloatField(help_text="Seconds, over all threads.")


class QueryStatus(serializers.Serializer[Any]):
    """A query in the background. Forgotten 20 minutes after the last change."""

    id = serializers.CharField()
    team_id = serializers.IntegerField()
    complete = serializers.BooleanField()
    error = serializers.BooleanField()
    error_message = serializers.CharField(allow_null=True)
    results = AnyObjectField(allow_null=True, help_text="The whole answer, once it is complete.")
    start_time = serializers.DateTimeField()
    pickup_time = serializers.DateTimeField(allow_null=True, help_text="When a worker began.")
    end_time = serializers.DateTimeField(allow_null=True)
    expiration_time = serializers.DateTimeField()
    task_id = serializers.CharField()
    query_async = serializers.BooleanField()
    insight_id = serializers.IntegerField(allow_null=True)
    dashboard_id = serializers.IntegerField(allow_null=True)
    labels = AnyJSONField(allow_null=True)
    query_progress = QueryProgress(allow_null=True)


class QueryStatusResponse(serializers.Serializer[Any]):
    """How a query stands."""

    query_status = QueryStatus()


class Timing(serializers.Serializer[Any]):
    """A step and the seconds it took; `.` is the whole."""

    k = serializers.CharField()
    t = serializers.FloatField()


class QueryAnswer(serializers.Serializer[Any]):
    """An answer. Which members there are depends on the kind of the query, and on `refresh`."""

    results = AnyJSONField(required=False)
    columns = serializers.ListField(child=serializers.CharField(), required=False)
    types = AnyJSONField(required=False, help_text="ClickHouse's types; of HogQLQuery with the names of the columns.")
    query = serializers.CharField(required=False, allow_null=True)
    hogql = serializers.CharField(
        required=False, allow_null=True, help_text="The query with placeholders, filters and limits filled in."
    )
    clickhouse = serializers.CharField(
        required=False, allow_null=True, help_text="ClickHouse's SQL, for admins of the organization."
    )
    error = serializers.CharField(required=False, allow_null=True)
    explain = serializers.ListField(child=serializers.CharField(), required=False, allow_null=True)
    metadata = AnyJSONField(required=False, allow_null=True)
    warnings = AnyJSONField(required=False, allow_null=True)
    limit = serializers.IntegerField(required=False, allow_null=True)
    offset = serializers.IntegerField(required=False, allow_null=True)
    next = serializers.CharField(required=False, allow_null=True)
    previous = serializers.CharField(required=False, allow_null=True)
    missing_actors_count = serializers.IntegerField(required=False, allow_null=True)
    timings = Timing(many=True, required=False, allow_null=True)
    modifiers = AnyObjectField(required=False, allow_null=True)
    query_status = QueryStatus(required=False, allow_null=True)
    resolved_date_range = AnyObjectField(required=False, allow_null=True)
    cache_key = serializers.CharField(required=False)
    is_cached = serializers.BooleanField(required=False)
    last_refresh = serializers.DateTimeField(required=False)
    cache_target_age = serializers.DateTimeField(required=False)
    next_allowed_client_refresh = serializers.DateTimeField(required=False)
    timezone = serializers.CharField(required=False)
    calculation_trigger = serializers.CharField(required=False, allow_null=True)
    query_metadata = AnyObjectField(required=False, allow_null=True)
    tables = AnyObjectField(required=False, help_text="Of DatabaseSchemaQuery.")
    joins = AnyJSONField(required=False, help_text="Of DatabaseSchemaQuery.")
    notices = AnyJSONField(required=False, help_text="Of HogQLMetadata.")
    table_names = AnyJSONField(required=False, allow_null=True, help_text="Of HogQLMetadata.")
    ch_table_names = AnyJSONField(required=False, allow_null=True, help_text="Of HogQLMetadata.")
    suggestions = AnyJSONField(required=False, help_text="Of HogQLAutocomplete.")
    incomplete_list = serializers.BooleanField(required=False, help_text="Of HogQLAutocomplete.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Declare the members whose names are not written as Python's are."""
        return {
            **super().get_fields(),
            "hasMore": serializers.BooleanField(required=False, allow_null=True),
            "isValid": serializers.BooleanField(required=False, help_text="Of HogQLMetadata."),
            "errors": AnyJSONField(required=False, help_text="Of HogQLMetadata."),
            "isUsingIndices": serializers.CharField(required=False, allow_null=True, help_text="Of HogQLMetadata."),
        }


class QueryUpgrade(serializers.Serializer[Any]):
    """A query, perhaps of an older version."""

    query = AnyObjectField(help_text="The query.")


class QueryCancelled(serializers.Serializer[Any]):
    """What was done."""

    message = serializers.CharField()


class QueryUserAuth(serializers.Serializer[Any]):
    """That the caller may run queries."""

    user = serializers.CharField()


SHOW_PROGRESS: Final = [
    OpenApiParameter("show_progress", bool, description="Also tell how far ClickHouse is."),
    OpenApiParameter("showProgress", bool, description="The same."),
]
DEQUEUE_ONLY: Final = [
    OpenApiParameter("dequeue_only", bool, description="Take the query out of the queue, and stop nothing."),
]
KIND: Final = [
    OpenApiParameter("id", str, OpenApiParameter.PATH, description="The kind of the query in the body."),
]
QUERY_ID: Final = [OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id of the query.")]
