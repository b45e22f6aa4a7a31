"""What a HogQL statement did wrong when ClickHouse refuses it: a code name, and a sentence of our own.

ClickHouse's text can hold stored values, our table names and the compiled SQL, so only what has the form of a
function's name, a type or a number is taken out of it.
"""

import re
from collections.abc import Mapping
from typing import Final

from events.errors import (
    EventStoreError,
    QueryFailed,
    QueryMistake,
    QueryStopped,
    QueryTooBig,
    QueryUnsupported,
    error_for_code,
)

MEMORY: Final = 241
CANCELLED: Final = 394
TOO_MANY_BYTES: Final = 307
NOT_AN_AGGREGATE: Final = 215
# UNKNOWN_SETTING and SETTING_CONSTRAINT_VIOLATION: the query user is not set up as it has to be.
_OF_THE_SETUP: Final = frozenset({115, 452})

_TOO_MANY: Final = "The query needs more rows or bytes than it may use. Narrow it down, for example to fewer days."
_TOO_LONG: Final = "The query is too long or too deeply nested."
_PROHIBITED: Final = "The query asks for something that is not allowed."
_UNREADABLE: Final = "A value could not be read as the type that it is converted to."
_ARGUMENTS: Final = "The number of arguments of a function is wrong."
_UNSUPPORTED: Final = "The query uses something that is not supported."

