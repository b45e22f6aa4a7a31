import logging

import pytest
from django.db import DataError, OperationalError
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import include, re_path
from psycopg_pool import PoolTimeout
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.errors import Conflict, Invalid, problem_of
from core.api.views import ApiMixin
from core.tenancy.models import Project
from events.errors import QueryRefused, QueryTimeout, QueryTooBig, StoreUnavailable
from persons_api.middleware import RequestContextMiddleware
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem

ME = "/api/users/@me/"
VALID = "validation_error"
INVALID = "invalid_request"
TOO_LONG = "Ensure this field has no more than 3 characters."
NO_OBJECT = "Invalid data. Expected a dictionary, but got int."


class Inner(serializers.Serializer):
    host = serializers.CharField(max_length=3)


class Outer(serializers.Serializer):
    name = serializers.CharField(max_length=3)
    config = Inner(required=False)
    ids = serializers.ListField(child=serializers.IntegerField(), required=False)
    items = Inner(many=True, required=False)
    uuid = serializers.UUIDField(required=False)
    on = serializers.BooleanField(required=False)
    choice = serializers.ChoiceField(["a"], required=False)


class Echo(ApiMixin):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        body = Outer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(body.validated_data)

    def get(self, request: Request) -> Response:
        failure = {
            "boom": RuntimeError("secret phx_123456789"),
            "operational": OperationalError("host=secret"),
            "pool": PoolTimeout("secret"),
            "store": StoreUnavailable(),
            "throttled": exceptions.Throttled(wait=41.2),
            "extra": Invalid("Bad.", extra={"list_urls": [1]}),
        }[request.query_params["what"]]
        raise failure


def plain_failure(_: HttpRequest) -> None:
    raise RuntimeError("secret phx_123456789")


urlpatterns = [
    re_path(r"^api/echo/?$", Echo.as_view()),
    re_path(r"^plain/?$", plain_failure),
    re_path(r"^", include("persons_api.urls")),
]


@pytest.fixture
def echo(settings) -> Client:  # noqa: ANN001
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "required", "This field is required.", "name"),
        ({"name": None}, "null", "This field may not be null.", "name"),
        ({"name": ""}, "blank", "This field may not be blank.", "name"),
        ({"name": "long name"}, "max_length", "Ensure this field has no more than 3 characters.", "name"),
        ({"name": []}, "invalid_input", "Not a valid string.", "name"),
        ({"name": "a", "config": {"host": "long"}}, "max_length", TOO_LONG, "config__host"),
        ({"name": "a", "config": 1}, "invalid_input", NO_OBJECT, "config__non_field_errors"),
        ({"name": "a", "ids": [1, 2, 3, "x"]}, "invalid_input", "A valid integer is required.", "ids__3"),
        ({"name": "a", "ids": "x"}, "not_a_list", 'Expected a list of items but got type "str".', "ids"),
        ({"name": "a", "items": [{"host": "a"}, {}]}, "required", "This field is required.", "items__1__host"),
        ({"name": "a", "uuid": "x"}, "invalid_input", "Must be a valid UUID.", "uuid"),
        ({"name": "a", "on": "x"}, "invalid_input", "Must be a valid boolean.", "on"),
        ({"name": "a", "choice": "q"}, "invalid_choice", '"q" is not a valid choice.', "choice"),
        ([], "invalid_input", "Invalid data. Expected a dictionary, but got list.", None),
        ({"name": None, "ids": "x"}, "null", "This field may not be null.", "name"),
    ],
)  # fmt: skip
def test_only_the_first_field_error_is_told(echo: Client, body, code, detail, attr) -> None:  # noqa: ANN001
    response = echo.post("/api/echo/", body, content_type="application/json")
    assert problem(response) == (400, VALID, code, detail, attr)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("nope", "Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "nesting is too deep"),
    ],
)
def test_syntax_errors_come_in_pythons_words(echo: Client, body: str, words: str) -> None:
    response = echo.post("/api/echo/", body, content_type="application/json")
    assert problem(response) == (400, INVALID, "parse_error", f"JSON parse error - {words}", None)


@pytest.mark.parametrize("body", [b'"\xff"', b'{"a": "\\ud800"}', b'{"a": NaN}'])
def test_odd_json_is_a_400(echo: Client, body: bytes) -> None:
    response = echo.post("/api/echo/", body, content_type="application/json")
    assert problem(response)[:3] == (400, INVALID, "parse_error")


def test_malformed_multipart_is_a_400(echo: Client) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        response = echo.generic("POST", "/api/echo/", b"--y\r\nnonsense", content_type=content_type)
        assert problem(response)[0] == 400


def test_unknown_media_type_is_a_415(echo: Client) -> None:
    response = echo.post("/api/echo/", "name=a", content_type="text/plain")
    detail = 'Unsupported media type "text/plain" in request.'
    assert problem(response) == (415, INVALID, "unsupported_media_type", detail, None)


def test_unknown_accept_is_a_406(echo: Client) -> None:
    response = echo.post("/api/echo/", headers={"Accept": "application/xml"})
    detail = "Could not satisfy the request Accept header."
    assert problem(response) == (406, INVALID, "not_acceptable", detail, None)


def test_unknown_method_is_a_405(echo: Client) -> None:
    response = echo.put("/api/echo/")
    assert problem(response) == (405, INVALID, "method_not_allowed", 'Method "PUT" not allowed.', None)
    assert "POST" in response["Allow"]


def test_too_large_a_body_is_a_413(echo: Client, settings) -> None:  # noqa: ANN001
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    response = echo.post("/api/echo/", {"name": "a" * 100}, content_type="application/json")
    assert problem(response)[:3] == (413, INVALID, "payload_too_large")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["/api/echo/?what=boom", "/plain/"])
