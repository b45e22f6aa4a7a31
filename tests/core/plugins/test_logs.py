"""GET plugin_configs/{id}/logs: who may, what comes, which part of it."""

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from django.db import transaction

from core.outbox.models import OutboxRows
from core.outbox.services import outbox_drain
from core.plugins.logs.services import MAX_MESSAGE, LogType, PluginLog, logs_append
from core.tenancy.models import Organization
from tests.core.conftest import Cast
from tests.core.http import Caller, parsed, problem
from tests.factories import make_key

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

START = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=123) - timedelta(days=2)
KEYS = ["id", "team_id", "plugin_id", "plugin_config_id", "timestamp", "source", "type", "message", "instance_id"]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def say(team_id: int, *lines: dict[str, Any], config_id: int = 41) -> None:
    """Append lines of a config, one second apart where they have no time, and carry them over."""
    with transaction.atomic():
        logs_append(
            PluginLog(
                **{
                    "team_id": team_id, "plugin_id": 12, "plugin_config_id": config_id, "source": "CONSOLE",
                    "type": "LOG", "message": f"line {number}", "timestamp": at(number), **line,
                }
            )
            for number, line in enumerate(lines)
        )  # fmt: skip
    outbox_drain()


type Ask = Callable[..., Any]


@pytest.fixture
def ask(cast: Cast) -> Ask:
    def send(config_id: object = 41, *, caller: Caller | None = None, tree: str = "projects", **params: Any) -> Any:
        query = urlencode(params, doseq=True, quote_via=quote)
        path = f"/api/{tree}/{cast.team.id}/plugin_configs/{config_id}/logs/?{query}"
        return (caller or cast.as_member()).get(path)

    return send


