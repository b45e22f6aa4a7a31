"""Every table of HogQL by its name."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables import cohorts, events, groups, logs, persons, recordings, sessions
from events.hogql.tables.table import Table

TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        events.EVENTS,
        groups.GROUPS,
        persons.PERSONS,
        persons.PERSON_DISTINCT_IDS,
        persons.PERSON_DISTINCT_ID_OVERRIDES,
        recordings.SESSION_REPLAY_EVENTS,
        cohorts.COHORT_PEOPLE,
        cohorts.STATIC_COHORT_PEOPLE,
        logs.LOG_ENTRIES,
        sessions.SESSIONS,
        logs.QUERY_LOG,
        persons.RAW_PERSONS,
        persons.RAW_PERSON_DISTINCT_IDS,
        persons.RAW_PERSON_DISTINCT_ID_OVERRIDES,
        groups.RAW_GROUPS,
        cohorts.RAW_COHORT_PEOPLE,
        sessions.RAW_SESSIONS,
        recordings.RAW_SESSION_REPLAY_EVENTS,
        logs.RAW_QUERY_LOG,
    )
}
"""All but `numbers`, which is no table of a project: see `source.open_numbers`."""