def test_unexpected_errors_are_told_to_nobody(echo: Client, settings, path: str, debug: bool) -> None:  # noqa: ANN001, FBT001
    settings.DEBUG = debug
    response = echo.get(path)
    assert response.status_code == 500
    assert parsed(response) == {
        "type": "server_error", "code": "error", "detail": "A server error occurred.", "attr": None,
    }  # fmt: skip


@pytest.mark.parametrize("what", ["operational", "pool", "store"])
def test_store_that_is_down_is_a_503_with_retry_after(echo: Client, what: str) -> None:
    response = echo.get(f"/api/echo/?what={what}")
    assert problem(response)[:3] == (503, "server_error", "service_unavailable")
    assert response["Retry-After"] == "2"
    assert b"secret" not in response.content


def test_throttled_is_a_429_with_whole_seconds(echo: Client) -> None:
    response = echo.get("/api/echo/?what=throttled")
    detail = "Request was throttled. Expected available in 42 seconds."
    assert problem(response) == (429, "throttled_error", "throttled", detail, None)
    assert response["Retry-After"] == "42"


def test_extra_travels_as_a_fifth_key(echo: Client) -> None:
    assert parsed(echo.get("/api/echo/?what=extra"))["extra"] == {"list_urls": [1]}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Conflict(), (409, "server_error", "conflict")),
        (DataError(), (400, VALID, "invalid_input")),
        (Project.DoesNotExist(), (404, INVALID, "not_found")),
        (QueryRefused(), (400, VALID, "invalid_input")),
        (QueryTimeout(), (504, "server_error", "query_timeout")),
        (QueryTooBig(), (513, "server_error", "query_too_big")),
    ],
)
def test_domain_errors_have_their_status(error: Exception, expected: tuple[int, str, str]) -> None:
    found = problem_of(error)
    assert (found.status, found.type, found.code) == expected


def test_errors_are_json_even_where_a_table_was_asked_for(cast: Cast) -> None:
    response = cast.as_stranger().get(f"/api/projects/{cast.team.pk}/persons/?format=csv")
    assert problem(response)[0] == 403
    assert response["Content-Type"] == "application/json"


def test_unknown_format_is_a_400(cast: Cast) -> None:
    response = cast.as_owner().get("/api/projects/?format=xml")
    assert problem(response) == (400, VALID, "invalid_choice", '"xml" is not a valid choice.', "format")


def test_format_wins_over_accept(cast: Cast) -> None:
    response = cast.as_owner().get("/api/projects/?format=json", headers={"Accept": "text/html"})
    assert response["Content-Type"] == "application/json"
    response = cast.as_owner().get("/api/projects/?format=csv", headers={"Accept": "application/json"})
    assert response.status_code == 200


def test_no_accept_and_any_accept_mean_json(cast: Cast) -> None:
    for headers in ({}, {"Accept": "*/*"}, {"Accept": ""}, {"Accept": "application/json, text/plain, */*"}):
        assert cast.as_owner().get(ME, headers=headers)["Content-Type"] == "application/json"


def test_browsers_get_pages(cast: Cast) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    client = Client()
    assert b"/login/?next=/api/" in client.get("/api/", headers=accept).content
    client.force_login(cast.owner)
    for path in (
        "/api/",
        ME,
        "/api/projects/",
        f"/api/projects/{cast.team.pk}/",
        f"/api/projects/{cast.team.pk}/persons/",
        "/api/personal_api_keys/",
        "/api/organizations/@current/members/",
    ):
        response = client.get(path, headers=accept)
        assert response.status_code == 200, path
        assert response["Content-Type"].startswith("text/html"), path
    refused = Client().get(ME, headers=accept)
    assert refused.status_code == 401
    assert refused["Content-Type"].startswith("text/html")


def test_gets_may_carry_a_json_content_type_without_body(cast: Cast) -> None:
    assert cast.as_owner().get(ME, content_type="application/json").status_code == 200


@pytest.mark.parametrize("content_type", ["", "application/json", "application/x-www-form-urlencoded"])
def test_empty_bodies_are_fine(cast: Cast, content_type: str) -> None:
    assert cast.as_owner()("PATCH", ME, b"", content_type=content_type).status_code == 200


def test_request_id_comes_back_and_is_made_up_when_missing(cast: Cast) -> None:
    assert cast.as_owner().get(ME, headers={"X-Request-ID": "abc-1"})["X-Request-ID"] == "abc-1"
    assert len(cast.as_owner().get(ME)["X-Request-ID"]) == 32
    assert len(cast.as_owner().get(ME, headers={"X-Request-ID": "a b\n"})["X-Request-ID"]) == 32


def test_logs_hold_no_secrets(cast: Cast, echo: Client, capfd: pytest.CaptureFixture[str]) -> None:
    echo.get("/api/echo/?what=boom&personal_api_key=oldkeywithoutprefix")
    echo.get(f"{ME}?personal_api_key={cast.owner_key}&token={cast.team.api_token}")
    cast.as_owner().get("/api/users/nobody/")
    Caller().get(f"/nowhere/{cast.owner_key}?data=secretdata")
    logging.getLogger("anything").error("GET /x?personal_api_key=%s Bearer %s", "oldkeywithoutprefix", "sometoken")
    told = "".join(capfd.readouterr())
    assert "unexpected_error" in told
    for secret in (cast.owner_key, "phx_123456789", "oldkeywithoutprefix", "secretdata", "sometoken"):
        assert secret not in told


def test_middleware_lets_no_exception_of_a_view_past(rf: RequestFactory) -> None:
    middleware = RequestContextMiddleware(lambda _: Response())
    assert middleware.process_exception(rf.get("/"), ValueError("x")).status_code == 500
