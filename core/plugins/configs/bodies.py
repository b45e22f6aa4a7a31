"""How request bodies of plugin configs are read: JSON, forms, and multipart with files."""

import re
from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers
from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.json import dumps
from core.api.params import MAX_INTEGER_ID, body_of, json_value, required
from core.plugins.configs.planning import ConfigBody

MAX_NAME: Final = 400
MAX_DESCRIPTION: Final = 1000
MAX_ORDER: Final = 2**31 - 1
MIN_ORDER: Final = -(2**31)
MAX_CONFIG_BYTES: Final = 100_000

_ADD: Final = re.compile(r"add_attachment\[(.*)\]", re.DOTALL)
_REMOVE: Final = re.compile(r"remove_attachment\[(.*)\]", re.DOTALL)
_ID: Final = re.compile(r"-?[0-9]+")
_MAX_DIGITS: Final = 20


class _Fields(serializers.Serializer[Any]):
    """The plain fields of a config."""

    enabled = serializers.BooleanField(required=False)
    order = serializers.IntegerField(min_value=MIN_ORDER, max_value=MAX_ORDER)
    name = serializers.CharField(max_length=MAX_NAME, required=False, allow_null=True, allow_blank=True)
    description = serializers.CharField(max_length=MAX_DESCRIPTION, required=False, allow_null=True, allow_blank=True)
    deleted = serializers.BooleanField(required=False, allow_null=True)


def read_new_config(request: Request) -> tuple[int, ConfigBody]:
    """Read the id of the plugin and the body of a create."""
    return _plugin_id(body_of(request)), read_config(request, partial=False)


def read_config(request: Request, *, partial: bool) -> ConfigBody:
    """Read the body of PUT, or, `partial`, of PATCH; `plugin`, and what only the server sets, is ignored."""
    body = body_of(request)
    # An empty text in a form says nothing, but for texts.
    given = {
        name: body[name]
        for name, known in _Fields().fields.items()
        if name in body and (body[name] != "" or isinstance(known, serializers.CharField))
    }
    read = _Fields(data=given, partial=partial)
    read.is_valid(raise_exception=True)
    fields: dict[str, Any] = dict(read.validated_data)
    if not partial or "deleted" in fields:
        fields["deleted"] = bool(fields.get("deleted"))
    return ConfigBody(
        fields=fields,
        config=_config(body.get("config")),
        files={found[1]: body[name] for name in body if (found := _ADD.fullmatch(name))},
        removed=frozenset(found[1] for name in body if (found := _REMOVE.fullmatch(name))),
    )


def read_orders(request: Request) -> dict[int, int]:
    """Read `orders` of a rearrangement by the ids of configs; without it nothing is to be done."""
    given = json_value(body_of(request).get("orders"), "orders")
    if given is None:
        return {}
    if not isinstance(given, dict):
        message = f'Expected a dictionary of items but got type "{type(given).__name__}".'
        raise Invalid(message, attr="orders")
    orders: dict[int, int] = {}
    for key, order in given.items():
        if not _ID.fullmatch(key):
            raise Invalid("The keys must be ids of plugin configs.", attr="orders")
        if isinstance(order, bool) or not isinstance(order, int) or not MIN_ORDER <= order <= MAX_ORDER:
            raise Invalid("A valid integer is required.", attr="orders")
        config_id = int(key[:_MAX_DIGITS])
        if 0 <= config_id <= MAX_INTEGER_ID:
            orders[config_id] = order
    return orders


def _plugin_id(body: Mapping[str, Any]) -> int:
    value = body.get("plugin")
    if value is None or value == "":
        if "plugin" in body and value is None:
            raise Invalid("This field may not be null.", code="null", attr="plugin")
        raise required("plugin")
    if isinstance(value, bool) or not isinstance(value, int | str) or not _ID.fullmatch(str(value)):
        message = f"Incorrect type. Expected pk value, received {type(value).__name__}."
        raise Invalid(message, code="incorrect_type", attr="plugin")
    return int(str(value)[:_MAX_DIGITS])


def _config(value: object) -> dict[str, Any] | None:
    if isinstance(value, str) and not value.strip():
        return None
    config = json_value(value, "config")
    if config is None:
        return None
    if not isinstance(config, dict):
        message = f'Expected a dictionary of items but got type "{type(config).__name__}".'
        raise Invalid(message, attr="config")
    if len(dumps(config)) > MAX_CONFIG_BYTES:
        message = f"A config may have {MAX_CONFIG_BYTES} bytes of JSON at most."
        raise Invalid(message, code="max_length", attr="config")
    return config
