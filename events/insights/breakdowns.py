"""The values that a trend's events are broken down by: properties of events and of what they belong to, bins."""
# ruff: noqa: S608 values are bound

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from events.filters.forms import comparison_form, literal, text_form
from events.filters.row_expressions import RowExpression
from events.filters.sessions import text_of
from events.filters.values import LONGEST_NUMBER, NUMBER_PATTERN
from events.insights.source import Source

type Place = Literal["event", "person", "group", "session"]

MISSING: Final = "$$_posthog_breakdown_null_$$"
"""The value of events without one: the property is missing, null or the empty text."""
OTHER: Final = "$$_posthog_breakdown_other_$$"
"""The value, in every place, of events outside the most frequent ones."""

_PERSONS: Final = """
    LEFT ANY JOIN (SELECT id{listed} FROM persons FINAL WHERE team_id = {{team_id:Int64}} AND NOT is_deleted)
    AS p ON p.id = v.by_person"""
_GROUPS: Final = """
    LEFT ANY JOIN (
        SELECT group_key{listed} FROM `groups` FINAL
        WHERE team_id = {{team_id:Int64}} AND group_type_index = {index} AND group_key != ''
    ) AS g{index} ON g{index}.group_key = v.by_group{index}"""
_SESSIONS: Final = (
    "\n    LEFT ANY JOIN (SELECT session_id{listed} FROM {rows} AS c) AS s ON s.session_id = v.by_session"
)


@dataclass(frozen=True, slots=True)
class Bins:
    """Numbers from each low end up to but without the high end count as the bin's name."""

    names: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Dimension:
    """One property. With `bins` its numbers are put into them; `normalize_url` cuts `/`, `?` and `#` off the end.

    With `expression`, it is the value of that on the event, and `key` its text. `numeric` makes it a number, or null;
    only `number_ends` sets it.
    """

    place: Place
    key: str
    group_type_index: int | None = None
    normalize_url: bool = False
    bins: Bins | None = None
    numeric: bool = False
    expression: RowExpression | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """What a series is broken down by: an event's value is an array with a text for each dimension.

    Of all values the `limit` with most events stay, and MISSING where there is one dimension; the others are OTHER.
    """

    dimensions: tuple[Dimension, ...]
    limit: int = 25


def columns_of(values: Values, source: Source) -> dict[str, str]:
    """Return what `Source.select` must give so that `valued` can tell the values."""
    found: dict[str, str] = {}
    for number, one in enumerate(values.dimensions):
        match one.place:
            case "event":
                found[f"own{number}"] = _own(one, "e.properties", source, column="e.distinct_id")
            case "person":
                found["by_person"] = source.person_id
            case "group":
                found[f"by_group{one.group_type_index}"] = f"e.`$group_{one.group_type_index}`"
            case "session":
                found["by_session"] = "e.`$session_id`"
    return found


def valued(values: Values, source: Source, events: str, kept: Sequence[str]) -> str:
    """Return a SELECT of `kept` and `value` over a SELECT of events with `columns_of`."""
    names = ", ".join(kept)
    own = own_values(values, source, events, kept)
    single = len(values.dimensions) == 1
    nothing = f"own = [{literal(MISSING)}]"
    frequent = (
        f"SELECT own FROM ({own}){f' WHERE NOT ({nothing})' if single else ''}"
        f" GROUP BY own ORDER BY count() DESC, own LIMIT {source.statement.bind(values.limit)}"
    )
    stays = f"own IN ({frequent}){f' OR {nothing}' if single else ''}"
    others = f"arrayMap(o -> {literal(OTHER)}, own)"
    return f"SELECT {names}, if({stays}, own, {others}) AS value FROM ({own})"


def own_values(values: Values, source: Source, events: str, kept: Sequence[str]) -> str:
    """Return a SELECT of `kept` and `own`, the value before any is OTHER, over a SELECT of events with `columns_of`."""
    given = ", ".join(_text(one, number) for number, one in enumerate(values.dimensions))
    return f"SELECT {', '.join(kept)}, [{given}] AS own FROM ({events}) AS v{_joins(values, source)}"


def frequent_values(values: Values, source: Source, events: str) -> list[tuple[str, ...]]:
    """Return the values that stay, those with most events first."""
    given = ", ".join(_text(one, number) for number, one in enumerate(values.dimensions))
    own = f"SELECT [{given}] AS own FROM ({events}) AS v{_joins(values, source)}"
    where = f" WHERE own != [{literal(MISSING)}]" if len(values.dimensions) == 1 else ""
    limit = source.statement.bind(values.limit)
    rows = source.statement.rows(
        f"SELECT own FROM ({own}){where} GROUP BY own ORDER BY count() DESC, own LIMIT {limit}"
    )
    return [tuple(own) for (own,) in rows]


