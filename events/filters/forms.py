"""ClickHouse expressions for the forms of `events.filters.values`: texts, plain numbers, moments, versions.

Each function takes and gives SQL. A value is JSON text as JSONExtractRaw gives it, '' where there is none.
Lambdas over one-element arrays name what is used more than once.
"""

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


def literal(text: str) -> str:
    """Return a constant of this package as a ClickHouse string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_IS_NUMBER: Final = f"match({{0}}, {literal(NUMBER_PATTERN)})"
# Digits without the point, then the point where the exponent puts it, then no zeros that say nothing.
_EXPANDED: Final = (
    "arrayMap((ds, pt) -> multiIf("
    "pt <= 0, concat('0.', repeat('0', -pt), ds), "
    "pt >= length(ds), concat(ds, repeat('0', pt - length(ds))), "
    "concat(substring(ds, 1, pt), '.', substring(ds, pt + 1))), "
    "[replaceOne(extract(x, '[0-9.]+'), '.', '')], "
    "[toInt32(length(extract(x, '[0-9]+'))) + toInt32OrZero(extract(x, '[eE](.*)'))])[1]"
)
_TRIMMED: Final = (
    "arrayMap(y -> replaceRegexpOne(if(position(y, '.') > 0, replaceRegexpOne(y, '\\\\.?0+$', ''), y), "
    f"'^0+([0-9])', '\\\\1'), [{_EXPANDED}])[1]"
)
_PLAIN: Final = f"arrayMap(z -> if(startsWith(x, '-') AND z != '0', concat('-', z), z), [{_TRIMMED}])[1]"


def plain_number(text: str) -> str:
    """Return the plain decimals of a text that is a number."""
    return f"arrayMap(x -> if(match(x, '[.eE]') OR x = '-0', {_PLAIN}, x), [{text}])[1]"


def text(raw: str) -> str:
    """Return a value's text, or null."""
    return f"multiIf(startsWith({raw}, '\"'), JSONExtractString({raw}), {raw} IN ('', 'null'), NULL, {document(raw)})"


def comparison_form(raw: str, *, documents: bool) -> str:
    """Return a value's comparison form, or null; without `documents` arrays and objects may have any form."""
    form = _form(f"JSONExtractString({raw})")
    other = document(raw) if documents else f"if({_numeric(raw)}, {plain_number(raw)}, {raw})"
    return f"multiIf(startsWith({raw}, '\"'), {form}, {raw} IN ('', 'null'), NULL, {other})"


def text_form(string: str) -> str:
    """Return the comparison form of a text."""
    return _form(string)


def number(raw: str) -> str:
    """Return the plain decimals of a value that is a number or a text that is one, else ''."""
    string = f"JSONExtractString({raw})"
    return (
        f"multiIf({_numeric(raw)}, {plain_number(raw)}, "
        f"startsWith({raw}, '\"') AND {_number_text(string)}, {plain_number(string)}, '')"
    )


def scalar_form(raw: str) -> str:
    """Return the comparison form of a value that is a text or a number, else ''."""
    form = _form(f"JSONExtractString({raw})")
    return f"multiIf({_numeric(raw)}, {plain_number(raw)}, startsWith({raw}, '\"'), {form}, '')"


def scalar_text(raw: str) -> str:
    """Return the text of a value that is a text or a number, else ''."""
    return f"multiIf({_numeric(raw)}, {plain_number(raw)}, startsWith({raw}, '\"'), JSONExtractString({raw}), '')"


def micros(form: str) -> str:
    """Return the moment of a scalar form in microseconds since 1970, or null."""
    time = (
        "arrayMap(g -> if(empty(g), 0, "
        "((toInt64OrZero(g[1]) * 60 + toInt64OrZero(g[2])"
        " - if(g[5] = '-', -1, 1) * (toInt64OrZero(g[6]) * 60 + toInt64OrZero(g[7]))) * 60"
        f" + toInt64OrZero(g[3])) * {SECOND} + toInt64OrZero(substring(concat(g[4], '000000'), 1, 6))), "
        f"[extractGroups(substring(d, 11), {literal(TIME_PATTERN)})])[1]"
    )
    day = "toDate32OrNull(substring(d, 1, 10))"
    fraction = "toInt64OrZero(substring(concat(substring(d, 12), '000000'), 1, 6))"
    seconds = f"toInt64OrZero(substring(d, 1, 10)) * {SECOND} + {fraction}"
    return (
        f"arrayMap(d -> multiIf(match(d, {literal(DAY_PATTERN)}), "
        # ClickHouse takes the 30th of February for the 1st of March.
        f"if(toString({day}) = substring(d, 1, 10), toInt64({day}) * {DAY} + {time}, NULL), "
        f"match(d, {literal(SECONDS_PATTERN)}), {seconds}, "
        f"match(d, {literal(MILLISECONDS_PATTERN)}), toInt64OrZero(d) * 1000, NULL), [{form}])[1]"
    )


