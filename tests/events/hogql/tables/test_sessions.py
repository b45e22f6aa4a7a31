"""Sessions are put together from events; their channel is found by PostHog's documented rules."""

from collections.abc import Mapping
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest

from tests.events.hogql.tables import reading
from tests.events.hogql.tables.reading import NOON

SHOP = "https://shop.example/start?utm_source=x"


def seconds(number: float) -> Any:
    return NOON + timedelta(seconds=number)


def happened(client: ModuleType, *steps: tuple[float, str, Mapping[str, Any]], session: str = "s") -> None:
    rows = (
        {"timestamp": seconds(at), "event": event, "properties": {"$session_id": session, **properties}}
        for at, event, properties in steps
    )
    reading.events(client, *rows)


def session(client: ModuleType, *columns: str) -> tuple[Any, ...]:
    (row,) = reading.read(client, "sessions", *columns)
    return row


def test_a_session_is_all_events_of_its_id(clickhouse: ModuleType) -> None:
    happened(
        clickhouse,
        (5, "$pageview", {"$current_url": "https://shop.example/cart"}),
        (0, "$pageview", {"$current_url": SHOP, "utm_source": "x", "$referrer": "https://g.example/"}),
        (
            61.5,
            "$autocapture",
            {"$current_url": "https://shop.example/cart", "$external_click_url": "https://b.example"},
        ),
        (30, "$screen", {}),
        (40, "buy", {"$current_url": "", "utm_source": "later", "$web_vitals_LCP_value": 12.5}),
    )
    reading.events(clickhouse, {"event": "elsewhere"}, {"team_id": reading.OTHER, "properties": {"$session_id": "s"}})
    expected = {
        "session_id": "s",
        "id": "s",
        "session_id_v7": None,
        "$start_timestamp": NOON.replace(tzinfo=None),
        "$end_timestamp": seconds(61.5).replace(tzinfo=None),
        "$session_duration": 61,
        "duration": 61,
        "$num_uniq_urls": 2,
        "$entry_current_url": SHOP,
        "$entry_pathname": "/start",
        "$entry_hostname": "shop.example",
        "$end_current_url": "https://shop.example/cart",
        "$end_pathname": "/cart",
        "$exit_pathname": "/cart",
        "$end_hostname": "shop.example",
        "$entry_utm_source": "x",
        "$entry_utm_medium": None,
        "$entry_referrer": "https://g.example/",
        "$entry_referring_domain": None,
        "$pageview_count": 2,
        "$autocapture_count": 1,
        "$screen_count": 1,
        "$is_bounce": False,
        "$last_external_click_url": "https://b.example",
        "$vitals_lcp": 12.5,
        "distinct_id": "ann",
        "team_id": reading.TEAM,
    }
    assert dict(zip(expected, session(clickhouse, *expected), strict=True)) == expected
    ((urls,),) = reading.read(clickhouse, "sessions", "$urls")
    assert sorted(urls) == ["https://shop.example/cart", SHOP]


@pytest.mark.parametrize(
    ("steps", "bounced"),
    [
        ([(0, "$pageview")], True),
        ([(0, "$screen")], True),
        ([(0, "$pageview"), (9, "click")], True),
        ([(0, "$pageview"), (10, "click")], False),
        ([(0, "$pageview"), (1, "$pageview")], False),
        ([(0, "$pageview"), (1, "$autocapture")], False),
        ([(0, "click"), (1, "$autocapture")], None),
    ],
)
def test_a_bounce_is_one_page_and_nothing_after(
    clickhouse: ModuleType, steps: list[tuple[float, str]], bounced: object
) -> None:
    happened(clickhouse, *((at, event, {}) for at, event in steps))
    assert session(clickhouse, "$is_bounce") == (bounced,)


