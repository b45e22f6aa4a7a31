"""Capture paths. Each pattern takes both slash forms: a redirect would make an SDK lose the body of its POST."""

from django.urls import URLPattern, re_path

from core.capture import remote, v1, views

urlpatterns: list[URLPattern] = [
    re_path(r"^batch/?\Z", views.batch),
    re_path(r"^(?:e|i/v0/e|capture|track)/?\Z", views.event),
    re_path(r"^engage/?\Z", views.engage),
    re_path(r"^s/?\Z", views.recording),
    re_path(r"^i/v0/ai/batch/?\Z", views.ai_batch),
    re_path(r"^i/v1/analytics/events/?\Z", v1.events),
    re_path(r"^_readiness/?\Z", views.readiness),
    re_path(r"^_liveness/?\Z", views.liveness),
    re_path(r"^test/black_hole/?\Z", views.black_hole),
    re_path(r"^array/(?P<token>[^/]{1,200})/config/?\Z", remote.config),
    re_path(r"^array/(?P<token>[^/]{1,200})/config\.js\Z", remote.config_script),
    re_path(r"^flags/definitions/?\Z", remote.flag_definitions),
    re_path(r"^api/feature_flag/local_evaluation/?\Z", remote.flag_definitions),
    re_path(r"^(?:flags|decide)/?\Z", remote.flags),
]
