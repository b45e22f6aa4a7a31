"""Every function of the lists, called on the real engine with its example."""
# ruff: noqa: S608 examples of our own lists

from types import ModuleType

import pytest

from events.errors import QueryFailed, QueryRefused
from events.hogql.errors import HogQLResolutionError
from events.hogql.functions.combinators import COMBINATORS
from events.hogql.functions.registry import FUNCTIONS, Function, find
from events.hogql.types import UNKNOWN
from tests.events.hogql.functions.engine import agrees, argument, call_of, parts, read_type, types_of

# Needs a library that the embedded engine is built without; a server has it.
ON_SERVERS_ONLY = frozenset({"uniqTheta"})
# What stands for other functions is in the corpus.
LISTED = [one for name, one in FUNCTIONS.items() if name not in ON_SERVERS_ONLY and not one.expanded]
GROUPS = sorted({function.group for function in LISTED})


ALL_COMPOSED = frozenset({"Aggregations: maps", "Dates and times: now", "Distances", "Random"})


def of_group(group: str) -> list[Function]:
    return [function for function in LISTED if function.group == group]


@pytest.mark.parametrize("group", GROUPS)
def test_every_example_runs_and_is_of_the_type_that_the_list_says(clickhouse: ModuleType, group: str) -> None:
    for function in of_group(group):
        parameters, sqls, over = parts(function.example)
        arguments = [argument(*each) for each in zip(sqls, types_of(clickhouse, sqls), strict=True)]
        function.check(len(arguments), len(parameters) or None)
        call = call_of(function, arguments, parameters)
        sql = f"{function.sql(call)}{over}"
        # `ignore` has the value worked out, whatever it is: states and bytes cannot be sent.
        asked = f"SELECT toTypeName(value), ignore(value) FROM (SELECT {sql} AS value)"
        engine = read_type(clickhouse.query(asked).rows[0][0])
        assert agrees(function.result(call), engine), (sql, engine, function.result(call))


def _with_null(sqls: list[str], place: int) -> list[str]:
    return [f"toNullable({sql})" if each == place else sql for each, sql in enumerate(sqls)]


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_said_of_null_is_true_for_every_argument_that_may_be_null(clickhouse: ModuleType, group: str) -> None:
    asked = 0
    for function in of_group(group):
        parameters, sqls, over = parts(function.example)
        types = types_of(clickhouse, sqls)
        for place, given in enumerate(types):
            if given.kind in ("Lambda", "Array", "Tuple", "Map", "Unknown") or given.nullable:
                continue
            nulled = [given.or_null() if each == place else one for each, one in enumerate(types)]
            arguments = [argument(*each) for each in zip(_with_null(sqls, place), nulled, strict=True)]
            call = call_of(function, arguments, parameters)
            try:
                sql = f"{function.sql(call)}{over}"
                ((name, *_), *_) = clickhouse.query(f"SELECT toTypeName(value) FROM (SELECT {sql} AS value)").rows
            except (QueryFailed, QueryRefused, HogQLResolutionError):
                # Some arguments must not be NULL, or must be constants.
                continue
            asked += 1
            assert agrees(function.result(call), read_type(name)), (sql, name, function.result(call))
    assert asked or group in ALL_COMPOSED


COMPOSED_STATE = {"Array": "[{}]", "ForEach": "[{}]", "Map": "map('k', {})"}
# What the engine does not combine: maps of maps, arrays in Nullable, states of states.
UNCOMBINED = frozenset(
    {"sumMapMap", "minMapMap", "maxMapMap", "groupBitmapAndMerge", "groupBitmapOrMerge", "groupBitmapXorMerge"}
)
AGGREGATIONS = [function for function in LISTED if function.aggregate and "(" not in function.clickhouse]


@pytest.mark.parametrize("combinator", COMBINATORS)
def test_every_aggregation_takes_every_combinator(clickhouse: ModuleType, combinator: str) -> None:
    for base in AGGREGATIONS:
        if base.name + combinator in UNCOMBINED:
            continue
        parameters, sqls, _ = parts(base.example)
        if combinator == "Map" and len(sqls) != 1:
            continue
        source = ""
        wrapped = [COMPOSED_STATE.get(combinator, "{}").format(sql) for sql in sqls]
        if combinator in ("If", "ArgMin", "ArgMax"):
            wrapped.append("1 = 1")
        if combinator == "Merge":
            first = f"({', '.join(parameters)})" if parameters else ""
            source, wrapped = f"FROM (SELECT {base.clickhouse}State{first}({', '.join(sqls)}) AS state)", ["state"]
        function = find(base.name + combinator)
        assert function is not None, base.name + combinator
        function.check(len(wrapped), len(parameters) or None)
        types = [UNKNOWN] if combinator == "Merge" else types_of(clickhouse, wrapped)
        arguments = [argument(*each) for each in zip(wrapped, types, strict=True)]
        call = call_of(function, arguments, parameters)
        asked = f"SELECT toTypeName(value), ignore(value) FROM (SELECT {function.sql(call)} AS value {source})"
        engine = read_type(clickhouse.query(asked).rows[0][0])
        said = function.result(call)
        # What a state was made of is not known: NULL is possible then.
        assert agrees(said, engine) or agrees(said, engine.or_null()), (asked, engine, said)


def test_combinators_can_be_combined() -> None:
    names = ("avgMapMergeIf", "sumMapMergeIf", "countStateIf", "uniqMapMergeIf", "groupUniqArrayArrayIf", "avgIfOrNull")
    found = {name: function.clickhouse for name in names if (function := find(name))}
    assert found == {name: name for name in names}


@pytest.mark.parametrize(
    "name",
    ["sumIfIf", "sumIfArrayMapMerge", "sumif", "sumSimpleState", "sumIfx", "lengthIf", "everyIf", "sumResample"],
)
def test_what_is_no_aggregation_with_combinators_is_not_found(name: str) -> None:
    assert find(name) is None


def test_arity_follows_the_combinators() -> None:
    arities = {
        name: function.arity
        for name in ("countIf", "uniqIf", "argMaxIf", "sumMerge", "countArray", "sumArgMin", "countStateIf")
        if (function := find(name))
    }
    assert arities == {
        "countIf": (1, 2),
        "uniqIf": (2, None),
        "argMaxIf": (3, 3),
        "sumMerge": (1, 1),
        "countArray": (1, 1),
        "sumArgMin": (2, 2),
        "countStateIf": (1, 2),
    }


def test_the_list_is_long() -> None:
    assert len(FUNCTIONS) > 700
    assert all(function.description.endswith(".") and function.group for function in FUNCTIONS.values())
