"""The published shapes of property values."""

from typing import Any

from rest_framework import serializers


class PersonPropertyValue(serializers.Serializer[Any]):
    """A value of a property as text, and the number of persons that have it."""

    name = serializers.CharField(read_only=True)
    count = serializers.IntegerField(read_only=True)


class PersonPropertyValues(serializers.Serializer[Any]):
    """The most frequent values of a property; `refreshing` is always false, the counts are kept up to date."""

    results = PersonPropertyValue(many=True, read_only=True)
    refreshing = serializers.BooleanField(read_only=True)
