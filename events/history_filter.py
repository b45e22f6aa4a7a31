"""Who matched a filter on properties at a past moment, decided inside ClickHouse.

Only the keys that the filter names are replayed, by the rules of `events.history`. One pass over the updates keeps for
every (person, key) the last `$set` or `$unset` and the first `$set_once` of all, which settles nearly everybody. It
leaves open those with a `$set_once` after an `$unset` or a null: they are `unsettled` and asked again, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from events import client
from events.filters import clickhouse
from events.filters.grammar import Filter, property_keys
from events.history import KIND_MASK, ONCE, ONCE_NULL, POSITION, SET, SET_NULL, UNSET, Ids
from events.history_batch import microseconds, moment_of, named_ids
from events.rows import EMPTY_OBJECT, clickhouse_time

QUERY_MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
# Stands for everybody without a single update.
_NOBODY: Final = 2**32 - 1

# Texts in these columns were written by orjson, so a key occurs in them as orjson writes it. Most rows do not touch the
# keys of a filter, and to look for a text is much cheaper than to read JSON.
_TOUCHES: Final = "position(`set`, {<name>:String}) > 0 OR has(unset, {<key>:String})"
_TOUCHES_ONCE: Final = "position(set_once, {<name>:String}) > 0"

_OF_ROW: Final = f"""
    if(position(`set`, {{<name>:String}}) > 0, JSONExtractRaw(`set`, {{<key>:String}}), '') AS set_<n>,
    multiIf(has(unset, {{<key>:String}}), position + {UNSET}, set_<n> = 'null', position + {SET_NULL},
            set_<n> != '', position + {SET}, 0) AS head_code_<n>"""
_ONCE_OF_ROW: Final = f"""
    if(position(set_once, {{<name>:String}}) > 0, JSONExtractRaw(set_once, {{<key>:String}}), '') AS once_<n>,
    multiIf(once_<n> = 'null', position + {ONCE_NULL}, once_<n> != '', position + {ONCE}, 0) AS once_code_<n>,
    if(once_<n> IN ('', 'null'), 0, once_code_<n>) AS first_code_<n>"""

_OF_ID: Final = "max(head_code_<n>) AS id_head_<n>, argMax(set_<n>, head_code_<n>) AS id_text_<n>"
_ONCE_OF_ID: Final = """
    minIf(first_code_<n>, first_code_<n> != 0) AS id_first_code_<n>,
    argMinIf(once_<n>, first_code_<n>, first_code_<n> != 0) AS id_first_<n>, max(once_code_<n>) AS id_last_<n>"""
_ONCES_OF_ID: Final = "groupArrayIf((once_code_<n>, once_<n>), once_code_<n> != 0) AS id_onces_<n>"

_OF_PERSON: Final = f"""
    max(id_head_<n>) AS head_<n>, argMax(id_text_<n>, id_head_<n>) AS text_<n>,
    bitAnd(head_<n>, {KIND_MASK}) AS kind_<n>"""
_ONCE_OF_PERSON: Final = f"""
    argMinIf(id_first_<n>, id_first_code_<n>, id_first_code_<n> != 0) AS first_<n>, max(id_last_<n>) AS last_<n>,
    kind_<n> IN ({SET_NULL}, {UNSET}) AND last_<n> > head_<n> AS unsettled_<n>,
    multiIf(kind_<n> = {SET}, text_<n>, kind_<n> = {SET_NULL}, 'null', kind_<n> = {UNSET}, '',
            first_<n> != '', first_<n>, last_<n> != 0, 'null', '') AS value_<n>"""
_ONCES_OF_PERSON: Final = f"""
    arrayFilter(once -> once.1 > head_<n>, arrayFlatten(groupArray(id_onces_<n>))) AS after_<n>,
    arraySort(arrayFilter(once -> bitAnd(once.1, {KIND_MASK}) = {ONCE}, after_<n>))[1].2 AS first_<n>,
    false AS unsettled_<n>,
    multiIf(kind_<n> = {SET}, text_<n>, first_<n> != '', first_<n>, kind_<n> = {SET_NULL}, 'null',
            notEmpty(after_<n>), 'null', '') AS value_<n>"""
_NO_ONCE_OF_PERSON: Final = f"""
    false AS unsettled_<n>,
    multiIf(kind_<n> = {SET}, text_<n>, kind_<n> = {SET_NULL}, 'null', '') AS value_<n>"""
_PART: Final = "if(value_<n> = '', '', concat({<name>:String}, ':', value_<n>))"

# First by distinct id, in the order in which the rows are stored, then by person.
_STATES: Final = f"""
    SELECT person, <unsettled> AS unsettled,
        concat('{{', arrayStringConcat(arrayFilter(part -> part != '', [<parts>]), ','), '}}') AS properties
    FROM (
        SELECT person, <of_person>
        FROM (<owners>) AS owners
        INNER JOIN (
            SELECT distinct_id, generation, <of_id>
            FROM (
                SELECT distinct_id, generation, {POSITION} AS position, <of_row>
                FROM person_property_updates
                WHERE team_id = {{team_id:Int64}} AND <which> AND timestamp <= {{at:DateTime64(6, 'UTC')}}
                    AND (<touches>))
            GROUP BY distinct_id, generation
        ) AS ids USING (distinct_id, generation)
        GROUP BY person)"""  # noqa: S608 constants only

_NAMED: Final = """
    SELECT name.1 AS distinct_id, name.2 AS generation, name.3 AS person
    FROM (SELECT arrayJoin(arrayZip(<ids>, <generations>, <persons>)) AS name)"""
_MIRRORED: Final = """
    SELECT distinct_id, generation, person_id AS person FROM person_distinct_ids FINAL
    WHERE team_id = {team_id:Int64} AND NOT is_deleted"""

_AMONG: Final = f"""
    SELECT person, unsettled, <condition> AS matches
    FROM (SELECT toUInt32({_NOBODY}) AS person, false AS unsettled, '{EMPTY_OBJECT}' AS properties <and_states>)
    SETTINGS max_memory_usage = {QUERY_MEMORY_BYTES}"""  # noqa: S608 constants only

# Those without updates are in neither set: whether they match is known beforehand.
_OF_TEAM: Final = f"""
    SELECT id, toUnixTimestamp64Micro(created_at)
    FROM persons FINAL
    WHERE team_id = {{team_id:Int64}} AND NOT is_deleted AND created_at <= {{at:DateTime64(6, 'UTC')}} AND <after>
        AND id <in> (SELECT person FROM (<states>) WHERE (unsettled OR <condition>) = <wanted>)
    ORDER BY created_at DESC, toUInt128(id)
    LIMIT {{limit:UInt32}}
    SETTINGS max_memory_usage = {QUERY_MEMORY_BYTES}"""  # noqa: S608 constants only


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter, the moment and the way of replaying."""

    team_id: int
    wanted: Filter
    at: datetime
    include_set_once: bool


