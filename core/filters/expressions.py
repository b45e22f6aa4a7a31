"""Postgres expressions for the forms of `events.filters.values`: texts, numbers, moments, versions.

Each takes and gives SQL; `v` is a column of type jsonb, null where the key is missing. Nothing here can raise
for any stored value: every cast stands behind a test in a CASE.
"""
# ruff: noqa: S608 made of constants

from typing import Final

from events.filters.dates import DAY, DAY_PATTERN, MILLISECONDS_PATTERN, SECOND, SECONDS_PATTERN, TIME_PATTERN
from events.filters.values import LONGEST_NUMBER, MAX_NESTING, NUMBER_PATTERN
from events.filters.versions import (
    LONGEST_VERSION,
    NUMERIC,
    PART_DIGITS,
    PRE_RELEASE,
    RELEASE,
    SEPARATOR,
    VERSION_PATTERN,
    WORD,
)

_STRING: Final = "(v #>> '{}')"
_PLAIN: Final = "trim_scale(v::numeric)::text"
_STRING_IS_NUMBER: Final = f"length({_STRING}) <= {LONGEST_NUMBER} AND {_STRING} ~ '{NUMBER_PATTERN}'"
_FORM: Final = f"CASE WHEN {_STRING_IS_NUMBER} THEN trim_scale({_STRING}::numeric)::text ELSE {_STRING} END"

# Outside of strings: no spaces, and no zeros at the end of a fraction.
_COMPACT: Final = r"""regexp_replace(v::text, '("(?:[^"\\]|\\.)*")| ', '\1', 'g')"""
_TRIMMED: Final = (
    f"regexp_replace({_COMPACT}, "
    r"""'("(?:[^"\\]|\\.)*")|(\.[0-9]*[1-9])0+(?![0-9])|\.0+(?![0-9])', '\1\2', 'g')"""
)
_TOO_DEEP: Final = (
    f"""jsonb_path_exists(v, 'strict $.**{{{MAX_NESTING}}} ? (@.type() == "object" || @.type() == "array")')"""
)
_DOCUMENT: Final = f"CASE WHEN NOT {_TOO_DEEP} THEN {_TRIMMED} END"

TEXT: Final = (
    f"CASE jsonb_typeof(v) WHEN 'string' THEN {_STRING} WHEN 'number' THEN {_PLAIN} "
    f"WHEN 'boolean' THEN {_STRING} WHEN 'null' THEN NULL ELSE {_DOCUMENT} END"
)
COMPARISON_FORM: Final = (
    f"CASE jsonb_typeof(v) WHEN 'string' THEN {_FORM} WHEN 'number' THEN {_PLAIN} "
    f"WHEN 'boolean' THEN {_STRING} WHEN 'null' THEN NULL ELSE {_DOCUMENT} END"
)
NUMBER: Final = (
    "CASE jsonb_typeof(v) WHEN 'number' THEN v::numeric "
    f"WHEN 'string' THEN CASE WHEN {_STRING_IS_NUMBER} THEN {_STRING}::numeric END END"
)
_SCALAR_FORM: Final = f"CASE jsonb_typeof(v) WHEN 'string' THEN {_FORM} WHEN 'number' THEN {_PLAIN} END"
_SCALAR_TEXT: Final = f"CASE jsonb_typeof(v) WHEN 'string' THEN {_STRING} WHEN 'number' THEN {_PLAIN} END"

_TIME: Final = (
    "SELECT (((g[1]::bigint * 60 + g[2]::bigint"
    " - CASE g[5] WHEN '-' THEN -1 ELSE 1 END * (coalesce(g[6], '0')::bigint * 60 + coalesce(g[7], '0')::bigint)) * 60"
    f" + coalesce(g[3], '0')::bigint) * {SECOND} + rpad(left(coalesce(g[4], ''), 6), 6, '0')::bigint)"
    f" FROM regexp_match(substr(d, 11), '{TIME_PATTERN}') AS found(g)"
)
# As a scalar subquery, so that the form is made once.
MOMENT: Final = (
    f"(SELECT CASE WHEN d ~ '{DAY_PATTERN}' THEN"
    " CASE WHEN pg_input_is_valid(left(d, 10), 'date') THEN"
    f" (left(d, 10)::date - date '1970-01-01')::bigint * {DAY} + coalesce(({_TIME}), 0) END"
    f" WHEN d ~ '{SECONDS_PATTERN}' THEN"
    f" left(d, 10)::bigint * {SECOND} + rpad(left(substr(d, 12), 6), 6, '0')::bigint"
    f" WHEN d ~ '{MILLISECONDS_PATTERN}' THEN d::bigint * 1000 END"
    f" FROM (SELECT {_SCALAR_FORM} AS d OFFSET 0) AS scalar)"
)
_NUMBERS: Final = " || ".join(f"lpad(coalesce(g[{index}], ''), {PART_DIGITS}, '0')" for index in (1, 2, 3))
_IDENTIFIERS: Final = (
    f"(SELECT string_agg(CASE WHEN i ~ '^[0-9]+$' THEN '{NUMERIC}' || lpad(i, {LONGEST_VERSION}, '0')"
    f" ELSE '{WORD}' || i END, '{SEPARATOR}' ORDER BY position)"
    " FROM unnest(string_to_array(g[4], '.')) WITH ORDINALITY AS identifiers(i, position))"
)
VERSION: Final = (
    f"(SELECT {_NUMBERS} || CASE WHEN g[4] IS NULL THEN '{RELEASE}' ELSE '{PRE_RELEASE}' || {_IDENTIFIERS} END"
    f" FROM (SELECT {_SCALAR_TEXT} AS w OFFSET 0) AS scalar, regexp_match(w, '{VERSION_PATTERN}') AS found(g)"
    f" WHERE length(w) <= {LONGEST_VERSION} AND g IS NOT NULL)"
)


def lower(text: str) -> str:
    """Return a text in lower case, each character by itself and whatever the database's locale is."""
    return f'lower({text} COLLATE "pg_c_utf8")'
