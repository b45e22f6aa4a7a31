"""The remaining fields with rules of their own."""

from decimal import Decimal
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from core.api.errors import Invalid
from core.api.json import dumps
from core.projects.choices import ATTRIBUTION_MODES, CURRENCIES, time_zones
from core.projects.fields import DEFAULTS
from core.projects.json_fields import JSONObject, JSONObjects, JSONValue, ShapedObject

_FILTER: Final = {"type": "object", "additionalProperties": {}}
_MAX_ERRORS_TO_IGNORE: Final = 300
_SHOWN: Final = 200
_PLACES: Final = 2


@extend_schema_field({"type": "string"})
class TimeZone(serializers.Field[str, str, str, Any]):
    """The name of an IANA time zone; any text in the document, for the list is the server's and grows by the year."""

    default_error_messages = {"invalid_choice": serializers.ChoiceField.default_error_messages["invalid_choice"]}

    def to_internal_value(self, data: Any) -> str:  # noqa: ANN401 as DRF's
        """Refuse what the server does not know."""
        if not isinstance(data, str) or data not in time_zones():
            self.fail("invalid_choice", input=str(data)[:_SHOWN])
        return data

    def to_representation(self, value: str) -> str:
        """Return the name."""
        return value


class Share(serializers.DecimalField):
    """A number from 0 to 1 with two decimals at most; stored and logged as text, without zeros at the end."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 as DRF's
        super().__init__(max_digits=3, decimal_places=_PLACES, min_value=0, max_value=1, **options)

    def validate_precision(self, value: Decimal) -> Decimal:
        """Look at the range first: a value far outside has too many digits as well."""
        if value < 0:
            self._refuse("min_value", min_value=0)
        if value > 1:
            self._refuse("max_value", max_value=1)
        if -int(value.normalize().as_tuple().exponent) > _PLACES:
            self.fail("max_decimal_places", max_decimal_places=_PLACES)
        return value.normalize()

    def run_validation(self, data: Any = empty) -> Any:  # noqa: ANN401 as DRF's
        """Return the number as text."""
        value = super().run_validation(data)
        return format((value + 0).normalize(), "f") if isinstance(value, Decimal) else value

    def _refuse(self, code: str, **bounds: int) -> None:
        raise serializers.ValidationError(self.error_messages[code].format(**bounds), code=code)


class TimeOfDay(serializers.TimeField):
    """A time of the day, stored as text."""

    def run_validation(self, data: Any = empty) -> Any:  # noqa: ANN401 as DRF's
        """Return the time in ISO form."""
        value = super().run_validation(data)
        return value.isoformat() if hasattr(value, "isoformat") else value


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class ErrorsToIgnore(JSONValue):
    """Exceptions that are not captured; errors name no field, as on the original servers."""

    def read(self, value: Any) -> Any:  # noqa: ANN401 any JSON value
        """Refuse what is no short list of texts."""
        if not isinstance(value, list):
            message = f"Must provide a list for field: {self.field_name}."
            raise Invalid(message)
        if not all(isinstance(item, str) for item in value):
            message = f"Must provide a list of strings to field: {self.field_name}."
            raise Invalid(message)
        # Blanks after the commas count, as in the JSON of Python.
        if len(dumps(value).decode()) + max(len(value) - 1, 0) > _MAX_ERRORS_TO_IGNORE:
            message = (
                f"Field {self.field_name} must be less than {_MAX_ERRORS_TO_IGNORE} characters. "
                "Complex config should be provided in posthog-js initialization."
            )
            raise Invalid(message)
        return value


@extend_schema_field({"oneOf": [{"type": "array", "items": _FILTER}, _FILTER]})
class PropertyFilters(JSONValue):
    """A list of property filters, or a group of them; read with the grammar when the project is stored."""


@extend_schema_field(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"alias": {"type": "string"}, "regex": {"type": "string"}},
            "required": ["alias", "regex"],
            "additionalProperties": {},
        },
    }
)
class PathRules(JSONObjects):
    """Rules that clean paths; the expressions are read when the project is stored."""


class RevenueAnalyticsConfig(serializers.Serializer[Any]):
    """Settings of revenue analytics."""

    base_currency = serializers.ChoiceField(choices=CURRENCIES, required=False)
    events = JSONObjects(required=False)
    goals = JSONObjects(required=False)
    filter_test_accounts = serializers.BooleanField(required=False)


class MarketingAnalyticsConfig(serializers.Serializer[Any]):
    """Settings of marketing analytics."""

    sources_map = JSONObject(required=False)
    conversion_goals = JSONObjects(required=False)
    attribution_window_days = serializers.IntegerField(min_value=1, max_value=90, required=False)
    attribution_mode = serializers.ChoiceField(choices=ATTRIBUTION_MODES, required=False)
    campaign_name_mappings = JSONObject(required=False)


@extend_schema_field(RevenueAnalyticsConfig)
class RevenueAnalytics(ShapedObject):
    """Settings of revenue analytics as one value."""

    shape = RevenueAnalyticsConfig
    defaults = DEFAULTS["revenue_analytics_config"]


@extend_schema_field(MarketingAnalyticsConfig)
class MarketingAnalytics(ShapedObject):
    """Settings of marketing analytics as one value."""

    shape = MarketingAnalyticsConfig
    defaults = DEFAULTS["marketing_analytics_config"]