def matching(asked: Asked, persons: Sequence[Ids]) -> list[bool]:
    """Tell for each person, given as its (distinct id, generation) pairs, whether it matched: exactly."""
    known = {number: ids for number, ids in enumerate(persons) if ids}
    settled, otherwise = _among(asked, known, exact=False)
    if unsettled := [number for number, matches in settled.items() if matches is None]:
        again, _ = _among(asked, {number: known[number] for number in unsettled}, exact=True)
        settled |= again
    return [bool(settled.get(number, otherwise)) for number in range(len(persons))]


def _among(asked: Asked, persons: dict[int, Ids], *, exact: bool) -> tuple[dict[int, bool | None], bool]:
    """Return the answers for those who have updates (None: unsettled), and the answer for everybody else."""
    parameters = _parameters(asked)
    states = ""
    if persons:
        names = named_ids(persons, parameters)
        states = "UNION ALL " + names.sql(_states(asked, owners=_NAMED, which="distinct_id IN (<ids>)", exact=exact))
    condition = clickhouse.condition(asked.wanted, parameters, properties="properties")
    sql = _AMONG.replace("<and_states>", states).replace("<condition>", condition)
    found: dict[int, bool | None] = {}
    for person, unsettled, matches in client.query(sql, parameters).rows:
        found[person] = None if unsettled else bool(matches)
    return found, bool(found.pop(_NOBODY))