@pytest.mark.parametrize(
    ("given", "channel"),
    [
        ({}, "Unknown"),
        ({"$referring_domain": "$direct"}, "Direct"),
        ({"$referring_domain": "$direct", "utm_source": "(direct)"}, "Direct"),
        ({"$referring_domain": "$direct", "utm_medium": "x"}, "Direct"),
        ({"$referring_domain": "www.google.co.uk"}, "Organic Search"),
        ({"$referring_domain": "GOOGLE.com", "gclid": "1"}, "Paid Search"),
        ({"$referring_domain": "l.facebook.com"}, "Organic Social"),
        ({"$referring_domain": "t.co"}, "Organic Social"),
        ({"$referring_domain": "www.youtube.com"}, "Organic Video"),
        ({"$referring_domain": "www.amazon.de"}, "Organic Shopping"),
        ({"$referring_domain": "blog.example"}, "Referral"),
        ({"$referring_domain": "blog.example", "utm_medium": "email"}, "Email"),
        ({"utm_source": "facebook", "utm_medium": "cpc"}, "Paid Social"),
        ({"utm_source": "Google", "utm_medium": "PPC"}, "Paid Search"),
        ({"utm_source": "youtube", "utm_medium": "paid_video"}, "Paid Video"),
        ({"utm_source": "ebay.com", "utm_medium": "cpa"}, "Paid Shopping"),
        ({"utm_source": "nobody", "utm_medium": "cpc"}, "Paid Unknown"),
        ({"utm_medium": "cpm"}, "Display"),
        ({"gad_source": "1"}, "Paid Search"),
        ({"gad_source": "2"}, "Paid Unknown"),
        ({"utm_campaign": "cross-network", "gclid": "1"}, "Cross Network"),
        ({"utm_campaign": "summer shop", "utm_medium": "cpc"}, "Paid Shopping"),
        ({"utm_campaign": "summer shop"}, "Organic Shopping"),
        ({"utm_campaign": "eshop"}, "Organic Shopping"),
        ({"utm_campaign": "workshop"}, "Unknown"),
        ({"utm_campaign": "my video 3"}, "Organic Video"),
        ({"utm_medium": "affiliate"}, "Affiliate"),
        ({"utm_medium": "link"}, "Referral"),
        ({"utm_medium": "audio"}, "Audio"),
        ({"utm_medium": "webpush"}, "Push"),
        ({"utm_medium": "social"}, "Organic Social"),
        ({"utm_source": "newsletter"}, "Email"),
        ({"utm_source": "sms"}, "SMS"),
        ({"utm_source": "firebase"}, "Push"),
    ],
)
def test_the_channel(clickhouse: ModuleType, given: dict[str, str], channel: str) -> None:
    happened(clickhouse, (0, "$pageview", given))
    assert session(clickhouse, "$channel_type") == (channel,)
    initial = {f"$initial_{key.removeprefix('$')}": value for key, value in given.items()}
    reading.persons(clickhouse, {"properties": reading.json(initial)})
    assert reading.read(clickhouse, "persons", "$virt_initial_channel_type") == [(channel,)]


@pytest.mark.parametrize(
    ("domain", "kind"),
    [("$direct", "Direct"), ("duckduckgo.com", "Search"), ("x.com", "Social"), ("blog.example", None), ("", None)],
)
def test_the_kind_of_a_referring_domain(clickhouse: ModuleType, domain: str, kind: str | None) -> None:
    reading.persons(clickhouse, {"properties": reading.json({"$initial_referring_domain": domain})})
    assert reading.read(clickhouse, "persons", "$virt_initial_referring_domain_type") == [(kind,)]


def test_bounds_leave_out_no_session_that_began_between_them(clickhouse: ModuleType) -> None:
    day = 24 * 3600
    for name, begin in (("before", -day - 10), ("inside", 0), ("after", 2 * day)):
        happened(clickhouse, (begin, "a", {}), (begin + day - 1, "b", {}), session=name)
    asked = reading.Question("sessions")
    names = [asked.field(name).sql for name in ("session_id", "$start_timestamp", "$session_duration")]
    since, until = "toDateTime64('2024-03-01 12:00:00', 6, 'UTC')", "toDateTime64('2024-03-02 12:00:00', 6, 'UTC')"
    asked.source.bounded(since=since, until=until)
    between = f"`$start_timestamp` >= {since} AND `$start_timestamp` <= {until}"
    sql = f"SELECT {names[0]}, {names[2]} FROM {asked.source.sql()} WHERE {between}"  # noqa: S608 constants
    assert clickhouse.query(sql, asked.parameters).rows == [("inside", day - 1)]
