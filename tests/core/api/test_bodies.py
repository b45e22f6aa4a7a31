import io
from typing import Any

import pytest
from django.http import QueryDict

from core.api.json import dumps, format_time, loads
from core.api.parsers import FormParser
from tests.core.conftest import Cast
from tests.core.http import parsed, problem
from tests.support.contract import CheckedClient

ME = "/api/users/@me/"


def test_lists_with_brackets_count_as_their_plain_name() -> None:
    data = FormParser().parse(io.BytesIO(b"app_urls[]=a&app_urls[]=b&name=x"), None, {})
    assert isinstance(data, QueryDict)
    assert data.getlist("app_urls") == ["a", "b"]
    assert data["name"] == "x"


@pytest.mark.parametrize("encoding", ["multipart", "form"])
def test_forms_are_taken_like_json(cast: Cast, encoding: str) -> None:
    client = CheckedClient(headers={"Authorization": f"Bearer {cast.owner_key}"})
    if encoding == "multipart":
        body = (
            f'--b\r\nContent-Disposition: form-data; name="set_current_team"\r\n\r\n{cast.other_team.pk}\r\n--b--\r\n'
        )
        response = client.patch(ME, body, content_type="multipart/form-data; boundary=b")
    else:
        response = client.patch(
            ME, f"set_current_team={cast.other_team.pk}", content_type="application/x-www-form-urlencoded"
        )
    assert parsed(response)["team"]["id"] == cast.other_team.pk


def test_times_always_have_microseconds_and_z() -> None:
    import datetime as dt

    zone = dt.timezone(dt.timedelta(hours=2))
    assert format_time(dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=zone)) == "2024-01-02T01:04:05.000000Z"
    assert dumps({"at": dt.datetime(2024, 1, 2, tzinfo=dt.UTC)}) == b'{"at":"2024-01-02T00:00:00.000000Z"}'


def test_python_values_that_are_not_json_get_a_form() -> None:
    from decimal import Decimal

    assert dumps({"d": Decimal("0.250"), "s": {2, 1}, 3: b"x"}) == b'{"d":"0.250","s":[1,2],"3":"x"}'
    with pytest.raises(TypeError):
        dumps({"x": object()})


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b'"\xff"', b'"\\ud800"'])
def test_syntax_errors_are_value_errors_with_words(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        loads(text)
    assert str(caught.value)


def test_numbers_beyond_64_bits_do_no_harm(cast: Cast) -> None:
    body: Any = b'{"set_current_team": 1' + b"0" * 400 + b"}"
    assert cast.as_owner()("PATCH", ME, body).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("body", ["[]", "0", "false", '""'])
def test_an_empty_body_of_another_type_is_no_object(cast: Cast, body: str) -> None:
    response = cast.as_owner()("POST", f"/api/projects/{cast.team.id}/cohorts/", body)
    assert problem(response)[:3] == (400, "validation_error", "invalid_input")
