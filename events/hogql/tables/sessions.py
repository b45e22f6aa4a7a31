"""Sessions, put together from the events of each `$session_id` whenever they are asked for."""

from collections.abc import Callable, Mapping
from typing import Final

from events.hogql.tables.channels import channel_type
from events.hogql.tables.table import Field, Member, Row, Table, Write, column, same, written
from events.hogql.types import BOOLEAN, DATETIME, FLOAT, INTEGER, STRING, Type

_URLS: Final = Type("Array", items=(STRING,))
_START: Final = "min(<e>.timestamp)"
_END: Final = "max(<e>.timestamp)"
_DURATION: Final = f"dateDiff('second', {_START}, {_END})"
_PAGEVIEWS: Final = "countIf(<e>.event = '$pageview')"
_SCREENS: Final = "countIf(<e>.event = '$screen')"
_AUTOCAPTURES: Final = "countIf(<e>.event = '$autocapture')"
# Seconds from which on a session with one page is none that bounced.
_BOUNCE_SECONDS: Final = 10
_UTM: Final = ("source", "campaign", "medium", "term", "content")
_CLICK_IDS: Final = (
    "gclid", "gad_source", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "twclid", "li_fat_id", "mc_cid",
    "igshid", "ttclid", "_kx", "irclid",
)  # fmt: skip


def _at_end(aggregate: str, value: str) -> str:
    """Return the value of the first (`argMin`) or last event that has one; NULL without any."""
    return f"nullIf({aggregate}If({value}, <e>.timestamp, {value} != ''), '')"


def _property(key: str) -> str:
    return f"JSONExtractString(<e>.properties, '{key}')"


_ENTRY_URL: Final = _at_end("argMin", "<e>.`$current_url`")
_EXIT_URL: Final = _at_end("argMax", "<e>.`$current_url`")


def _first(key: str) -> str:
    return _at_end("argMin", _property(key))


def _field(kind: Type, write: str | Write, description: str, *, hidden: bool = False) -> Field:
    found: Callable[[Row], str] = written(write) if isinstance(write, str) else write
    return Field(type=kind, write=found, description=description, hidden=hidden)


_TEXT: Final = STRING.or_null()
_MEMBERS: Final[Mapping[str, Member]] = {
    "session_id": _field(STRING, column("$session_id"), "The session's id."),
    "id": _field(STRING, column("$session_id"), "The same as session_id.", hidden=True),
    "session_id_v7": _field(
        INTEGER.or_null(),
        "toUInt128(toUUIDOrNull(<e>.`$session_id`))",
        "The session's id as a number, NULL if it is no UUID.",
        hidden=True,
    ),
    "team_id": _field(INTEGER, "any(<e>.team_id)", "The project.", hidden=True),
    "distinct_id": _field(STRING, "argMax(<e>.distinct_id, <e>.timestamp)", "The distinct id of the last event."),
    "$start_timestamp": _field(DATETIME, _START, "When the first event happened."),
    "$end_timestamp": _field(DATETIME, _END, "When the last event happened."),
    "max_inserted_at": _field(DATETIME, "max(<e>.inserted_at)", "When an event was last stored."),
    "$urls": _field(_URLS, "groupUniqArrayIf(<e>.`$current_url`, <e>.`$current_url` != '')", "The URLs seen."),
    "$num_uniq_urls": _field(
        INTEGER, "uniqExactIf(<e>.`$current_url`, <e>.`$current_url` != '')", "How many different URLs were seen."
    ),
    "$entry_current_url": _field(_TEXT, _ENTRY_URL, "The first URL."),
    "$entry_pathname": _field(_TEXT, f"path({_ENTRY_URL})", "The path of the first URL."),
    "$entry_hostname": _field(_TEXT, f"domain({_ENTRY_URL})", "The host of the first URL."),
    "$end_current_url": _field(_TEXT, _EXIT_URL, "The last URL."),
    "$end_pathname": _field(_TEXT, f"path({_EXIT_URL})", "The path of the last URL."),
    "$end_hostname": _field(_TEXT, f"domain({_EXIT_URL})", "The host of the last URL."),
    "$exit_current_url": _field(_TEXT, _EXIT_URL, "The same as $end_current_url.", hidden=True),
    "$exit_pathname": _field(_TEXT, f"path({_EXIT_URL})", "The same as $end_pathname.", hidden=True),
    "$entry_referring_domain": _field(
        _TEXT, _first("$referring_domain"), "The first referring domain; `$direct` for none."
    ),
    "$entry_referrer": _field(_TEXT, _first("$referrer"), "The first referrer; `$direct` for none."),
    **{f"$entry_utm_{name}": _field(_TEXT, _first(f"utm_{name}"), f"The first utm_{name}.") for name in _UTM},
    **{f"$entry_{name}": _field(_TEXT, _first(name), f"The first {name}.") for name in _CLICK_IDS},
    "$pageview_count": _field(INTEGER, _PAGEVIEWS, "How many `$pageview` events there are."),
    "$autocapture_count": _field(INTEGER, _AUTOCAPTURES, "How many `$autocapture` events there are."),
    "$screen_count": _field(INTEGER, _SCREENS, "How many `$screen` events there are."),
    "$channel_type": _field(
        STRING, channel_type(_first), "The channel that the visitor came by, such as `Organic Search`."
    ),
    "$session_duration": _field(INTEGER, _DURATION, "Seconds from the first event to the last."),
    "duration": _field(INTEGER, _DURATION, "The same as $session_duration.", hidden=True),
    "$is_bounce": _field(
        BOOLEAN.or_null(),
        f"if({_PAGEVIEWS} + {_SCREENS} = 0, NULL, toBool({_PAGEVIEWS} + {_SCREENS} + {_AUTOCAPTURES} <= 1"
        f" AND {_DURATION} < {_BOUNCE_SECONDS}))",
        f"Whether nothing followed one page or screen, within {_BOUNCE_SECONDS} seconds; NULL without either.",
    ),
    "$last_external_click_url": _field(
        _TEXT, _at_end("argMax", _property("$external_click_url")), "The last link to another site that was clicked."
    ),
    "$vitals_lcp": _field(
        FLOAT.or_null(),
        "argMin(JSONExtract(<e>.properties, '$web_vitals_LCP_value', 'Nullable(Float64)'), <e>.timestamp)",
        "The first Largest Contentful Paint, in milliseconds.",
    ),
}


def _sessions(name: str, description: str, *, listed: bool) -> Table:
    return Table(
        name=name,
        clickhouse="events",
        description=description,
        of=same(_MEMBERS),
        guard=written("<e>.`$session_id` != ''"),
        group_by=column("$session_id"),
        time=column("timestamp"),
        listed=listed,
    )


SESSIONS: Final = _sessions("sessions", "Sessions: one row for each `$session_id` of events.", listed=True)
RAW_SESSIONS: Final = _sessions("raw_sessions", "The same as sessions: there is no other table of them.", listed=False)
