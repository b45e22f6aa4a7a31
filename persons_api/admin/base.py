"""What every list and page of the operator's admin has in common: it shows, and changes nothing unless told how."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import orjson
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from core.tenancy.models import User
from core.tenancy.statements import time_limit
from events.errors import QueryTimeout
from persons_api.admin.paging import UncountedPaginator

LIST_SECONDS: Final = 5
"""How long a list may search; tables here can be large, and some searches have no index."""
TOO_SLOW: Final = "The list took too long. Narrow the search, or look with SQL."


class UncountedList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """A list whose number of rows nobody knows: what is told of it is about the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        super().get_results(request)
        self.result_count = self.full_result_count = len(self.result_list)


class OperatorAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Read-only: a subclass that allows more names the service that does it."""

    paginator = UncountedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    list_disable_select_all = True
    list_fullwidth = True
    actions: ClassVar[Any] = None
    deferred: ClassVar[Sequence[str]] = ()
    """Columns that no list and no page shows: large ones and secrets."""
    deferred_in_lists: ClassVar[Sequence[str]] = ()
    """Large columns that only the page of one row shows."""
    narrowed_by: ClassVar[Sequence[str]] = ()
    """Lookups by which links narrow the list, such as `user__id__exact`."""

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Leave out the deferred columns."""
        match = request.resolver_match
        is_list = match is not None and "object_id" not in match.kwargs
        names = (*self.deferred, *self.deferred_in_lists) if is_list else self.deferred
        return cast("models.QuerySet[Any]", super().get_queryset(request).defer(*names))

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        """List without counting."""
        del request, kwargs
        return UncountedList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Refuse."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Refuse: Django would delete what hangs below row by row, past every service."""
        del request, obj
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow what our filters and links use: Django's own rule lets anyone guess at every column of the table."""
        del value, request
        filters = (
            (f"{one}__exact", f"{one}__isnull") if isinstance(one, str) else (one.parameter_name,)
            for one in self.list_filter
        )
        return lookup in {*self.narrowed_by, *(name for names in filters for name in names)}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show a page of the list within LIST_SECONDS per statement, or say that it took too long."""
        try:
            with time_limit(LIST_SECONDS):
                response = super().changelist_view(request, extra_context)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()
        except QueryTimeout:
            messages.error(request, TOO_SLOW)
            return HttpResponseRedirect(reverse("admin:index"))
        return cast("HttpResponse", response)

    def get_deleted_objects(
        self, objs: Sequence[models.Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name what is asked to be deleted, without collecting the rows below it: they can be millions."""
        del request
        return [str(one) for one in objs], {str(self.opts.verbose_name_plural): len(objs)}, set(), []


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number and what is counted, such as `1 member` or `2 members`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def operator_of(request: HttpRequest) -> User:
    """Return who is signed in; the site lets nobody else in."""
    return cast("User", request.user)


def as_json(value: object) -> SafeString:
    """Return a JSON value as indented text."""
    if value is None:
        return SafeString("-")
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    return format_html(
        '<pre class="overflow-auto whitespace-pre-wrap" style="max-height: 40rem" tabindex="0">{}</pre>', text
    )


def link_to_list(model: str, text: str, parameters: Mapping[str, object]) -> SafeString:
    """Return a link to another list of this admin, narrowed."""
    from urllib.parse import urlencode

    return format_html(
        '<a class="text-primary-600 underline" href="{}?{}">{}</a>',
        reverse(f"admin:core_{model}_changelist"),
        urlencode({name: str(value) for name, value in parameters.items()}),
        text,
    )
