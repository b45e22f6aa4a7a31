"""The published shapes of cohorts. Rows never pass through these."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.api.people import UserBasicSerializer


class Cohort(serializers.Serializer[Any]):
    """A named set of persons: listed one by one (static) or found by filters (dynamic)."""

    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(max_length=400, required=False, allow_null=True, allow_blank=True)
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    groups = serializers.ListField(
        child=serializers.DictField(), required=False, help_text="The filters of old clients: an OR of ANDs."
    )
    deleted = serializers.BooleanField(required=False)
    filters = serializers.DictField(required=False, allow_null=True, help_text='`{"properties": <property group>}`.')
    query = serializers.DictField(read_only=True, allow_null=True)
    version = serializers.IntegerField(read_only=True, allow_null=True)
    pending_version = serializers.IntegerField(read_only=True, allow_null=True)
    is_calculating = serializers.BooleanField(read_only=True)
    created_by = UserBasicSerializer(read_only=True, allow_null=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_calculation = serializers.DateTimeField(read_only=True, allow_null=True)
    errors_calculating = serializers.IntegerField(read_only=True)
    last_error_message = serializers.CharField(read_only=True, allow_null=True)
    count = serializers.IntegerField(read_only=True, allow_null=True, help_text="Members as of last_calculation.")
    is_static = serializers.BooleanField(required=False)
    cohort_type = serializers.ChoiceField(choices=["static", "person_property"], read_only=True)
    experiment_set = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    csv = serializers.FileField(write_only=True, required=False, help_text="A list of members, for a static cohort.")
    _create_static_person_ids = serializers.ListField(
        child=serializers.UUIDField(), write_only=True, required=False, max_length=10_000
    )


@extend_schema_serializer(many=False)
class PaginatedCohortList(serializers.Serializer[Any]):
    """A page of cohorts."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = Cohort(many=True)


class CohortAddPersons(serializers.Serializer[Any]):
    """Persons to add to a static cohort."""

    person_ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=10_000)


class CohortRemovePerson(serializers.Serializer[Any]):
    """The person to remove from a static cohort."""

    person_id = serializers.UUIDField()


class CohortChanged(serializers.Serializer[Any]):
    """What a change of the members answers."""

    success = serializers.BooleanField()
