"""When an event happened: clock skew, offsets and the many ways in which SDKs write a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from dateutil import parser

MAX_AHEAD = timedelta(hours=23)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_TEXT, _MAX_TEXT = 6, 100
_MAX_QUERY_DIGITS = 15
# Ten digits are seconds and thirteen milliseconds; one more or less still falls on the sensible side.
_MILLISECONDS_FROM = 100_000_000_000
_QUERY_SENT_AT_FROM = datetime(2021, 1, 1, tzinfo=UTC)
_ISO_START = re.compile(r"\d{4}-")
_NUMBER = re.compile(r"\d{9,17}(\.\d+)?\Z", re.ASCII)
_RFC2822 = re.compile(r"([A-Za-z]{3}, ?)?\d{1,2} [A-Za-z]{3} \d{4}")
_JAVASCRIPT_ZONE = re.compile(r"(GMT|UTC)(?=[+-]\d)|\s*\([^)]*\)\Z")
_MILLISECONDS = re.compile(r"-?\d{1,17}(\.\d+)?\Z", re.ASCII)
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)|(?<!\d)\d{8}(?!\d)")
_TOO_EARLY = "timestamp before the year 1900"
# ClickHouse's DateTime64 begins here; an earlier time would be stored as another one.
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks of a request: ours when it came in, and the client's when it was sent."""

    now: datetime
    sent_at: datetime | None = None
    sent_at_text: str | None = None
    skew: timedelta | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Work out once what every event of the request needs."""
        if self.sent_at is not None:
            object.__setattr__(self, "skew", self.now - self.sent_at)
            object.__setattr__(self, "sent_at_text", iso_milliseconds(self.sent_at))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a time was not taken as it came; becomes an ingestion warning."""

    type: str
    details: Mapping[str, Any]


def parse_time(value: Any) -> datetime:  # noqa: ANN401 any JSON value
    """Return an aware UTC time; ValueError says what is wrong. Times without a zone are UTC."""
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    message = "not a date"
    raise ValueError(message)


def _parse_text(text: str) -> datetime:
    if text[4:5] == "-" and _ISO_START.match(text):
        try:
            return _utc(datetime.fromisoformat(text))
        except ValueError:
            pass
        except OverflowError as error:
            raise ValueError(str(error)) from error
    text = text.strip()
    if not text or len(text) > _MAX_TEXT:
        message = "not a date"
        raise ValueError(message)
    if _NUMBER.match(text):
        return _from_number(float(text) if "." in text else int(text))
    # Without a year the lenient parser would invent one.
    if len(text) < _MIN_TEXT or not _YEAR.search(text):
        message = "no four-digit year"
        raise ValueError(message)
    return _parse_leniently(text)


def _parse_leniently(text: str) -> datetime:
    try:
        if _RFC2822.match(text):
            return _utc(parsedate_to_datetime(text))
        # JavaScript ends with `GMT+0100 (CET)`, whose sign the parser would turn round, as POSIX does.
        text = _JAVASCRIPT_ZONE.sub("", text)
        # The default stands in for missing parts; named zones that we do not know count as UTC.
        return _utc(parser.parse(text, default=_EPOCH.replace(tzinfo=None), tzinfos=_zone))
    except (ValueError, OverflowError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        message = "not a date"
        raise ValueError(message) from error


def _zone(_name: str, offset: int | None) -> int:
    return offset or 0


def _from_number(number: float) -> datetime:
    try:
        if abs(number) >= _MILLISECONDS_FROM:
            return _EPOCH + timedelta(milliseconds=number)
        return _EPOCH + timedelta(seconds=number)
    except (OverflowError, ValueError) as error:
        message = "year out of range"
        raise ValueError(message) from error


def _utc(moment: datetime) -> datetime:
    zone = moment.tzinfo
    if zone is UTC:
        return moment
    if zone is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        message = "year out of range"
        raise ValueError(message) from error


def iso_milliseconds(moment: datetime) -> str:
    """Write a time the way JavaScript does."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_clock(
    *,
    now: datetime,
    body_sent_at: Any,  # noqa: ANN401
    query_sent_at: str | None,
) -> tuple[Clock, Problem | None]:
    """Find `sent_at`: in the body of a batch, else in the query's `_` as milliseconds."""
    if body_sent_at is not None and body_sent_at != "":
        if not isinstance(body_sent_at, str):
            return Clock(now=now), _ignored("sent_at", body_sent_at, "not a text")
        try:
            return Clock(now=now, sent_at=parse_time(body_sent_at)), None
        except ValueError as error:
            return Clock(now=now), _ignored("sent_at", body_sent_at, str(error))
    if (
        query_sent_at
        and query_sent_at.isascii()
        and query_sent_at.isdigit()
        and len(query_sent_at) <= _MAX_QUERY_DIGITS
    ):
        try:
            sent_at = _EPOCH + timedelta(milliseconds=int(query_sent_at))
        except OverflowError:
            return Clock(now=now), None
        # Some clients send seconds here, which would be 1970.
        if sent_at >= _QUERY_SENT_AT_FROM:
            return Clock(now=now, sent_at=sent_at), None
    return Clock(now=now), None


def event_time(
    *,
    clock: Clock,
    timestamp: Any,  # noqa: ANN401
    offset: Any,  # noqa: ANN401
    ignore_sent_at: bool,
) -> tuple[datetime, Problem | None]:
    """Return when the event happened by our clock, and what was wrong with what the client said."""
    now = clock.now
    if timestamp is not None and timestamp != "":
        name, value = "timestamp", timestamp
    elif offset is not None and offset != "":
        name, value = "offset", offset
    else:
        return now, None
    try:
        if name == "timestamp":
            moment = parse_time(value)
            if clock.skew is not None and not ignore_sent_at:
                moment += clock.skew
        else:
            moment = now - timedelta(milliseconds=_milliseconds(value))
    except OverflowError:
        return now, _ignored(name, value, "year out of range")
    except ValueError as error:
        return now, _ignored(name, value, str(error))
    if moment < _EARLIEST:
        return now, _ignored(name, value, _TOO_EARLY)
    if moment - now > MAX_AHEAD:
        details = {
            "timestamp": timestamp,
            "sentAt": clock.sent_at_text,
            "offset": offset,
            "now": iso_milliseconds(now),
            "result": iso_milliseconds(moment),
        }
        return now, Problem("event_timestamp_in_future", details)
    return moment, None


def _milliseconds(value: Any) -> float:  # noqa: ANN401
    if isinstance(value, str) and _MILLISECONDS.match(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    message = "not a number of milliseconds"
    raise ValueError(message)


def _ignored(name: str, value: Any, reason: str) -> Problem:  # noqa: ANN401
    return Problem("ignored_invalid_timestamp", {"field": name, "value": value, "reason": reason})
