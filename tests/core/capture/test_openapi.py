import re

from django.urls import URLPattern
from openapi_spec_validator import validate

from core.capture.openapi import capture_openapi_paths
from core.capture.urls import urlpatterns

ALIASES = ("batch", "e", "i/v0/e", "capture", "track", "engage", "s", "flags", "decide")


def matches(pattern: URLPattern, path: str) -> bool:
    return pattern.pattern.match(path.lstrip("/")) is not None


def test_the_document_is_valid_and_its_operations_have_names_of_their_own() -> None:
    paths = capture_openapi_paths()
    validate({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": paths})
    names = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_every_route_is_in_the_document_and_the_other_way_round() -> None:
    paths = [re.sub(r"\{.*?\}", "phc_x", path) for path in capture_openapi_paths()]
    for pattern in urlpatterns:
        assert any(matches(pattern, path) for path in paths), pattern
    for path in paths:
        assert any(matches(pattern, path) for pattern in urlpatterns), path
    for alias in ALIASES:
        assert f"/{alias}/" in paths
