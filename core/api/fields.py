"""Fields of bodies that several resources read."""

from typing import Any

from rest_framework import serializers
from rest_framework.utils.html import is_html_input


class UUIDTextField(serializers.UUIDField):
    """A UUID as text: DRF would take any number for one."""

    def to_internal_value(self, data: Any) -> Any:  # noqa: ANN401 DRF's signature
        """Return the UUID."""
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class FormListField(serializers.ListField):
    """A list; in a form, the name with an empty text is the empty list."""

    def get_value(self, dictionary: Any) -> Any:  # noqa: ANN401 DRF's signature
        """Return what the body says, which may be `empty`."""
        value = super().get_value(dictionary)
        return [] if value == [""] and is_html_input(dictionary) else value
