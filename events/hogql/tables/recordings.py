"""Session recordings: what is known of them, without their snapshots."""

from collections.abc import Mapping
from typing import Final

from events.hogql.tables.table import Field, Join, Member, Table, column, same, written
from events.hogql.types import DATETIME, INTEGER, STRING, UUID

_TEAM: Final = Field(type=INTEGER, write=column("team_id"), hidden=True, description="The project.")
_COUNTS: Final = {
    "event_count": "How many snapshots there are.",
    "click_count": "How many clicks there are.",
    "keypress_count": "How many key presses there are.",
    "size": "Bytes of JSON.",
}


def _joins(*, distinct_id: str, generation: str) -> Mapping[str, Member]:
    """Return whose a recording is and its session, by the columns that name them."""
    return {
        "person_id": Field(
            type=UUID.or_null(),
            write=lambda row: row.expression(("pdi", "person_id")),
            hidden=True,
            description="The person that the recording belongs to now.",
        ),
        "pdi": Join(
            name="pdi",
            table="person_distinct_ids",
            keys=((column("distinct_id"), column(distinct_id)), (column("generation"), column(generation))),
            description="The recording's distinct id, and whose it is now.",
        ),
        "person": Join(
            name="person",
            table="persons",
            keys=((column("id"), lambda row: row.expression(("pdi", "person_id"))),),
            description="The recording's person as it is now.",
        ),
        "session": Join(
            name="session",
            table="sessions",
            keys=((column("$session_id"), column("session_id")),),
            description="The session that was recorded.",
        ),
    }


_RAW: Final[Mapping[str, Member]] = {
    "session_id": Field(type=STRING, write=column("session_id"), description="The session."),
    "team_id": _TEAM,
    "distinct_id": Field(type=STRING, write=column("distinct_id"), description="Whose session it is."),
    "window_id": Field(type=STRING, write=column("window_id"), description="The browser window."),
    "uuid": Field(type=UUID, write=column("uuid"), description="The block's id."),
    "min_first_timestamp": Field(type=DATETIME, write=column("first_timestamp"), description="The first snapshot."),
    "max_last_timestamp": Field(type=DATETIME, write=column("last_timestamp"), description="The last snapshot."),
    **{name: Field(type=INTEGER, write=column(name), description=text) for name, text in _COUNTS.items()},
    "snapshot_source": Field(
        type=STRING, write=written("CAST(<e>.source AS String)"), description="`web` or `mobile`."
    ),
    **_joins(distinct_id="distinct_id", generation="generation"),
}
_ROWS: Final = """
SELECT r.team_id AS team_id, r.session_id AS session_id, min(r.first_timestamp) AS start_time,
    max(r.last_timestamp) AS end_time,
    argMin(r.distinct_id, (r.first_timestamp, r.uuid)) AS first_distinct_id,
    argMin(r.generation, (r.first_timestamp, r.uuid)) AS first_generation,
    argMin(r.source, (r.first_timestamp, r.uuid)) AS first_source,
    sum(r.event_count) AS events, sum(r.click_count) AS clicks, sum(r.keypress_count) AS keypresses,
    sum(r.size) AS bytes
FROM session_recordings AS r FINAL WHERE r.team_id = {team_id:Int64} GROUP BY r.team_id, r.session_id"""
_RECORDING: Final[Mapping[str, Member]] = {
    "session_id": Field(type=STRING, write=column("session_id"), description="The session."),
    "team_id": _TEAM,
    "distinct_id": Field(type=STRING, write=column("first_distinct_id"), description="Whose session it is."),
    "start_time": Field(type=DATETIME, write=column("start_time"), description="The first snapshot."),
    "end_time": Field(type=DATETIME, write=column("end_time"), description="The last snapshot."),
    **{
        name: Field(type=INTEGER, write=column(sql), description=_COUNTS[name])
        for name, sql in (
            ("event_count", "events"),
            ("click_count", "clicks"),
            ("keypress_count", "keypresses"),
            ("size", "bytes"),
        )
    },
    "snapshot_source": Field(
        type=STRING, write=written("CAST(<e>.first_source AS String)"), description="`web` or `mobile`."
    ),
    **_joins(distinct_id="first_distinct_id", generation="first_generation"),
}
SESSION_REPLAY_EVENTS: Final = Table(
    name="session_replay_events",
    clickhouse="session_recordings",
    description="Session recordings: one row for each session that was recorded.",
    of=same(_RECORDING),
    rows=_ROWS,
)
RAW_SESSION_REPLAY_EVENTS: Final = Table(
    name="raw_session_replay_events",
    clickhouse="session_recordings",
    description="Blocks of snapshots as they came in: one row for each.",
    of=same(_RAW),
    final=True,
    listed=False,
)
