"""Rate limits: which limits a request counts in, for whom, and what it is told of them."""

import math
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, cast

from django.conf import settings
from django.http import HttpRequest
from prometheus_client import Counter
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from core.access.context import Access
from core.access.rates import EVERY_REQUEST, Rate, read_rate
from core.access.routing import Route
from core.access.windows import Hit, Window, windows_at

if TYPE_CHECKING:  # DRF's views read this module's class from the settings while they are imported
    from rest_framework.views import APIView

    from core.tenancy.context import TeamContext

POLICY_HEADER: Final = "RateLimit-Policy"
STANDING_HEADER: Final = "RateLimit"
IPV6_PREFIX: Final = 64
"""One subscriber commands at least so much of the address space, and would otherwise have as many quotas."""

REFUSED = Counter("persons_api_rate_limit_refused", "Requests refused with 429, by limit", ["limit"])

type Limits = tuple[tuple[str, Rate], ...]


class RateLimitThrottle(BaseThrottle):
    """All limits of a request at once, for personal API keys and for callers without any credential.

    It is one class and not one for each limit, because a request that one of them refuses must not count in the
    others. Views tell which limits by their route (`Route.limits`); those outside of the route table have the
    default ones.
    """

    _wait = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        """Count the request, leave the headers of its answer with the view, and say whether it passes."""
        if not settings.RATE_LIMIT_ENABLED:
            return True
        access = cast("Access | None", request.auth)
        team = None if access is None else access.team
        if access is not None and not access.caller.is_key:
            return True
        if team is not None and team.id in settings.RATE_LIMITING_ALLOW_LIST_TEAMS:
            return True
        route: Route | None = getattr(view, "route", None)
        names = EVERY_REQUEST if route is None else route.limits.get(request.method or "", EVERY_REQUEST)
        limits_of = getattr(view, "limits_of", None)
        if limits_of is not None:
            names = limits_of(request) or names
        limits, windows = _windows(names, team, _caller(access, request))
        hit = windows_at(settings.REDIS_URL).hit(windows) if windows else None
        if hit is None:
            return True
        view.headers.update(_headers(limits, hit))  # DRF sets them before it throttles
        self._wait = hit.wait
        if not hit.passes:
            for (name, _), standing in zip(limits, hit.standings, strict=True):
                if not standing.remaining:
                    REFUSED.labels(name).inc()
        return hit.passes

    def wait(self) -> float:
        """Return the seconds after which the refused request would pass, if no other came before it."""
        return self._wait


def rates_checked(given: object) -> dict[str, str]:
    """Return the limits of one project as they may be stored: `{name: "1000/minute" or "none"}`.

    Names are those of the setting RATE_LIMITS; None stands for the default, as does leaving a name out.
    Raises ValueError with a text for whoever wrote it.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        message = 'expected an object such as {"burst": "1000/minute"}'
        raise ValueError(message)  # noqa: TRY004 callers show the text of one kind of error
    checked = {}
    for name, text in given.items():
        if name not in settings.RATE_LIMITS:
            message = f"there is no limit {str(name)[:100]!r}, only {', '.join(settings.RATE_LIMITS)}"
            raise ValueError(message)
        if text is None:
            continue
        checked[name] = str(text)
        try:
            read_rate(checked[name])
        except ValueError as error:
            message = f"{name}: {error}"
            raise ValueError(message) from None
    return checked


def _windows(names: tuple[str, ...], team: "TeamContext | None", caller: str) -> tuple[Limits, list[Window]]:
    limits, windows = [], []
    for name in names:
        rate, of_team = _rate(name, team)
        if rate is None:
            continue
        # A limit of one project is counted apart, so that neither the project nor the others lend the other room.
        place = f":{team.id}" if team is not None and of_team else ""
        limits.append((name, rate))
        windows.append(Window(f"persons-api:limit:{{{caller}}}:{name}{place}", rate.requests, rate.seconds))
    return tuple(limits), windows


def _rate(name: str, team: "TeamContext | None") -> tuple[Rate | None, bool]:
    """Return the rate of a limit, and whether it is the project's own."""
    default = read_rate(settings.RATE_LIMITS[name])
    own = None if team is None or not isinstance(team.rate_limits, Mapping) else team.rate_limits.get(name)
    if not isinstance(own, str):
        return default, False
    try:
        return read_rate(own), True
    except ValueError:  # it was written past rates_checked
        return default, False


def _caller(access: Access | None, request: Request) -> str:
    if access is not None:
        # The id and not the value's hash: a rolled key keeps its id, so rolling does not empty its windows.
        return f"key:{access.caller.key_id}"
    return f"ip:{caller_network(request)}"


def caller_network(request: Request | HttpRequest) -> str:
    """Return what one caller has of the addresses; requests without any count as one caller."""
    if settings.TRUST_FORWARDED_HEADERS:
        # The proxy adds the address that it saw at the end; what stands before was the client's to write.
        last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        for candidate in (last, last.rpartition(":")[0].strip("[]")):
            if found := _network_of(candidate):
                return found
    return _network_of(request.META.get("REMOTE_ADDR", "")) or "unknown"


@lru_cache(maxsize=1024)
def _network_of(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((int(found), IPV6_PREFIX), strict=False))
    return str(found)


def _headers(limits: Limits, hit: Hit) -> dict[str, str]:
    standings = ", ".join(
        f'"{name}";r={standing.remaining};t={math.ceil(standing.grows_in)}'
        for (name, _), standing in zip(limits, hit.standings, strict=True)
    )
    return {POLICY_HEADER: _policy(limits), STANDING_HEADER: standings}


@lru_cache(maxsize=1024)
def _policy(limits: Limits) -> str:
    return ", ".join(f'"{name}";q={rate.requests};w={rate.seconds}' for name, rate in limits)
