"""The site below /admin/: for operators alone, who are staff and superusers at once."""

from typing import Any, cast

from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import reverse
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.sites import UnfoldAdminSite

from core.tenancy.models import User
from core.users.operating import is_operator, password_log
from persons_api.admin.dashboard import dashboard
from persons_api.signing_in import GuardedSignIn, answer_of_sign_in


class OperatorSignInForm(GuardedSignIn, AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    """Asks for an operator; every failure reads the same, so that nobody learns which address is one."""

    def confirm_login_allowed(self, user: Any) -> None:  # noqa: ANN401 Django's signature
        """Refuse who is no operator."""
        super().confirm_login_allowed(user)
        if not is_operator(user):
            raise self.get_invalid_login_error()


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold has no types
    """Changes the operator's own password, and leaves an entry in the activity log."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 Django's signature
        """Save and log."""
        user = cast("User", super().save(commit))
        password_log(user=user, by=user.pk)
        return user


class OperatorSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """Lets operators in and shows them the state of the server first."""

    site_title = site_header = "persons-api"
    index_title = "State of this server"
    index_template = "operator/index.html"
    login_form = OperatorSignInForm
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the caller is an operator."""
        return is_operator(request.user)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the figures above the list of tables."""
        return cast("TemplateResponse", super().index(request, {**(extra_context or {}), "dashboard": dashboard()}))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Sign in; 429 with Retry-After after too many attempts."""
        return answer_of_sign_in(cast("SimpleTemplateResponse", super().login(request, extra_context)))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Find a list by its name; 404 for a page that is none."""
        try:
            return cast("HttpResponseBase", super().search(request, extra_context))
        except (ValueError, InvalidPage) as error:
            raise Http404 from error

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Change the operator's own password, who has to know the old one."""
        from django.contrib.auth.views import PasswordChangeView
        from django.db import transaction

        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse(f"{self.name}:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        with transaction.atomic():
            return view(request)


site = OperatorSite(name="admin")