def messages(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [line["message"] for line in parsed(answer)["results"]]


@pytest.mark.parametrize("tree", ["projects", "environments"])
def test_a_line_is_answered_in_the_published_shape(cast: Cast, ask: Ask, tree: str) -> None:
    say(cast.team.id, {"source": "SYSTEM", "type": "WARN", "message": "slow\tresponse 😀"})
    answer = parsed(ask(tree=tree))
    assert (answer["count"], answer["next"], answer["previous"]) == (1, None, None)
    (line,) = answer["results"]
    assert list(line) == KEYS
    assert UUID(line.pop("id")).version == 7
    assert UUID(line.pop("instance_id"))
    assert line == {
        "team_id": cast.team.id, "plugin_id": 12, "plugin_config_id": 41,
        "timestamp": f"{START:%Y-%m-%dT%H:%M:%S}.000123Z",
        "source": "SYSTEM", "type": "WARN", "message": "slow\tresponse 😀",
    }  # fmt: skip


def test_pages_go_on_past_the_first_and_count_everything(cast: Cast, ask: Ask) -> None:
    say(cast.team.id, *({} for _ in range(23)))
    seen: list[str] = []
    answer = ask(limit=10, search="LINE")
    for page in itertools.count():
        body = parsed(answer)
        assert body["count"] == 23
        assert (body["previous"] is None) == (page == 0)
        seen += messages(answer)
        if body["next"] is None:
            break
        assert "search=LINE" in body["next"]
        answer = cast.as_member().get(body["next"])
    assert page == 2
    assert seen == [f"line {number}" for number in reversed(range(23))]
    beyond = parsed(ask(limit=10, offset=500))
    assert (beyond["count"], beyond["next"], beyond["results"]) == (23, None, [])
    assert parsed(ask(offset="9" * 400))["count"] == 23


def test_lines_of_one_moment_keep_the_order_in_which_they_were_said(cast: Cast, ask: Ask) -> None:
    say(cast.team.id, *({"timestamp": START} for _ in range(200)))
    say(cast.team.id, {"timestamp": START, "message": "last"})
    found = messages(ask(limit=500))
    assert found == ["last", *(f"line {number}" for number in reversed(range(200)))]


def test_other_projects_and_configs_have_their_own_lines(cast: Cast, ask: Ask) -> None:
    say(cast.team.id, {"message": "ours"})
    say(cast.team.id, {"message": "of the next config"}, config_id=42)
    say(cast.other_team.id, {"message": "theirs"}, config_id=43)
    assert messages(ask(41)) == ["ours"]
    assert messages(ask(42)) == ["of the next config"]
    foreign = parsed(ask(43))
    assert foreign == {"count": 0, "next": None, "previous": None, "results": []}
    assert messages(ask(2**63 - 1)) == []


@pytest.mark.parametrize("config_id", ["abc", "-1", "1.5", "%00", "9" * 40, "٤"])
def test_an_id_that_no_config_can_have_is_not_found(ask: Ask, config_id: str) -> None:
    assert problem(ask(quote(config_id, safe="%"))) == (404, "invalid_request", "not_found", "Not found.", None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"after": at(1)}, [3, 2]),
        ({"before": at(1)}, [0]),
        ({"after": at(0), "before": at(3)}, [2, 1]),
        ({"after": at(1) - timedelta(microseconds=1)}, [3, 2, 1]),
        ({"after": f"{at(1):%Y-%m-%dT%H:%M:%S.%f}Z"}, [3, 2]),
        ({"after": f"{at(1):%Y-%m-%dT%H:%M:%S.%f}z"}, [3, 2]),
        ({"after": f"{at(1):%Y-%m-%dT%H:%M:%S.%f}"}, [3, 2]),
        ({"after": f"{at(1) + timedelta(hours=2):%Y-%m-%dT%H:%M:%S.%f}+02:00"}, [3, 2]),
        ({"after": f"{at(1) + timedelta(hours=2):%Y-%m-%dT%H:%M:%S.%f} 02:00"}, [3, 2]),
        ({"before": f"{at(1) - timedelta(hours=2):%Y-%m-%d %H:%M:%S.%f}-0200"}, [0]),
        ({"before": f"{at(0):%Y-%m-%d}"}, []),
        ({"after": f"{at(0):%Y-%m-%d %H:%M}"}, [3, 2, 1, 0]),
        ({"after": "0001-01-01T00:00:00+14:00"}, None),
        ({"after": "", "before": " ", "search": "", "type_filter": ""}, [3, 2, 1, 0]),
        ({"after": "0002-01-01", "before": "9998-01-01"}, [3, 2, 1, 0]),
        ({"type_filter": "ERROR"}, [3]),
        ({"type_filter": ["ERROR", "LOG", "LOG"]}, [3, 1, 0]),
        ({"type_filter": "DEBUG"}, []),
        ({"search": "100%"}, [1]),
        ({"search": "A_B"}, [2]),
        ({"search": "%"}, [1]),
        ({"search": "GRÖßE é"}, [3]),
        ({"search": "line\x00"}, []),
        ({"search": "'; DROP TABLE plugin_log_entries"}, []),
        ({"search": "x" * 5000}, []),
        ({"type_filter": ["WARN", "ERROR"], "search": "a", "after": at(1), "before": at(3)}, [2]),
    ],
)
def test_filters(cast: Cast, ask: Ask, params: dict[str, Any], expected: list[int] | None) -> None:
    texts = ["axb", "at 100%", "a_b", "Größe ÉTÉ"]
    types = ["LOG", "LOG", "WARN", "ERROR"]
    say(cast.team.id, *({"message": text, "type": kind} for text, kind in zip(texts, types, strict=True)))
    if expected is None:
        assert problem(ask(**params))[0] == 400
        return
    answer = ask(**params)
    assert messages(answer) == [texts[number] for number in expected]
    assert parsed(answer)["count"] == len(expected)


@pytest.mark.parametrize("limit", ["ten", "1.5", "1e3", "0x10", "٣", "1_0", "\x00", "NaN", "--1"])
def test_a_limit_that_is_no_integer_is_refused(ask: Ask, limit: str) -> None:
    expected = (400, "validation_error", "invalid_input", "Query param limit must be omitted or an integer!", None)
    assert problem(ask(limit=limit)) == expected


@pytest.mark.parametrize(("limit", "shown"), [("", 100), ("0", 100), ("-5", 100), ("2", 2), ("9" * 5000, 120)])
def test_limits_that_are_integers(cast: Cast, ask: Ask, limit: str, shown: int) -> None:
    say(cast.team.id, *({} for _ in range(120)))
    assert len(messages(ask(limit=limit))) == shown


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2024-13-01", "1709634630", "2024-03-05T10:20:30+99:00", "\x00", "\ud800", "9" * 5000, "NaN", "-1d"],
)
@pytest.mark.parametrize("name", ["after", "before"])
def test_a_bad_date_is_refused(ask: Ask, name: str, text: str) -> None:
    answer = ask(**{name: text.encode("utf-8", "surrogatepass")})
    expected = (400, "validation_error", "invalid_input", "Datetime has wrong format. Use ISO 8601.", name)
    assert problem(answer) == expected


