"""From a request's parameter to a filter: JSON, grammar and the cohorts that it names."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core.api.errors import Invalid
from core.api.json import dumps, loads
from core.filters.hogql import hogql_reader
from core.filters.person_sets import with_nobody_found, with_persons_found
from core.filters.postgres import condition
from core.filters.problems import invalid_filter
from core.filters.storing import types_known
from core.tenancy.statements import fetch_row, fetch_rows
from events.errors import QueryMistake
from events.filters.grammar import MAX_BYTES, Filter, FilterError, cohort_ids, read_filters
from events.filters.tree import with_cohorts

_CLEANS_PATHS: Final = b"is_cleaned_path_exact"


def read_filter_parameter(  # noqa: PLR0913 where the filters stand, and what they are read with
    value: object,
    *,
    attr: str = "properties",
    team_id: int,
    now: datetime | None = None,
    storing: bool = False,
    inside: Sequence[str] | None = (),
    placed: bool = False,
) -> Filter | None:
    """Return the filter in a parameter (JSON text, or a value parsed already); None when it restricts nothing.

    `now` is what relative dates count from. ClickHouse is asked now which persons HogQL means; with `storing`
    only whether its types fit, within `stores_filters`. `inside` leads from `attr` to the filters; None where the
    caller did not write them in this form. With `placed`, all mistakes name their filter, and not those in HogQL alone.
    Raises Invalid, with `attr`, for what is no JSON or no filter and for cohorts that the team does not have.
    """
    if isinstance(value, str | bytes):
        if not value.strip():
            return None
        value = _parsed(value, attr)
    try:
        wanted = read_filters(
            value,
            now=now,
            path_rules=path_rules_for(value, team_id=team_id),
            hogql=hogql_reader(value, team_id=team_id, table="persons", storing=storing),
        )
        if wanted is not None:
            # What Postgres cannot have is the caller's fault too, and known only now.
            condition(with_nobody_found(wanted), {})
    except FilterError as error:
        raise invalid_filter(error, attr=attr, inside=inside, placed=placed) from error
    if wanted is not None:
        check_cohorts(cohort_ids(wanted), team_id=team_id, attr=attr)
    if storing:
        types_known()
    if wanted is None or storing:
        return wanted
    try:
        return with_persons_found(wanted)
    except (FilterError, QueryMistake) as error:
        raise Invalid(error.message, attr=attr) from error


def path_rules_for(value: object, *, team_id: int) -> Sequence[Mapping[str, Any]]:
    """Return the project's `path_cleaning_filters` when one of these filters (parsed JSON) cleans paths."""
    try:
        mentioned = _CLEANS_PATHS in dumps(value)
    except TypeError:
        # Nested too deeply to be written, and for a filter too.
        mentioned = False
    if not mentioned:
        return ()
    row = fetch_row("SELECT settings -> 'path_cleaning_filters' FROM core_team WHERE id = %s", [team_id])
    rules = row[0] if row else None
    if isinstance(rules, str):
        rules = loads(rules)
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else ()


def known_cohorts_only(wanted: Filter, *, team_id: int) -> Filter:
    """Return a filter on events in which cohorts that the team does not have match nothing, even when negated.

    Others are read by the members that their last calculation found; one that was never calculated has none.
    """
    numbers = cohort_ids(wanted)
    return with_cohorts(wanted, known_cohorts(numbers, team_id=team_id)) if numbers else wanted


def known_cohorts(numbers: Collection[int], *, team_id: int) -> frozenset[int]:
    """Return those of these cohorts that the team has and has not deleted, by one statement."""
    rows = fetch_rows(
        "SELECT id FROM core_cohort WHERE team_id = %s AND id = ANY(%s) AND NOT deleted", [team_id, sorted(numbers)]
    )
    return frozenset(row[0] for row in rows)


def check_cohorts(numbers: set[int], *, team_id: int, attr: str) -> None:
    """Raise Invalid, with `attr`, when the team does not have one of these cohorts."""
    if numbers and (missing := numbers - known_cohorts(numbers, team_id=team_id)):
        message = f"There is no cohort {min(missing)} in this project."
        raise Invalid(message, attr=attr)


def _parsed(text: str | bytes, attr: str) -> Any:  # noqa: ANN401 any JSON value
    if len(text) > MAX_BYTES:
        message = f"Filters may have at most {MAX_BYTES} bytes."
        raise Invalid(message, attr=attr)
    try:
        return loads(text)
    except ValueError as error:
        message = f"This is not valid JSON: {error}"
        raise Invalid(message, attr=attr) from error
