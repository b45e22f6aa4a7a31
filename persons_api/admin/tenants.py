"""Organizations, their members and roles, and projects with their limits."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest
from django.utils.safestring import SafeString

from core.access.throttles import rates_checked
from core.projects.deleting import projects_delete
from core.projects.rate_limits import rate_limits_set
from core.roles.models import Role, RoleMembership
from core.tenancy.models import Organization, OrganizationMembership, Team
from persons_api.admin.base import OperatorAdmin, as_json, counted, link_to_list, operator_of
from persons_api.admin.site import site


def _count_of(model: type[models.Model]) -> Coalesce:
    """Count the rows of an organization in a subquery: joins would multiply each other."""
    rows = model._default_manager.filter(organization=OuterRef("pk")).order_by().values("organization")  # noqa: SLF001 Django's public API
    return Coalesce(Subquery(rows.annotate(found=Count("pk")).values("found")), 0)


@admin.register(Organization, site=site)
class OrganizationAdmin(OperatorAdmin):
    """Organizations. Their own admins change them, through the API; deleting one is for its owner."""

    list_display = ("name", "slug", "members", "projects", "created_at", "id")
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    fields = (
        "id", "name", "slug", "members", "projects", "roles", "activity", "created_at", "updated_at",
        "members_can_use_personal_api_keys", "members_can_invite", "enforce_2fa", "allow_publicly_shared_resources",
        "is_member_join_email_enabled", "default_role", "plugins_access_level",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Organization]:
        """Count members and projects in the same statement."""
        found = super().get_queryset(request)
        counts = {"member_count": _count_of(OrganizationMembership), "project_count": _count_of(Team)}
        return cast("models.QuerySet[Organization]", found.annotate(**counts))

    @admin.display(ordering="member_count")
    def members(self, organization: Any) -> SafeString:  # noqa: ANN401 annotated
        """Link to the members."""
        narrowed = {"organization__id__exact": organization.pk}
        return link_to_list("organizationmembership", counted(organization.member_count, "member"), narrowed)

    @admin.display(ordering="project_count")
    def projects(self, organization: Any) -> SafeString:  # noqa: ANN401 annotated
        """Link to the projects."""
        return link_to_list(
            "team", counted(organization.project_count, "project"), {"organization__id__exact": organization.pk}
        )

    def roles(self, organization: Organization) -> SafeString:
        """Link to the roles."""
        return link_to_list("role", "roles", {"organization__id__exact": organization.pk})

    def activity(self, organization: Organization) -> SafeString:
        """Link to the activity log."""
        return link_to_list("activitylog", "activity", {"organization_id__exact": organization.pk})


@admin.register(OrganizationMembership, site=site)
class MembershipAdmin(OperatorAdmin):
    """Who belongs to which organization; changed through the API, or with `manage.py provision --level`."""

    list_display = ("user", "organization", "level", "joined_at")
    list_filter = ("level",)
    narrowed_by = ("organization__id__exact", "user__id__exact")
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "organization__name")
    ordering = ("-joined_at", "id")
    fields = ("id", "user", "organization", "level", "joined_at", "updated_at")


class RateLimitsForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """The limits of one project, as `{"burst": "1000/minute"}`."""

    class Meta:
        """Nothing else of a project is changed here."""

        model = Team
        fields = ("rate_limits",)

    def clean_rate_limits(self) -> dict[str, str] | None:
        """Refuse what is no limit; an empty field takes the project's own limits away."""
        wanted = self.cleaned_data["rate_limits"]
        if wanted in (None, {}):
            return None
        if not isinstance(wanted, dict):
            message = 'Expected an object such as {"burst": "1000/minute"}.'
            raise forms.ValidationError(message)
        try:
            return rates_checked(wanted)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Team, site=site)
class TeamAdmin(OperatorAdmin):
    """Projects. The operator sets limits and may delete; everything else belongs to the members."""

    form = RateLimitsForm
    delete_confirmation_template = "operator/delete_project.html"
    list_display = ("name", "id", "organization", "limits", "ingested_event", "is_demo", "created_at")
    list_filter = ("is_demo", "ingested_event")
    narrowed_by = ("organization__id__exact",)
    list_select_related = ("organization",)
    search_fields = ("name", "=id", "organization__name")
    ordering = ("-id",)
    readonly_fields = (
        "id", "uuid", "name", "organization", "api_token", "created_at", "updated_at", "timezone", "is_demo",
        "is_generating_demo_data", "ingested_event", "person_processing_opt_out", "anonymize_ips", "stored_settings",
        "deletions", "activity",
    )  # fmt: skip
    fields = ("name", "id", "organization", "rate_limits", *readonly_fields[4:], "uuid")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Allow: the only field of the form are the limits."""
        del request, obj
        return True

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Allow: deleting is marking, and the deletion job erases the data."""
        del request, obj
        return True

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:  # noqa: ANN401, FBT001 Django's signature
        """Set the limits; an entry in the activity log says so."""
        del form, change
        try:
            rate_limits_set(team_id=obj.pk, rate_limits=obj.rate_limits, user_id=operator_of(request).pk)
        except Team.DoesNotExist as error:  # deleted by somebody else just now
            raise Http404 from error

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        """Delete as the API does: tokens die at once, the deletion job erases the data and writes a receipt."""
        projects_delete(organization_id=obj.organization_id, team_ids=[obj.pk], user_id=operator_of(request).pk)

    @admin.display(description="own limits")
    def limits(self, team: Team) -> str:
        """Return the limits in one line."""
        return ", ".join(f"{scope} {rate}" for scope, rate in (team.rate_limits or {}).items()) or "-"

    @admin.display(description="settings")
    def stored_settings(self, team: Team) -> SafeString:
        """Show every other field that was ever set."""
        return as_json(team.settings)

    def deletions(self, team: Team) -> SafeString:
        """Link to the deletion requests."""
        return link_to_list("deletionrequest", "deletion requests", {"team__id__exact": team.pk})

    def activity(self, team: Team) -> SafeString:
        """Link to the activity log."""
        return link_to_list("activitylog", "activity", {"team_id__exact": team.pk})


@admin.register(Role, site=site)
class RoleAdmin(OperatorAdmin):
    """Roles; changed by the admins of their organization, through the API."""

    list_display = ("name", "organization", "members", "feature_flags_access_level", "created_by", "created_at")
    list_select_related = ("organization", "created_by")
    search_fields = ("name", "organization__name")
    narrowed_by = ("organization__id__exact",)
    ordering = ("-created_at", "id")
    fields = ("id", "name", "organization", "members", "feature_flags_access_level", "created_by", "created_at")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Role]:
        """Count members in the same statement."""
        found = super().get_queryset(request).annotate(member_count=Count("memberships"))
        return cast("models.QuerySet[Role]", found)

    @admin.display(ordering="member_count")
    def members(self, role: Any) -> SafeString:  # noqa: ANN401 annotated
        """Link to the members."""
        return link_to_list("rolemembership", counted(role.member_count, "member"), {"role__id__exact": role.pk})


@admin.register(RoleMembership, site=site)
class RoleMembershipAdmin(OperatorAdmin):
    """Who has which role."""

    list_display = ("user", "role", "joined_at")
    list_select_related = ("user", "role")
    search_fields = ("user__email", "role__name")
    narrowed_by = ("role__id__exact",)
    ordering = ("-joined_at", "id")
    fields = ("id", "user", "role", "organization_member", "joined_at", "updated_at")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[RoleMembership]:
        """Read what names a membership in the same statement."""
        related = ("user", "role", "organization_member__user", "organization_member__organization")
        return super().get_queryset(request).select_related(*related)