@pytest.mark.parametrize("kind", ["warn", "FATAL", "LOG,WARN", "\x00", "x" * 5000])
def test_an_unknown_type_is_refused(ask: Ask, kind: str) -> None:
    found = problem(ask(type_filter=["LOG", kind]))
    assert (*found[:3], found[4]) == (400, "validation_error", "invalid_choice", "type_filter")
    assert len(found[3]) < 200


@pytest.mark.parametrize(("level", "status"), [(0, 403), (3, 200), (6, 200), (9, 200)])
def test_the_organization_may_see_logs_from_the_level_of_configuring(
    cast: Cast, ask: Ask, level: int, status: int
) -> None:
    Organization.objects.filter(id=cast.organization.id).update(plugins_access_level=level)
    answer = ask(caller=cast.as_owner())
    assert answer.status_code == status
    if status == 403:
        assert problem(answer) == (
            403, "authentication_error", "permission_denied",
            "Your organization's plugin access level is insufficient.", None,
        )  # fmt: skip


def test_scopes_and_strangers(cast: Cast, ask: Ask) -> None:
    say(cast.team.id, {})
    assert messages(ask(caller=Caller(make_key(cast.member, scopes=["plugin:read"])))) == ["line 0"]
    assert problem(ask(caller=Caller(make_key(cast.member, scopes=["person:read"]))))[:3] == (
        403, "authentication_error", "permission_denied",
    )  # fmt: skip
    assert problem(ask(caller=cast.as_stranger()))[3] == "You don't have access to the project."
    assert problem(ask(caller=Caller()))[0] == 401


def test_lines_are_part_of_the_transaction_that_says_them(cast: Cast, ask: Ask) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        logs_append([PluginLog(cast.team.id, 1, 41, "SYSTEM", "INFO", "never happened")])
        1 / 0  # noqa: B018 stands for anything that goes wrong
    outbox_drain()
    assert messages(ask()) == []
    with transaction.atomic():
        logs_append([])
    assert not OutboxRows.objects.exists()


def test_a_message_is_repaired_and_cut(cast: Cast, ask: Ask) -> None:
    say(
        cast.team.id, {"message": "a\x00b\ud800c"}, {"message": "é" * (MAX_MESSAGE + 1)}, {"message": "y" * MAX_MESSAGE}
    )
    whole, cut, repaired = messages(ask())
    assert repaired == "a\ufffdb\ufffdc"
    assert cut == "é" * (MAX_MESSAGE - 1) + "…"
    assert whole == "y" * MAX_MESSAGE


def test_a_line_without_a_time_is_of_now(cast: Cast, ask: Ask) -> None:
    before = datetime.now(UTC)
    say(cast.team.id, {"timestamp": None})
    (line,) = parsed(ask())["results"]
    assert before <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)


def test_many_lines_at_once_arrive_in_order(cast: Cast, ask: Ask) -> None:
    say(cast.team.id, *({"timestamp": START} for _ in range(2_500)))
    answer = parsed(ask(limit=1000))
    assert answer["count"] == 2_500
    found = [line["message"] for line in answer["results"]]
    assert found == [f"line {number}" for number in range(2_499, 1_499, -1)]


def test_words_that_there_are_not_are_refused_where_they_are_said() -> None:
    for source, kind in (("system", "INFO"), ("SYSTEM", "FATAL")):
        with pytest.raises(ValueError, match="is not a valid Log"):
            PluginLog(1, 1, 1, source, kind, "")
    assert PluginLog(1, 1, 1, "SYSTEM", LogType.WARN, "").type == "WARN"


def test_processes_say_which_of_them_wrote_a_line(cast: Cast, ask: Ask, clickhouse: ModuleType) -> None:
    from core.plugins.logs.services import _instance

    say(cast.team.id, {}, {})
    instances = {UUID(line["instance_id"]) for line in parsed(ask())["results"]}
    assert instances == {_instance(os.getpid())}


def test_a_clickhouse_that_is_away_is_503(ask: Ask, settings: Any) -> None:
    settings.CLICKHOUSE_URL = "http://127.0.0.1:9/gone"
    answer = ask()
    assert problem(answer)[:3] == (503, "server_error", "service_unavailable")
    assert answer.headers["Retry-After"]
