"""Users and their personal API keys; hashes of passwords and keys are never read here."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserCreationForm

from core.access.models import PersonalAPIKey
from core.tenancy.models import User
from core.users.operating import OPERATED_FIELDS, is_operator, password_log, user_log
from core.users.services import key_delete
from persons_api.admin.base import OperatorAdmin, link_to_list, operator_of
from persons_api.admin.site import site


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A user as an operator changes one; the password has a page of its own."""

    operator: ClassVar[User | None] = None

    class Meta:
        """Who the user is, and what they are on this server."""

        model = User
        fields = OPERATED_FIELDS

    def clean(self) -> dict[str, Any] | None:
        """Refuse that an operator locks themselves out: so there is always one."""
        given = super().clean()
        remains = all(self.cleaned_data.get(name) for name in ("is_active", "is_staff", "is_superuser"))
        if self.operator is not None and self.instance.pk == self.operator.pk and not remains:
            message = "You cannot take your own access away; ask another operator."
            raise ValidationError(message)
        return given


class NewUserForm(UserCreationForm):  # type: ignore[misc]  # unfold has no types
    """A new user: an address and a password, or none when only keys shall work."""

    class Meta:
        """Everything else is changed afterwards."""

        model = User
        fields = ("email", "first_name", "last_name")


@admin.register(User, site=site)
class UserAdmin(OperatorAdmin, DjangoUserAdmin):  # type: ignore[type-arg, misc]  # not generic at run time; the stubs say less than Django takes
    """Users: add, change, activate and deactivate, set a password. None is deleted: their traces name them."""

    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    deferred = ("password",)
    list_display = ("email", "first_name", "last_name", "is_active", "is_operator", "last_login", "date_joined")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("-id",)
    filter_horizontal = ()
    readonly_fields = ("id", "uuid", "password_link", "organizations", "keys", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": (*OPERATED_FIELDS, "password_link", "organizations", "keys")}),
        ("Since", {"fields": ("id", "uuid", "date_joined", "last_login")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "first_name", "last_name", "usable_password", "password1", "password2")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow."""
        del request
        return True

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Allow."""
        del request, obj
        return True

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: ANN401, FBT001, FBT002 Django's signature
        """Tell the form who changes."""
        found = super().get_form(request, obj, change=change, **kwargs)
        return type(found.__name__, (found,), {"operator": operator_of(request)})

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: ANN401, FBT001 Django's signature
        """Save what the form holds, and tell the activity log of each of the user's organizations."""
        before = {name: form.initial.get(name) for name in OPERATED_FIELDS} if change else {}
        if change:
            # The hash was not read, so it must not be written.
            obj.save(update_fields=OPERATED_FIELDS)
        else:
            obj.email = User.objects.normalize_email(obj.email)
            obj.save()
        user_log(user=obj, by=operator_of(request).pk, before=before)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 Django's signature
        """Set a password; the entry in the activity log is written with it."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:  # noqa: ANN401 Django's signature
        """Notice the change of a password, which Django only tells here."""
        if (
            isinstance(obj, User)
            and request.resolver_match
            and request.resolver_match.url_name == "auth_user_password_change"
        ):
            password_log(user=obj, by=operator_of(request).pk)
        return super().log_change(request, obj, message)

    @admin.display(boolean=True, description="operator")
    def is_operator(self, user: User) -> bool:
        """Tell whether this admin lets the user in."""
        return is_operator(user)

    @admin.display(description="password")
    def password_link(self, user: User) -> SafeString:
        """Link to the page that sets a password."""
        address = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('<a class="text-primary-600 underline" href="{}">Set a password</a>', address)

    def organizations(self, user: User) -> SafeString:
        """Link to the memberships."""
        return link_to_list("organizationmembership", "memberships", {"user__id__exact": user.pk})

    @admin.display(description="personal API keys")
    def keys(self, user: User) -> SafeString:
        """Link to the keys."""
        return link_to_list("personalapikey", "keys", {"user__id__exact": user.pk})


@admin.register(PersonalAPIKey, site=site)
class PersonalAPIKeyAdmin(OperatorAdmin):
    """Keys by their mask. Deleting revokes at once; making and rolling one shows its value, so only its owner may."""

    deferred = ("secure_value",)
    narrowed_by = ("user__id__exact",)
    list_display = ("label", "mask_value", "user", "scopes", "created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("label", "=mask_value", "=id", "user__email")
    ordering = ("-created_at", "id")
    fields = (
        "id", "label", "mask_value", "user", "scopes", "scoped_teams", "scoped_organizations", "created_at",
        "last_used_at", "last_rolled_at",
    )  # fmt: skip

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Allow: that is how a leaked key is revoked."""
        del request, obj
        return True

    def delete_model(self, request: HttpRequest, obj: PersonalAPIKey) -> None:
        """Revoke as the API does, in the operator's name."""
        key_delete(key=obj, by=operator_of(request).pk)