def candidates_of_team(asked: Asked, *, after: tuple[datetime, UUID] | None, limit: int) -> list[tuple[datetime, UUID]]:
    """Return the first persons of the whole team, in the order of lists, who matched or are unsettled.

    Reads all updates of the team that touch the filter's keys once, and who has which distinct id from the mirror of
    persons, which is as fresh as the updates themselves. The caller asks `matching` about the persons found.
    """
    _, otherwise = _among(asked, {}, exact=False)
    parameters = _parameters(asked)
    parameters["limit"] = limit
    beyond = "true"
    if after is not None:
        parameters["after_micro"], parameters["after_id"] = microseconds(after[0]), str(after[1])
        micro = "toUnixTimestamp64Micro(created_at)"
        beyond = (
            f"({micro} < {{after_micro:Int64}} OR ({micro} = {{after_micro:Int64}}"
            " AND toUInt128(id) > toUInt128({after_id:UUID})))"
        )
    condition = clickhouse.condition(asked.wanted, parameters, properties="properties")
    sql = (
        _OF_TEAM.replace("<states>", _states(asked, owners=_MIRRORED, which="true", exact=False))
        .replace("<after>", beyond)
        .replace("<condition>", condition)
        .replace("<in>", "NOT IN" if otherwise else "IN")
        .replace("<wanted>", "false" if otherwise else "true")
    )
    return [(moment_of(micro), UUID(str(uuid))) for uuid, micro in client.query(sql, parameters).rows]


def _parameters(asked: Asked) -> dict[str, Any]:
    parameters: dict[str, Any] = {"team_id": asked.team_id, "at": clickhouse_time(asked.at)}
    for number, key in enumerate(sorted(property_keys(asked.wanted))):
        parameters[f"key_{number}"] = key
        parameters[f"name_{number}"] = orjson.dumps(key).decode()
    return parameters


def _states(asked: Asked, *, owners: str, which: str, exact: bool) -> str:
    """Return the SELECT of persons with the JSON text of their values then, and whether these are unsettled."""
    keys = [str(number) for number in range(len(property_keys(asked.wanted)))]

    def each(*templates: str) -> list[str]:
        filled = [template.replace("<key>", "key_<n>").replace("<name>", "name_<n>") for template in templates]
        return [text.replace("<n>", key) for key in keys for text in filled]

    once = asked.include_set_once
    of_id = (_OF_ID, *([_ONCES_OF_ID if exact else _ONCE_OF_ID] if once else []))
    of_person = (_OF_PERSON, (_ONCES_OF_PERSON if exact else _ONCE_OF_PERSON) if once else _NO_ONCE_OF_PERSON)
    return (
        _STATES.replace("<owners>", owners)
        .replace("<which>", which)
        .replace("<touches>", " OR ".join(each(_TOUCHES, *([_TOUCHES_ONCE] if once else []))))
        .replace("<of_row>", ", ".join(each(_OF_ROW, *([_ONCE_OF_ROW] if once else []))))
        .replace("<of_id>", ", ".join(each(*of_id)))
        .replace("<of_person>", ", ".join(each(*of_person)))
        .replace("<parts>", ", ".join(each(_PART)))
        .replace("<unsettled>", " OR ".join(each("unsettled_<n>")))
    )