MISTAKES: Final[Mapping[int, tuple[str, str]]] = {
    1: ("unsupported_method", _UNSUPPORTED),
    6: ("cannot_parse_text", _UNREADABLE),
    9: ("sizes_of_columns_doesnt_match", "Columns of different lengths were put together."),
    11: ("position_out_of_bound", "A position is out of bounds."),
    12: ("parameter_out_of_bound", "A parameter is out of bounds."),
    16: ("no_such_column_in_table", "A name is not known where it is used."),
    19: ("size_of_fixed_string_doesnt_match", "A text does not have the length that is needed."),
    20: ("number_of_columns_doesnt_match", "The numbers of columns on the two sides differ."),
    25: ("cannot_parse_escape_sequence", "A text holds an escape sequence that cannot be read."),
    26: ("cannot_parse_quoted_string", _UNREADABLE),
    27: ("cannot_parse_input_assertion_failed", _UNREADABLE),
    32: ("attempt_to_read_after_eof", _UNREADABLE),
    34: ("too_many_arguments_for_function", _ARGUMENTS),
    35: ("too_few_arguments_for_function", _ARGUMENTS),
    36: ("bad_arguments", "An argument is not one that can be used there."),
    38: ("cannot_parse_date", "A text could not be read as a date."),
    41: ("cannot_parse_datetime", "A text could not be read as a time."),
    42: ("number_of_arguments_doesnt_match", _ARGUMENTS),
    43: ("illegal_type_of_argument", "An argument of a function has a type that it does not take."),
    44: ("illegal_column", "An argument of a function has to be a constant, or of another type."),
    46: ("unknown_function", "A function is not known."),
    47: ("unknown_identifier", "A name is not known where it is used."),
    48: ("not_implemented", _UNSUPPORTED),
    50: ("unknown_type", "A type is not known."),
    52: ("column_queried_more_than_once", "A column is asked for twice."),
    53: ("type_mismatch", "A value does not have the type of what it is compared with or converted to."),
    59: ("illegal_type_of_column_for_filter", "A condition has to be true or false."),
    62: ("syntax_error", "The query cannot be read."),
    63: ("unknown_aggregate_function", "An aggregation is not known."),
    68: ("cannot_get_size_of_field", "A value is not a number of the size that is needed."),
    69: ("argument_out_of_bound", "An argument of a function is out of bounds."),
    70: ("cannot_convert_type", "A value cannot be converted to the type that is needed."),
    72: ("cannot_parse_number", "A text could not be read as a number."),
    80: ("incorrect_query", "The query contradicts itself."),
    117: ("incorrect_data", _UNREADABLE),
    121: ("unsupported_join_keys", "The keys of a JOIN are of types that cannot be compared."),
    122: ("incompatible_columns", "Columns that belong together have different types."),
    124: ("incorrect_element_of_set", "An element of a list or tuple is not like the value that is looked for."),
    125: ("incorrect_result_of_scalar_subquery", "A subquery that stands for one value returned more than one row."),
    127: ("illegal_index", "An index is not one of the array or tuple."),
    128: ("too_large_array_size", "An array would become too large."),
    130: ("cannot_read_array_from_text", "A text could not be read as an array."),
    131: ("too_large_string_size", "A text would become too long."),
    133: ("aggregate_function_doesnt_allow_parameters", "An aggregation takes no parameters."),
    134: ("parameters_to_aggregate_functions_must_be_literals", "Parameters of aggregations have to be constants."),
    135: ("zero_array_or_tuple_index", "Arrays and tuples are counted from 1."),
    153: ("illegal_division", "Division by zero."),
    158: ("too_many_rows", _TOO_MANY),
    161: ("too_many_columns", "The query asks for too many columns."),
    162: ("too_deep_subqueries", _TOO_LONG),
    164: ("query_is_prohibited", _PROHIBITED),
    167: ("too_deep_ast", _TOO_LONG),
    168: ("too_big_ast", _TOO_LONG),
    169: ("bad_type_of_field", "A value does not have the type that is needed."),
    170: ("bad_get", "A value does not have the type that is needed."),
    174: ("cyclic_aliases", "Aliases refer to each other in a circle."),
    179: ("multiple_expressions_for_alias", "One alias is given to two different expressions."),
    183: ("unexpected_expression", "An expression stands where it cannot."),
    184: ("illegal_aggregation", "An aggregation stands inside another, or where there can be none."),
    190: ("sizes_of_arrays_dont_match", "Arrays that are used together have different lengths."),
    191: ("set_size_limit_exceeded", _TOO_MANY),
    206: ("alias_required", "An alias is needed."),
    207: ("ambiguous_identifier", "A name could mean more than one column."),
    215: ("not_an_aggregate", "A column is neither in GROUP BY nor inside an aggregation."),
    229: ("query_is_too_large", _TOO_LONG),
    258: ("union_all_result_structures_mismatch", "The queries of a UNION have different columns."),
    264: ("incompatible_type_of_join", "This kind of JOIN cannot be used here."),
    269: ("infinite_loop", "The query never ends."),
    290: ("limit_exceeded", _TOO_MANY),
    306: ("too_deep_recursion", _TOO_LONG),
    307: ("too_many_bytes", _TOO_MANY),
    309: ("function_cannot_have_parameters", "A function takes no parameters."),
    321: ("value_is_out_of_range_of_data_type", "A value is out of the range of its type."),
    344: ("support_is_disabled", _UNSUPPORTED),
    349: ("cannot_insert_null_in_ordinary_column", "A NULL stands where there can be none."),
    352: ("ambiguous_column_name", "A name could mean more than one column."),
    353: ("index_of_positional_argument_is_out_of_range", "A number in GROUP BY or ORDER BY names no column."),
    376: ("cannot_parse_uuid", "A text could not be read as a UUID."),
    386: ("no_common_type", "Values that belong together have types without a common one."),
    392: ("query_is_prohibited", _PROHIBITED),
    395: ("function_throw_if_value_is_non_zero", "The query raised an error itself."),
    396: ("too_many_rows_or_bytes", _TOO_MANY),
    403: ("invalid_join_on_expression", "The condition of a JOIN is not one that joins can use."),
    406: ("top_and_limit_together", "The query contradicts itself."),
    407: ("decimal_overflow", "A number is too large for its type."),
    427: ("cannot_compile_regexp", "A regular expression is not valid."),
    440: ("invalid_limit_expression", "A LIMIT or OFFSET has to be a constant number that is not negative."),
    441: ("cannot_parse_domain_value_from_string", _UNREADABLE),
    447: ("hyperscan_cannot_scan_text", "A text is too long for the patterns that it is searched for."),
    456: ("unknown_query_parameter", "A value of the query is missing."),
    457: ("bad_query_parameter", "A value of the query does not have the type that it needs."),
    467: ("cannot_parse_bool", "A text could not be read as true or false."),
    475: ("invalid_with_fill_expression", "WITH FILL cannot be used so."),
    497: ("query_is_prohibited", _PROHIBITED),
    636: ("query_is_prohibited", _PROHIBITED),
    675: ("cannot_parse_ipv4", "A text could not be read as an IPv4 address."),
    676: ("cannot_parse_ipv6", "A text could not be read as an IPv6 address."),
    691: ("unknown_element_of_enum", "A text is not one of the values that are possible."),
}
"""By ClickHouse's number: its name in lower case, and what to say."""