def number_ends(dimension: Dimension, count: int, source: Source, events: str) -> list[float]:
    """Return the ends of `count` bins with about as many events each, rising and different; none without a number.

    `dimension` is `numeric`, and so are the `columns_of` it that `events` has.
    """
    one = Values((dimension,))
    shares = ", ".join(str(step / count) for step in range(count + 1))
    (found,) = source.statement.rows(
        f"SELECT if(count(n) = 0, [], quantilesExactInclusive({shares})(assumeNotNull(n)))"
        f" FROM (SELECT {_column(dimension, 0)} AS n FROM ({events}) AS v{_joins(one, source)} WHERE isNotNull(n))"
    )
    return sorted(set(found[0]))


def number_of(properties: str, key: str) -> str:
    """Return a property's value as a Nullable(Float64): a number, or text of one; null for everything else."""
    return _number(f"JSONExtractString({properties}, {key})")


def _number(text: str) -> str:
    is_number = f"length({text}) <= {LONGEST_NUMBER} AND match({text}, {literal(NUMBER_PATTERN)})"
    return f"if({is_number} AND isFinite(toFloat64OrZero({text})), toFloat64OrNull({text}), NULL)"


def _own(one: Dimension, properties: str, source: Source, *, column: str = "") -> str:
    """Return the value under a key: a number where bins are made of it, else a text that is '' where there is none."""
    bind = source.statement.bind
    if one.numeric:
        return _own_number(one, properties, source)
    if one.bins is not None:
        bins = ", ".join(bind(list(ends), "Array(Float64)") for ends in (one.bins.lows, one.bins.highs))
        names = bind(list(one.bins.names), "Array(String)")
        within = f"arrayFirstIndex((l, h) -> n >= l AND n < h, {bins})"
        name = f"if(isNull(n), '', {names}[{within}])"
        return f"arrayMap(n -> assumeNotNull({name}), [{_own_number(one, properties, source)}])[1]"
    if (word := _word(one, source)) is not None:
        return f"arrayMap(t -> {text_form('t')}, [{word}])[1]"
    if one.key == "distinct_id" and column:
        return column
    return f"ifNull({comparison_form(f'JSONExtractRaw({properties}, {bind(one.key)})', documents=False)}, '')"


def _own_number(one: Dimension, properties: str, source: Source) -> str:
    if (word := _word(one, source)) is not None:
        return f"arrayMap(t -> {_number('t')}, [{word}])[1]"
    return number_of(properties, source.statement.bind(one.key))


def _word(one: Dimension, source: Source) -> str | None:
    """Return the value as text where it is not under a key of JSON."""
    if one.expression is not None:
        return source.word(one.expression)
    return text_of(f"c.`{one.key}`") if one.place == "session" else None


def _text(one: Dimension, number: int) -> str:
    own = _column(one, number)
    if one.normalize_url:
        cut = f"replaceRegexpOne({own}, '[/?#]+$', '')"
        own = f"if({own} != '' AND {cut} = '', '/', {cut})"
    return f"if({own} = '', {literal(MISSING)}, {own})"


def _column(one: Dimension, number: int) -> str:
    return f"{_table(one)}.own{number}"


def _table(one: Dimension) -> str:
    return {"event": "v", "person": "p", "group": f"g{one.group_type_index}", "session": "s"}[one.place]


def _joins(values: Values, source: Source) -> str:
    listed: dict[str, list[str]] = {}
    of_groups: Mapping[str, int | None] = {
        f"g{one.group_type_index}": one.group_type_index for one in values.dimensions if one.place == "group"
    }
    for number, one in enumerate(values.dimensions):
        if one.place != "event":
            listed.setdefault(_table(one), []).append(f", {_own(one, 'properties', source)} AS own{number}")
    joins = []
    for table, columns in listed.items():
        if table == "p":
            joins.append(_PERSONS.format(listed="".join(columns)))
        elif table == "s":
            keys = dict.fromkeys(one.key for one in values.dimensions if one.place == "session")
            joins.append(_SESSIONS.format(listed="".join(columns), rows=source.sessions(keys)))
        else:
            joins.append(_GROUPS.format(listed="".join(columns), index=of_groups[table]))
    return "".join(joins)
