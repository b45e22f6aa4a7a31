"""The published shape of persisted folders; the writable fields are read by it too, rows never pass through."""

from typing import Any, Final

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.folders.models import PersistedFolder

PROTOCOL: Final = "products://"
MAX_PROTOCOL: Final = 64
MAX_PATH: Final = 10_000


class FolderBody(serializers.Serializer[Any]):
    """What a caller may say of a folder; left out, protocol and path have their defaults (but for PATCH)."""

    type = serializers.ChoiceField(choices=PersistedFolder.Type.choices, help_text="A user has one folder of each.")
    protocol = serializers.CharField(max_length=MAX_PROTOCOL, default=PROTOCOL)
    path = serializers.CharField(max_length=MAX_PATH, default="", allow_blank=True)


class PersistedFolderSerializer(FolderBody):
    """Where the calling user keeps things in this project."""

    id = serializers.UUIDField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


@extend_schema_serializer(many=False)
class PaginatedPersistedFolderList(serializers.Serializer[Any]):
    """A page of the calling user's folders."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = PersistedFolderSerializer(many=True)
