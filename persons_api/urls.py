"""The root URL table: everything comes from the route table and the capture endpoints."""

from django.urls import URLPattern, URLResolver, include, path, re_path
from django.urls.resolvers import RegexPattern
from django.views.generic import RedirectView

from core.capture.urls import urlpatterns as capture_urlpatterns
from core.routes import urlpatterns_of
from persons_api import pages
from persons_api.metrics import metrics_view
from persons_api.root import ApiRootView

_sign_in = [
    re_path(r"^login/?$", pages.SignInView.as_view(), name="login"),
    re_path(r"^logout/?$", pages.SignOutView.as_view(), name="logout"),
]
_api: list[URLPattern | URLResolver] = [
    re_path(r"^schema/?$", pages.SchemaView.as_view(), name="schema"),
    re_path(r"^schema/swagger-ui/?$", pages.SwaggerView.as_view(), name="swagger-ui"),
    re_path(r"^schema/redoc/?$", pages.RedocView.as_view(), name="redoc"),
]

# By name, and so not imported before the first request for it: most web processes never show the admin.
_admin = URLResolver(RegexPattern(r"^admin/"), "persons_api.admin.urls", app_name="admin", namespace="admin")

urlpatterns: list[URLPattern | URLResolver] = [
    *urlpatterns_of(),
    re_path(r"^api/", include(_api)),
    re_path(r"^api/?$", ApiRootView.as_view(), name="api-root"),
    re_path(r"^", include(capture_urlpatterns)),
    path("", pages.LandingView.as_view(), name="landing"),
    path("", include((_sign_in, "rest_framework"))),
    re_path(r"^admin$", RedirectView.as_view(url="/admin/")),
    _admin,
    re_path(r"^metrics/?$", metrics_view, name="metrics"),
    re_path(r"^", pages.not_found, name="not-found"),
]

handler400 = pages.bad_request
handler404 = pages.not_found
handler500 = pages.server_error
