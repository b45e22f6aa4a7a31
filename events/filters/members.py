"""What the members of a property filter may be, and what they are read as."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from events.filters.errors import FilterError
from events.filters.operators import Operator, check_pattern
from events.filters.tree import EVERYTHING, CohortFilter, Filter
from events.filters.values import value_text

MAX_VALUES: Final = 1000
MAX_KEY_LENGTH: Final = 400
MAX_PATH_RULES: Final = 50
MAX_COHORT_ID: Final = 2**63 - 1
MAX_GROUP_TYPE_INDEX: Final = 4


def group_type_index(value: object) -> int:
    """Return the index of a group type. Raises FilterError."""
    if isinstance(value, str) and value in {str(index) for index in range(MAX_GROUP_TYPE_INDEX + 1)}:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_GROUP_TYPE_INDEX:
        message = f"A filter on a group must have a `group_type_index` from 0 to {MAX_GROUP_TYPE_INDEX}."
        raise FilterError(message)
    return value


def property_key(key: object) -> str:
    """Return the name of a property. Raises FilterError."""
    if not isinstance(key, str):
        raise FilterError("The `key` of a filter must be text.")
    if len(key) > MAX_KEY_LENGTH:
        message = f"The `key` of a filter may have at most {MAX_KEY_LENGTH} characters."
        raise FilterError(message)
    return storable(key)


def storable(text: str) -> str:
    """Return a text that every store can have. Raises FilterError."""
    if "\0" in text:
        raise FilterError("Filters may not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError("Filters may not contain lone surrogates.") from error
    return text


def flag(item: Mapping[str, Any], name: str) -> bool:
    """Return a member that is true or false, false where it is not there. Raises FilterError."""
    value = item.get(name)
    if value is not None and not isinstance(value, bool):
        message = f"`{name}` must be true or false."
        raise FilterError(message)
    return bool(value)


def read_operands(operator: Operator, name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts that an operator compares with. Raises FilterError."""
    if operator.takes == "nothing":
        return ()
    value = item.get("value")
    if value is None:
        message = f"A filter with the operator {name} must have a `value`."
        raise FilterError(message)
    if operator.takes in {"list", "pair"} and not isinstance(value, list):
        raise FilterError(
            f"{name} operator requires numeric values"
            if operator.takes == "pair"
            else f"The `value` of the operator {name} must be a list."
        )
    listed = value if isinstance(value, list) else [value]
    if operator.takes == "pair" and len(listed) != 2:  # noqa: PLR2004 a pair
        message = f"{name} operator requires numeric values"
        raise FilterError(message)
    if len(listed) > MAX_VALUES:
        message = f"A filter may have at most {MAX_VALUES} values."
        raise FilterError(message)
    return tuple(map(_operand, listed))


def _operand(value: object) -> str:
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise FilterError("The `value` of a filter must be text, a number, a boolean or a list of these.")
    return storable(value_text(value) or "")


def cohort_filter(item: Mapping[str, Any]) -> Filter:
    """Return the filter on members of cohorts that an object describes. Raises FilterError."""
    operator = item.get("operator")
    if operator not in {None, "exact", "in", "not_in", "is_not"}:
        raise FilterError("A cohort filter has the operator in or not_in.")
    value = item.get("value")
    numbers = [_cohort_id(one) for one in (value if isinstance(value, list) else [value])]
    if not numbers:
        return EVERYTHING
    if len(numbers) > MAX_VALUES:
        message = f"A filter may have at most {MAX_VALUES} values."
        raise FilterError(message)
    negated = (operator in {"not_in", "is_not"}) != flag(item, "negation")
    return CohortFilter(tuple(dict.fromkeys(numbers)), negated)


def _cohort_id(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < len(str(MAX_COHORT_ID)):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COHORT_ID:
        raise FilterError("The `value` of a cohort filter must be the id of a cohort.")
    return value


def read_path_rules(rules: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Return (pattern, replacement) of the rules that are complete and that RE2 takes; others do nothing."""
    usable = []
    for rule in rules[:MAX_PATH_RULES]:
        pattern, alias = rule.get("regex"), rule.get("alias")
        if isinstance(pattern, str) and isinstance(alias, str):
            try:
                check_pattern(storable(pattern))
                usable.append((pattern, storable(alias)))
            except FilterError:
                continue
    return tuple(usable)
