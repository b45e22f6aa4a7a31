"""The little shop of docs/insights.md: five visitors in two weeks of May 2024, and what the page asks about them."""

from typing import Any

type Visit = tuple[str, str, str, dict[str, Any]]

EVENTS: list[Visit] = [
    ("eli", "2024-04-20T10:00:00Z", "order_placed", {"amount": 40}),
    ("ana", "2024-05-06T09:00:00Z", "$pageview", {"$current_url": "/pricing"}),
    ("ana", "2024-05-06T09:05:00Z", "$pageview", {"$current_url": "/signup"}),
    ("ana", "2024-05-06T09:10:00Z", "cart_opened", {}),
    ("ana", "2024-05-06T09:40:00Z", "coupon_used", {"code": "MAY"}),
    ("ana", "2024-05-06T10:00:00Z", "order_placed", {"amount": 30}),
    ("ben", "2024-05-06T11:00:00Z", "$pageview", {"$current_url": "/pricing"}),
    ("ben", "2024-05-06T11:10:00Z", "cart_opened", {}),
    ("cem", "2024-05-07T08:00:00Z", "$pageview", {"$current_url": "/pricing"}),
    ("cem", "2024-05-07T08:02:00Z", "$pageview", {"$current_url": "/signup"}),
    ("cem", "2024-05-07T08:10:00Z", "cart_opened", {}),
    ("ana", "2024-05-07T12:00:00Z", "order_placed", {"amount": 20}),
    ("dia", "2024-05-08T10:00:00Z", "$pageview", {"$current_url": "/pricing"}),
    ("dia", "2024-05-08T10:01:00Z", "$pageview", {"$current_url": "/docs"}),
    ("dia", "2024-05-08T10:05:00Z", "$pageview", {"$current_url": "/pricing"}),
    ("dia", "2024-05-08T10:06:00Z", "$pageview", {"$current_url": "/signup"}),
    ("ben", "2024-05-08T15:00:00Z", "cart_opened", {}),
    ("cem", "2024-05-09T18:00:00Z", "order_placed", {"amount": 75}),
    ("eli", "2024-05-09T20:00:00Z", "order_placed", {"amount": 10}),
    ("cem", "2024-05-10T09:00:00Z", "order_placed", {"amount": 15}),
    ("ana", "2024-05-13T09:30:00Z", "cart_opened", {}),
    ("cem", "2024-05-15T17:00:00Z", "cart_opened", {}),
    ("dia", "2024-05-16T09:00:00Z", "cart_opened", {}),
    ("eli", "2024-05-16T20:00:00Z", "order_placed", {"amount": 12}),
]
"""Distinct id, time, event, properties."""

_STEPS = [{"id": "cart_opened", "order": 0}, {"id": "order_placed", "order": 1}]
_BOTH_WEEKS = {"date_from": "2024-05-06", "date_to": "2024-05-19"}
_THREE_DAYS = {"funnel_window_interval": 3, "funnel_window_interval_unit": "day"}

EXAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "funnel": (
        "GET",
        "funnel",
        {"events": _STEPS, "funnel_step": -2, **_THREE_DAYS, "date_from": "2024-05-06", "date_to": "2024-05-12"},
    ),
    "correlation": (
        "POST",
        "funnel/correlation",
        {
            "events": _STEPS,
            **_THREE_DAYS,
            **_BOTH_WEEKS,
            "funnel_correlation_type": "events",
            "funnel_correlation_person_entity": {"id": "coupon_used", "type": "events"},
            "funnel_correlation_person_converted": "true",
        },
    ),
    "path": (
        "POST",
        "path",
        {
            "include_event_types": ["$pageview"],
            "path_start_key": "1_/pricing",
            "path_end_key": "2_/signup",
            **_BOTH_WEEKS,
        },
    ),
    "trends": (
        "GET",
        "trends",
        {
            "events": [{"id": "order_placed", "math": "sum", "math_property": "amount"}],
            "entity_type": "events",
            "entity_id": "order_placed",
            "entity_math": "sum",
            "date_from": "2024-05-09",
            "date_to": "2024-05-09",
        },
    ),
    "stickiness": (
        "GET",
        "stickiness",
        {
            "entity_type": "events",
            "entity_id": "order_placed",
            "stickiness_days": 2,
            "date_from": "2024-05-06",
            "date_to": "2024-05-12",
        },
    ),
    "lifecycle": (
        "GET",
        "lifecycle",
        {
            "events": [{"id": "order_placed"}],
            "interval": "week",
            **_BOTH_WEEKS,
            "target_date": "2024-05-13",
            "lifecycle_type": "dormant",
        },
    ),
    "retention": (
        "GET",
        "retention",
        {
            "period": "Week",
            "total_intervals": 2,
            "selected_interval": 0,
            "date_to": "2024-05-18",
            "target_entity": {"id": "cart_opened", "type": "events"},
            "returning_entity": {"id": "cart_opened", "type": "events"},
        },
    ),
}
"""For each example: method, path below `persons/`, parameters (POST: the body)."""
