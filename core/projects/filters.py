"""What a project's filters must be, so that those who use them later find nothing wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.api.errors import Invalid
from core.filters.reading import read_filter_parameter
from events.filters.errors import FilterError
from events.filters.grammar import MAX_PATH_RULES
from events.filters.operators import check_pattern

TEST_ACCOUNTS: Final = "test_account_filters"
PATH_CLEANING: Final = "path_cleaning_filters"
_OF_PROPERTIES: Final = frozenset({"event", "person", "group"})
_MAX_DEPTH: Final = 20


def account_filters_check(filters: object, *, team_id: int) -> None:
    """Raise Invalid unless this is a list or a group of property filters whose cohorts are the project's.

    Filters of events and groups have the grammar of those of persons, and are read as such.
    """
    if not isinstance(filters, list | dict):
        raise Invalid("Filters must be a list, a group object or a map of keys to values.", attr=TEST_ACCOUNTS)
    read_filter_parameter(_as_of_persons(filters, 0), attr=TEST_ACCOUNTS, team_id=team_id)


def _as_of_persons(item: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise Invalid("Filters must be JSON, and not nested too deeply.", attr=TEST_ACCOUNTS)
    if isinstance(item, list):
        return [_as_of_persons(one, depth + 1) for one in item]
    if not isinstance(item, dict):
        return item
    if isinstance(item.get("values"), list) and "key" not in item:
        return {**item, "values": _as_of_persons(item["values"], depth + 1)}
    kind = item.get("type")
    return {**item, "type": "person"} if isinstance(kind, str) and kind in _OF_PROPERTIES else item


def path_rules_check(rules: Sequence[Mapping[str, Any]] | None) -> None:
    """Raise Invalid unless each rule has an alias and a regular expression of RE2, both text."""
    if len(rules or ()) > MAX_PATH_RULES:
        message = f"Ensure this field has no more than {MAX_PATH_RULES} elements."
        raise Invalid(message, code="max_length", attr=PATH_CLEANING)
    for number, rule in enumerate(rules or ()):
        for name in ("alias", "regex"):
            attr = f"{PATH_CLEANING}__{number}__{name}"
            if name not in rule:
                raise Invalid("This field is required.", code="required", attr=attr)
            if not isinstance(rule[name], str):
                raise Invalid("Not a valid string.", attr=attr)
        try:
            check_pattern(rule["regex"])
        except FilterError as error:
            raise Invalid(error.message, attr=f"{PATH_CLEANING}__{number}__regex") from error