def version(scalar: str) -> str:
    """Return the sortable form of a scalar text that is a version, else ''."""
    numbers = ", ".join(f"leftPad(g[{index}], {PART_DIGITS}, '0')" for index in (1, 2, 3))
    identifier = (
        f"if(match(i, '^[0-9]+$'), concat('{NUMERIC}', leftPad(i, {LONGEST_VERSION}, '0')), concat('{WORD}', i))"
    )
    pre_release = (
        f"concat('{PRE_RELEASE}', "
        f"arrayStringConcat(arrayMap(i -> {identifier}, splitByChar('.', g[4])), '{SEPARATOR}'))"
    )
    return (
        f"arrayMap(w -> arrayMap(g -> if(empty(g) OR length(w) > {LONGEST_VERSION}, '', "
        f"concat({numbers}, if(g[4] = '', '{RELEASE}', {pre_release}))), "
        f"[extractGroups(w, {literal(VERSION_PATTERN)})])[1], [{scalar}])[1]"
    )


def lower(value: str) -> str:
    """Return a text in lower case, each character by itself."""
    return f"lowerUTF8(replaceAll(replaceAll({value}, '\u03a3', '\u03c3'), '\u0130', 'i'))"


_SHORT_ESCAPES: Final = "".join(f"c = '\\{letter}', '\\\\{letter}', " for letter in "btnfr")
_ESCAPED_BYTE: Final = (
    f"multiIf(c IN ('\"', '\\\\'), concat('\\\\', c), {_SHORT_ESCAPES}c < ' ', concat('\\\\u00', lower(hex(c))), c)"
)
_JSON_STRING: Final = (
    f"arrayMap(s -> concat('\"', if(match(s, '[\\\\x01-\\\\x1f\"\\\\\\\\]'), "
    f"arrayStringConcat(arrayMap(c -> {_ESCAPED_BYTE}, splitByString('', s))), s), '\"'), [JSONExtractString(j)])[1]"
)
_TOKEN: Final = literal(r'"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*|[^-"0-9]+')
_IN_ORDER: Final = "arraySort(kv -> (length(kv.1), kv.1), JSONExtractKeysAndValuesRaw({0}))"


def document(raw: str) -> str:
    """Return the canonical text of a value that is no string and not null; null when it is nested too deeply."""
    tokens = f"extractAll({_ordered(raw, MAX_NESTING)}, {_TOKEN})"
    written = f"multiIf(startsWith(j, '\"'), {_JSON_STRING}, {_numeric('j')}, {plain_number('j')}, j)"
    # No text of Postgres has a NUL, so it can mark what is too deep.
    text = f"arrayStringConcat(arrayMap(j -> {written}, {tokens}))"
    return f"arrayMap(o -> if(position(o, '\\0') > 0, NULL, o), [{text}])[1]"


def _ordered(raw: str, levels: int) -> str:
    """Return JSON text with the members of objects in order."""
    name, member = f"v{levels}", f"m{levels}"
    if levels == 0:
        return f"if({_nested(raw)}, '\\0', {raw})"
    inner = _ordered(f"{member}.2", levels - 1)
    members = (
        f"if(startsWith({name}, '{{'), "
        f"arrayMap(kv -> (concat(toJSONString(kv.1), ':'), kv.2), {_IN_ORDER.replace('{0}', name)}), "
        f"arrayMap(a -> ('', a), JSONExtractArrayRaw({name})))"
    )
    nested = (
        f"concat(substring({name}, 1, 1), "
        f"arrayStringConcat(arrayMap({member} -> concat({member}.1, {inner}), {members})"
        f", ','), if(startsWith({name}, '{{'), '}}', ']'))"
    )
    return f"arrayMap({name} -> if({_nested(name)}, {nested}, {name}), [{raw}])[1]"


def _numeric(raw: str) -> str:
    return f"match({raw}, '^[-0-9]')"


def _nested(raw: str) -> str:
    return f"(startsWith({raw}, '[') OR startsWith({raw}, '{{'))"


def _number_text(string: str) -> str:
    return f"length({string}) <= {LONGEST_NUMBER} AND {_IS_NUMBER.replace('{0}', string)}"


def _form(string: str) -> str:
    return f"if({_number_text(string)}, {plain_number(string)}, {string})"
