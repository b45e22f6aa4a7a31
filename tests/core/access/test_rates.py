"""How rates are written, and the settings that hold them."""

import os
import subprocess
import sys

import orjson
import pytest
from django.core.exceptions import ImproperlyConfigured

from core.access.rates import Rate, read_rate
from persons_api import env
from tests.support.processes import REPOSITORY

SHOW = """
import json
from persons_api import settings
print(json.dumps([settings.RATE_LIMIT_ENABLED, settings.RATE_LIMITS, sorted(settings.RATE_LIMITING_ALLOW_LIST_TEAMS)]))
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("480/minute", Rate(480, 60)), ("1/s", Rate(1, 1)), ("2/sec", Rate(2, 1)), ("3/second", Rate(3, 1)),
        ("4/m", Rate(4, 60)), ("5/min", Rate(5, 60)), ("6/h", Rate(6, 3600)), ("4800/hour", Rate(4800, 3600)),
        ("7/d", Rate(7, 86_400)), ("100000/day", Rate(100_000, 86_400)), ("007/day", Rate(7, 86_400)), ("none", None),
    ],
)  # fmt: skip
def test_rates_that_are_understood(text: str, expected: Rate | None) -> None:
    assert read_rate(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "480", "0/minute", "-1/minute", "1.5/minute", "100001/day", "1" * 99 + "/day", "1/", "/minute", "1/minutes",
     "1/month", "1 /minute", "1/minute ", "1/minute\n", "\u0661/minute", "None", "NONE", "1/MINUTE", "1/5minutes",
     "1;2"],
)  # fmt: skip
def test_rates_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number from 1 to 100000"):
        read_rate(text)


def test_a_setting_names_its_variable_when_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_BURST", "fast")
    with pytest.raises(ImproperlyConfigured, match=r"^RATE_LIMIT_BURST: expected a number .* got 'fast'$"):
        env.rate("RATE_LIMIT_BURST", "480/minute")
    monkeypatch.setenv("RATE_LIMIT_BURST", " ")
    assert env.rate("RATE_LIMIT_BURST", "480/minute") == "480/minute"


@pytest.mark.parametrize("text", ["a", "1,b", "-1", "1.5", "1 2", "9" * 19, "\u0661"])
def test_a_list_of_ids_names_its_variable_when_it_is_wrong(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMITING_ALLOW_LIST_TEAMS", text)
    with pytest.raises(ImproperlyConfigured, match=r"^RATE_LIMITING_ALLOW_LIST_TEAMS: expected whole numbers"):
        env.integers("RATE_LIMITING_ALLOW_LIST_TEAMS")


def settings_with(**variables: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RATE_", "PERSONS_API_P"))}
    return subprocess.run(
        [sys.executable, "-c", SHOW], cwd=REPOSITORY, env=inherited | variables, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "enabled"),
    [
        ({}, False),
        ({"PERSONS_API_PRODUCTION": "true", "SECRET_KEY": "x"}, True),
        ({"PERSONS_API_PRODUCTION": "true", "SECRET_KEY": "x", "RATE_LIMIT_ENABLED": "false"}, False),
        ({"RATE_LIMIT_ENABLED": "on"}, True),
    ],
)
def test_limits_are_on_in_production_unless_told(variables: dict[str, str], *, enabled: bool) -> None:
    done = settings_with(**variables)
    assert orjson.loads(done.stdout) == [
        enabled,
        {
            "burst": "480/minute", "sustained": "4800/hour",
            "clickhouse_burst": "240/minute", "clickhouse_sustained": "1200/hour", "hogql": "120/hour",
        },
        [],
    ]  # fmt: skip


def test_limits_come_from_the_environment() -> None:
    done = settings_with(
        RATE_LIMIT_BURST="1000/min", RATE_LIMIT_SUSTAINED="none", RATE_LIMIT_CLICKHOUSE_BURST="1/s",
        RATE_LIMIT_CLICKHOUSE_SUSTAINED="9/day", RATE_LIMIT_HOGQL="2/h", RATE_LIMITING_ALLOW_LIST_TEAMS="7, 1,7",
    )  # fmt: skip
    rates = {
        "burst": "1000/min", "sustained": "none", "clickhouse_burst": "1/s", "clickhouse_sustained": "9/day",
        "hogql": "2/h",
    }  # fmt: skip
    assert orjson.loads(done.stdout) == [False, rates, [1, 7]]


def test_a_wrong_rate_stops_the_start() -> None:
    done = settings_with(RATE_LIMIT_SUSTAINED="4800/moon")
    assert done.returncode == 1
    assert "ImproperlyConfigured: RATE_LIMIT_SUSTAINED: expected" in done.stderr