_FUNCTION: Final = re.compile(
    r"\b(?:aggregate )?(?:function|Function) (?:with name )?[`']?([A-Za-z][A-Za-z0-9_]{0,60})\b"
)
_COLUMN: Final = re.compile(
    r"Column '?([at]\d+(?:\.(?:`[^`']{1,200}`|[^'` ]{1,200}))?)'? is not under aggregate function"
)
_ILLEGAL_TYPE: Final = re.compile(r"Illegal type ([^:]{1,120}?) (?:of|for|in|\()")
_ILLEGAL_TYPES: Final = re.compile(r"Illegal types (\w+(?:\([^:]{1,90}\))? and \w+(?:\([^:]{1,90}\))?) of arguments")
_ILLEGAL_ARGUMENT: Final = re.compile(
    r"as (\d{1,2})(?:st|nd|rd|th) argument [^:]{1,120}\. Expected: [^:]{1,120}, got: ([^:]{1,120})"
)
_NO_SUPERTYPE: Final = re.compile(r"supertype for types ([^:]{1,200}?) because")
_COUNTS: Final = re.compile(r"passed (\d{1,6})[^\d:]{1,40}(\d{1,6})")
_TYPE: Final = re.compile(
    r"(?:(?:Nullable|LowCardinality|Array|Map|Tuple|U?Int(?:8|16|32|64|128|256)|B?Float(?:16|32|64)|String|FixedString"
    r"|UUID|Bool|Date(?:32)?|DateTime(?:64)?|Time(?:64)?|Decimal(?:32|64|128|256)?|IPv[46]|Nothing|Interval[A-Z][a-z]+|JSON"
    r"|Function)|\d+|'[A-Za-z_/+\-0-9]{1,40}'|->|[(), ])+"
)


def error_of(code: int, text: str) -> EventStoreError:
    """Return what a HogQL statement met, from ClickHouse's number and text.

    What is no mistake of the caller is QueryUnsupported, and QueryFailed where the query user is not set up right.
    """
    if code == MEMORY:
        return QueryTooBig(code)
    if code == CANCELLED:
        return QueryStopped(code)
    if code in MISTAKES:
        name, sentence = MISTAKES[code]
        return QueryMistake(name, f"{sentence}{_detail(code, text)}", code, column=_column(code, text))
    error = error_for_code(code)
    return QueryUnsupported(code) if isinstance(error, QueryFailed) and code not in _OF_THE_SETUP else error


def too_many_bytes() -> QueryMistake:
    """Return what a statement meets whose answer is larger than it may be."""
    return QueryMistake(*MISTAKES[TOO_MANY_BYTES], TOO_MANY_BYTES)


def _column(code: int, text: str) -> str | None:
    """Return the column that is not grouped, as the compiled statement has it but without quotes."""
    found = _COLUMN.search(text) if code == NOT_AN_AGGREGATE else None
    return found and found[1].replace("`", "")


def _detail(code: int, text: str) -> str:
    """Return what can safely be told beside the sentence: the function, the types, how many arguments."""
    # From there on the text quotes the statement.
    head = re.split(r"[.:,]? (?:In scope|While|In query|Stack trace)\b|: In scope", text, maxsplit=1)[0][:2000]
    told = []
    function = _FUNCTION.search(head)
    if function and code in (34, 35, 36, 42, 43, 44, 69, 128, 131, 133, 190, 309):
        told.append(f"function {function[1]}")
    types = _ILLEGAL_TYPE.search(head) or _NO_SUPERTYPE.search(head)
    if types and code in (43, 386) and _TYPE.fullmatch(types[1]):
        told.append(types[1])
    several = _ILLEGAL_TYPES.search(head)
    if several and all(_TYPE.fullmatch(one) for one in several[1].split(" and ")):
        told.append(several[1])
    argument = _ILLEGAL_ARGUMENT.search(head)
    if argument and _TYPE.fullmatch(argument[2]):
        told.append(f"argument {argument[1]}: {argument[2]}")
    counts = _COUNTS.search(head)
    if counts and code in (34, 35, 42):
        told.append(f"given {counts[1]}, needed {counts[2]}")
    return f" ({'; '.join(told)})" if told else ""
