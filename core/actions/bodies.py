"""How request bodies of actions are read: JSON, forms and multipart."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.http import QueryDict
from django.utils import timezone
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of, flag, json_value, text_value

MAX_NAME: Final = 400
MAX_DESCRIPTION: Final = 10_000
MAX_TAGS: Final = 100
MAX_TAG: Final = 255
MAX_SLACK: Final = 1200


def read_action(request: Request) -> dict[str, Any]:
    """Read the given fields of create, PUT and PATCH; those that only the server sets are ignored.

    `steps` is JSON that is not checked yet. `pinned_at` is a time or None: as in PostHog any time pins, from now on.
    """
    body = body_of(request)
    fields: dict[str, Any] = {}
    if "name" in body:
        fields["name"] = _name(body["name"])
    if "description" in body:
        fields["description"] = text_value(body["description"], "description", MAX_DESCRIPTION)
    if "tags" in body:
        fields["tags"] = _tags(body)
    if "steps" in body:
        fields["steps"] = json_value(body["steps"], "steps")
    if "pinned_at" in body:
        fields["pinned_at"] = timezone.now() if _pins(body["pinned_at"]) else None
    if body.get("deleted") is not None:
        fields["deleted"] = flag(request, "deleted")
    # Nothing is posted to Slack: these are taken, since clients send whole objects, and come to nothing.
    flag(request, "post_to_slack")
    text_value(body.get("slack_message_format"), "slack_message_format", MAX_SLACK)
    return fields


def _name(value: object) -> str:
    name = text_value(value, "name", MAX_NAME).strip()
    if value is not None and not name:
        raise Invalid("This field may not be blank.", code="blank", attr="name")
    return name


def _tags(body: Mapping[str, Any]) -> list[str]:
    """Return the tags without doubles, in lower case as PostHog keeps them."""
    given: Any = body["tags"]
    if isinstance(body, QueryDict) and not given.startswith("["):
        given = [tag for tag in body.getlist("tags") if tag]
    elif isinstance(given, str):
        given = json_value(given, "tags")
    if not isinstance(given, list):
        message = f'Expected a list of items but got type "{type(given).__name__}".'
        raise Invalid(message, code="not_a_list", attr="tags")
    if len(given) > MAX_TAGS:
        message = f"Ensure this field has no more than {MAX_TAGS} elements."
        raise Invalid(message, code="max_length", attr="tags")
    tags = []
    for number, tag in enumerate(given):
        attr = f"tags__{number}"
        if not isinstance(tag, str):
            raise Invalid("Not a valid string.", attr=attr)
        tags.append(text_value(tag, attr, MAX_TAG).strip().lower())
    return list(dict.fromkeys(tag for tag in tags if tag))


def _pins(value: object) -> bool:
    if value is None or value == "":
        return False
    try:
        datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise Invalid("Datetime has wrong format. Use ISO 8601.", attr="pinned_at") from None
    return True
