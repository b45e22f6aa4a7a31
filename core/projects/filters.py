"""What a project's filters must be, so that those who use them later find nothing wrong."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.api.errors import Invalid
from core.filters.hogql import hogql_reader
from core.filters.problems import invalid_filter
from core.filters.reading import check_cohorts, path_rules_for
from core.filters.storing import types_known
from events.filters.errors import FilterError
from events.filters.grammar import cohort_ids, read_filters
from events.filters.members import MAX_PATH_RULES
from events.filters.operators import check_pattern

TEST_ACCOUNTS: Final = "test_account_filters"
PATH_CLEANING: Final = "path_cleaning_filters"


def account_filters_check(filters: object, *, team_id: int) -> None:
    """Raise Invalid unless these are filters on events, as insights read them, whose cohorts are the project's.

    Must run in `stores_filters`.
    """
    if not isinstance(filters, list | dict):
        raise Invalid("Filters must be a list, a group object or a map of keys to values.", attr=TEST_ACCOUNTS)
    try:
        wanted = read_filters(
            filters,
            scope="event",
            path_rules=path_rules_for(filters, team_id=team_id),
            hogql=hogql_reader(filters, team_id=team_id, storing=True),
        )
    except FilterError as error:
        raise invalid_filter(error, attr=TEST_ACCOUNTS) from error
    if wanted is not None:
        check_cohorts(cohort_ids(wanted), team_id=team_id, attr=TEST_ACCOUNTS)
    types_known()


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
