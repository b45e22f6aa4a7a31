"""How request bodies of projects are read: JSON, forms and multipart."""

from typing import Any, Final

from rest_framework.request import Request

from core.api.errors import Invalid
from core.api.params import body_of
from core.projects.choices import DEFAULT_CURRENCY
from core.projects.serializers import ProjectSerializer

FOREIGN_DASHBOARD: Final = "Dashboard does not belong to this team."
DASHBOARD_TOO_EARLY: Final = "Primary dashboard cannot be set on project creation."


def read_new_project(request: Request) -> dict[str, Any]:
    """Return the writable fields of the body of a new project; raises Invalid or DRF's ValidationError."""
    return _read(request, DASHBOARD_TOO_EARLY)


def read_changes(request: Request, *, replaces: bool) -> dict[str, Any]:
    """Return the writable fields of the body of PATCH, or of PUT if it `replaces`; errors as above.

    Fields that are absent are left out, but for the currency of PUT, which falls back to its default.
    """
    changes = _read(request, FOREIGN_DASHBOARD)
    if replaces:
        changes.setdefault("base_currency", DEFAULT_CURRENCY)
    return changes


def _read(request: Request, no_dashboard: str) -> dict[str, Any]:
    body = ProjectSerializer(data=body_of(request), partial=True)
    body.is_valid(raise_exception=True)
    changes: dict[str, Any] = dict(body.validated_data)
    if changes.get("primary_dashboard") is not None:
        raise Invalid(no_dashboard, attr="primary_dashboard")
    return changes
