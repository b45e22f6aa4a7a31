"""Functions of text, JSON and arrays that are more than a name."""

import re
from typing import Final, cast

from events.hogql.functions.definition import Argument, Call, Special, called
from events.hogql.functions.returns import common
from events.hogql.types import STRING, UNKNOWN, Kind, Type

# What arrayReduce may be told to do: nothing that keeps states, nothing that is not on the list of aggregations itself.
REDUCERS: Final = frozenset({
    "any", "anyLast", "argMax", "argMin", "avg", "avgMap", "avgWeighted", "corr", "count", "countMap", "covarPop",
    "covarSamp", "entropy", "groupArray", "groupUniqArray", "max", "maxMap", "median", "min", "minMap", "quantile",
    "stddevPop", "stddevSamp", "sum", "sumMap", "topK", "uniq", "uniqExact", "uniqMap", "varPop", "varSamp",
})  # fmt: skip
_REDUCED: Final = re.compile(r"([A-Za-z]+)(\((?:\d+(?:\.\d+)?)(?:, ?\d+(?:\.\d+)?)*\))?")

# The types that JSON may be read as. None of them reads anything or holds the state of an aggregation.
_TYPE_NAMES: Final = {
    "Bool": "Boolean", "String": "String", "UUID": "UUID", "Date": "Date", "Date32": "Date", "DateTime": "DateTime",
    "DateTime64": "DateTime", "Float32": "Float", "Float64": "Float", "Decimal": "Decimal", "Array": "Array",
    "Tuple": "Tuple", "Map": "Map", "Nullable": "", "LowCardinality": "",
    **{f"{sign}Int{bits}": "Integer" for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)},
}  # fmt: skip
_MEMBERS: Final = {
    "Array": (1, 1),
    "Map": (2, 2),
    "Tuple": (1, 100),
    "Nullable": (1, 1),
    "LowCardinality": (1, 1),
}
_TYPE_TOKEN: Final = re.compile(r"\s*([A-Za-z]\w*|\d+|'[\w/+-]*'|[(),])")
_MOST_TYPE_TOKENS: Final = 200

# These take time with the square of the length, and ClickHouse looks at the clock between blocks of rows only.
_LONGEST: Final = {
    "base58Encode": 1000,
    "base58Decode": 1000,
    "tryBase58Decode": 1000,
    "editDistance": 1000,
    "jaroSimilarity": 1000,
    "jaroWinklerSimilarity": 1000,
    "URLHierarchy": 8192,
    "URLPathHierarchy": 8192,
}
_WITHOUT_NULL: Final = frozenset({"Array", "Tuple", "Map"})
_SEMVER: Final = r"^\\s*v?((0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*))(?:[-+][^\\s]*)?\\s*$"  # fmt: skip


def text(argument: Argument) -> str:
    """Return the SQL of an argument as text that is never NULL."""
    sql = argument.sql if argument.type.kind == "String" else f"toString({argument.sql})"
    return f"ifNull({sql}, '')" if argument.type.nullable else sql


def _concat(call: Call) -> str:
    return f"concat({', '.join(text(argument) for argument in call.arguments)})"


def _short(name: str) -> Special:
    """A function of text of which only the beginning is read."""
    longest = _LONGEST[name]

    def write(call: Call) -> str:
        return called(name, [f"substring({sql}, 1, {longest})" for sql in call.sqls()], call)

    return Special(write)


def _semver(call: Call) -> str:
    found = f"extract({text(call.arguments[0])}, '{_SEMVER}')"
    return f"arrayMap(part -> toInt64OrNull(part), splitByChar('.', ifNull(nullIf({found}, ''), '_')))"


def _reduce(call: Call) -> str:
    value = call.arguments[0].value
    found = _REDUCED.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1] not in REDUCERS:
        msg = f"Function '{call.name}' cannot be used with the aggregation {value!r}"
        raise call.mistake(msg)
    return called("arrayReduce", [f"'{value}'", *call.sqls()[1:]], call)


def _reduced_type(call: Call) -> Type:
    name = str(call.arguments[0].value).partition("(")[0]
    if name in ("count", "uniq", "uniqExact"):
        return Type("Integer")
    return UNKNOWN


def _fold(call: Call) -> str:
    """ClickHouse wants the lambda to return the very type that the constant has: 0 has 8 bits, a sum has more."""
    *others, start = call.arguments
    wide = f"toInt64({start.sql})" if start.type.constant and start.type.kind == "Integer" else start.sql
    return called("arrayFold", [*(argument.sql for argument in others), wide], call)


