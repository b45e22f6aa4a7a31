"""What the header does to views that answer in other ways than the resources here do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import re_path
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.routing import About, Route, Tree
from core.api.idempotent import takes_key
from core.api.views import Answer, ApiViewSet
from core.idempotency.models import IdempotentAnswer
from core.tenancy.models import User
from tests.core.http import Caller, parsed
from tests.factories import make_key, make_team, make_user

pytestmark = pytest.mark.django_db
ROUTE = Route(
    template="/odd/",
    tree=Tree.TOP,
    about=About.NOTHING,
    resource="odd",
    scopes={"POST": (), "PUT": (), "PATCH": (), "DELETE": ()},
)


class OddViewSet(ApiViewSet):
    """Renames its caller, then answers in one way or another."""

    ignores_restrictions = True

    def create(self, request: Request, **_: Any) -> Answer:
        del request
        self._rename("created")
        return Answer({"detail": "no"}, status=400)

    def update(self, request: Request, **_: Any) -> Any:
        del request
        self._rename("updated")
        return StreamingHttpResponse(iter([b"a", b"b"]), content_type="text/plain")

    def partial_update(self, request: Request, **_: Any) -> Response:
        del request
        self._rename("patched")
        return Response({"n": 1}, status=201, headers={"Location": "/odd/1/", "X-Other": "x"})

    def destroy(self, request: Request, **_: Any) -> HttpResponse:
        del request
        self._rename("destroyed")
        return HttpResponse(b"gone", content_type="text/plain")

    def _rename(self, name: str) -> None:
        User.objects.filter(pk=self.caller.user_id).update(first_name=name)


urlpatterns = [
    re_path(
        "^odd/$",
        OddViewSet.as_view(
            {"post": "create", "put": "update", "patch": "partial_update", "delete": "destroy"}, route=ROUTE
        ),
    )
]


@pytest.fixture
def user(db: None) -> User:
    return make_user(team=make_team(), first_name="before")


@pytest.fixture
def odd(user: User, settings: Any) -> Callable[[str], Any]:
    settings.ROOT_URLCONF = __name__
    caller = Caller(make_key(user))
    return lambda method: caller(method, "/odd/", headers={"Idempotency-Key": "k"})


def name_of(user: User) -> str:
    user.refresh_from_db()
    return user.first_name


def test_an_answer_that_is_an_error_takes_its_effect_back(odd: Callable[[str], Any], user: User) -> None:
    response = odd("POST")
    assert (response.status_code, parsed(response)) == (400, {"detail": "no"})
    assert name_of(user) == "before"
    assert not IdempotentAnswer.objects.exists()


def test_a_stream_is_not_kept_but_the_effect_is_single(odd: Callable[[str], Any], user: User) -> None:
    assert b"".join(odd("PUT").streaming_content) == b"ab"
    assert name_of(user) == "updated"
    User.objects.update(first_name="later")
    again = odd("PUT")
    assert (again.status_code, parsed(again)["extra"]) == (409, {"reason": "large"})
    assert name_of(user) == "later"


def test_the_headers_that_say_what_the_answer_is_are_kept(odd: Callable[[str], Any]) -> None:
    first, again = odd("PATCH"), odd("PATCH")
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, b'{"n":1}')
    assert again.headers["Location"] == first.headers["Location"] == "/odd/1/"
    assert (first.headers["X-Other"], again.headers.get("X-Other")) == ("x", None)
    assert again.headers["Vary"] == first.headers["Vary"]


def test_an_answer_that_is_no_json_is_repeated_as_it_was(odd: Callable[[str], Any]) -> None:
    for _ in range(2):
        response = odd("DELETE")
        assert (response.content, response.headers["Content-Type"]) == (b"gone", "text/plain")


def test_a_view_outside_the_route_table_takes_no_key() -> None:
    assert not takes_key(None, "POST")
    assert takes_key(ROUTE, "POST")
    assert not takes_key(ROUTE, "TRACE")
