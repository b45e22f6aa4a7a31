"""The published shapes of actions. Rows never pass through these."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from core.actions.steps import MATCHINGS
from core.api.people import UserBasicSerializer


def _text(help_text: str) -> serializers.CharField:
    return serializers.CharField(
        max_length=1000, required=False, allow_null=True, allow_blank=True, help_text=help_text
    )


def _matching(help_text: str) -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=MATCHINGS, required=False, allow_null=True, help_text=help_text)


class ActionStep(serializers.Serializer[Any]):
    """What an event must be to match: all that is given must hold; null and empty texts ask nothing."""

    event = _text("The event's name; null for any event.")
    properties = serializers.ListField(
        child=serializers.DictField(), required=False, allow_null=True, help_text="Property filters; all must hold."
    )
    selector = _text("A CSS selector that an element of the event matches.")
    tag_name = _text("The tag of an element of the event.")
    text = _text("The text of an element of the event.")
    text_matching = _matching("How text is compared: exact unless told.")
    href = _text("Where an element of the event links to.")
    href_matching = _matching("How href is compared: exact unless told.")
    url = _text("The page's URL ($current_url).")
    url_matching = _matching("How url is compared: contains unless told, where % stands for any text.")


class Action(serializers.Serializer[Any]):
    """A named set of events: those that any of its steps matches. Without steps it matches none."""

    id = serializers.IntegerField(read_only=True)
    name = serializers.CharField(
        max_length=400, required=False, allow_null=True, help_text="Unique among the project's actions, where given."
    )
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=255), required=False, max_length=100)
    post_to_slack = serializers.BooleanField(
        required=False, help_text="Taken and ignored: nothing is posted to Slack, so this is always false."
    )
    slack_message_format = serializers.CharField(
        max_length=1200, required=False, allow_blank=True, help_text="Taken and ignored; always empty."
    )
    steps = ActionStep(many=True, required=False, help_text="50 at most; an event matches any of them.")
    created_at = serializers.DateTimeField(read_only=True)
    created_by = UserBasicSerializer(read_only=True, allow_null=True)
    deleted = serializers.BooleanField(required=False)
    is_calculating = serializers.BooleanField(
        read_only=True, help_text="Always false: events are matched by each question anew."
    )
    last_calculated_at = serializers.DateTimeField(read_only=True, help_text="The time of creation.")
    team_id = serializers.IntegerField(read_only=True)
    is_action = serializers.BooleanField(read_only=True)
    bytecode_error = serializers.CharField(read_only=True, allow_null=True)
    pinned_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Any time pins the action, from now on; null takes it off."
    )
    creation_context = serializers.CharField(read_only=True, allow_null=True)


@extend_schema_serializer(many=False)
class PaginatedActionList(serializers.Serializer[Any]):
    """A page of actions."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = Action(many=True)