def _shift(clickhouse: str) -> Special:
    """The value of another row, NULL where there is no such row: of a type without NULL it would be 0 or ''."""

    def write(call: Call) -> str:
        shifted, *others = call.arguments
        sql = shifted.sql if shifted.type.kind in _WITHOUT_NULL else f"toNullable({shifted.sql})"
        return called(clickhouse, [sql, *(argument.sql for argument in others)], call)

    def returned(call: Call) -> Type:
        shifted, *others = (argument.type for argument in call.arguments)
        found = common([shifted, others[1]]) if len(others) > 1 else shifted
        return found if found.kind in _WITHOUT_NULL else found.or_null()

    return Special(write, returned)


def _element(call: Call) -> Type:
    given, place = call.arguments[0].type, call.arguments[1].value
    if given.kind == "Tuple" and isinstance(place, int) and 0 < place <= len(given.items):
        return given.items[place - 1]
    return UNKNOWN


def _extract(call: Call) -> str:
    json, *others = call.arguments
    wanted = _named_type(call, others[-1]).kind
    kind: Kind = "Array" if call.name == _PAIRS else wanted
    return called(_CLICKHOUSE[call.name], [_document(json, kind), *(argument.sql for argument in others)], call)


def _document(json: Argument, kind: Kind) -> str:
    """Return the JSON to read: an array, tuple or map cannot be NULL, so it is empty where there is no JSON."""
    return f"ifNull({json.sql}, '')" if json.type.nullable and kind in _WITHOUT_NULL else json.sql


def _array_of_json(name: str) -> Special:
    def write(call: Call) -> str:
        json, *others = call.arguments
        return called(name, [_document(json, "Array"), *(argument.sql for argument in others)], call)

    return Special(write)


def _extracted_type(call: Call) -> Type:
    found = _named_type(call, call.arguments[-1])
    nullable = any(argument.type.nullable for argument in call.arguments)
    return found.or_null() if nullable and found.kind not in ("Array", "Tuple", "Map") else found


def _pairs_type(call: Call) -> Type:
    return Type("Array", items=(Type("Tuple", items=(STRING, _named_type(call, call.arguments[-1]))),))


_ARRAYS_OF_JSON: Final = ("JSONExtractArrayRaw", "JSONExtractKeys", "JSONExtractKeysAndValuesRaw")
_PAIRS: Final = "JSONExtractKeysAndValues"
_CLICKHOUSE: Final = {name: name for name in ("JSONExtract", _PAIRS)}


def _named_type(call: Call, argument: Argument) -> Type:
    """Read the name of a type that a caller wrote; anything but plain types of values is a mistake."""
    mistake = call.mistake(f"The last argument of function '{call.name}' must name a type, such as 'String'")
    if not argument.type.constant or not isinstance(argument.value, str):
        raise mistake
    tokens = _TYPE_TOKEN.findall(argument.value)
    if not tokens or len(tokens) > _MOST_TYPE_TOKENS or _TYPE_TOKEN.sub("", argument.value).strip():
        raise mistake
    if any(token[0].isalpha() and token not in _TYPE_NAMES for token in tokens):
        raise mistake
    try:
        found, rest = _read(tokens)
    except ValueError:
        raise mistake from None
    if rest or found is None:
        raise mistake
    return found


def _read(tokens: list[str]) -> tuple[Type | None, list[str]]:
    """Read one type; None is what is no type but an argument of one, such as a precision."""
    if not tokens or tokens[0] in "(),":
        raise ValueError("no type")
    head, rest = tokens[0], tokens[1:]
    members: list[Type] = []
    if rest[:1] == ["("]:
        rest = [",", *rest[1:]]
        while rest[:1] == [","]:
            member, rest = _read(rest[1:])
            members.extend([member] if member else [])
        if rest[:1] != [")"]:
            raise ValueError("not closed")
        rest = rest[1:]
    if head not in _TYPE_NAMES:
        return None, rest
    least, most = _MEMBERS.get(head, (0, 0))
    if not least <= len(members) <= most:
        raise ValueError("members")
    if kind := _TYPE_NAMES[head]:
        return Type(cast("Kind", kind), items=tuple(members)), rest
    return members[0].or_null() if head == "Nullable" else members[0], rest


SPECIAL: Final = {
    "concat": Special(_concat),
    **{name: _short(name) for name in _LONGEST},
    "sortableSemver": Special(_semver),
    "arrayFold": Special(_fold),
    "lag": _shift("lagInFrame"),
    "lead": _shift("leadInFrame"),
    "arrayReduce": Special(_reduce, _reduced_type),
    "tupleElement": Special(lambda call: called("tupleElement", call.sqls(), call), _element),
    **{name: _array_of_json(name) for name in _ARRAYS_OF_JSON},
    "JSONExtract": Special(_extract, _extracted_type),
    "JSONExtractKeysAndValues": Special(_extract, _pairs_type),
}
