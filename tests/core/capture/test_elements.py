"""Autocaptured elements become `elements_chain`, however they arrive."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from core.capture.import_files import EventFile
from core.capture.importer import Importer, ImportOptions
from core.persons.ingest import IngestTeam
from core.tenancy.models import Team
from tests.core.capture.helpers import assert_accepted, batch_of, post, rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clickhouse")]

ELEMENTS = [
    {
        "tag_name": "a",
        "$el_text": 'Buy "now"; or: never',
        "classes": ["btn"],
        "attr__class": "primary  btn md:p-2",
        "attr__href": "/checkout?a=b",
        "attr__id": "buy",
        "attr__data-price": 3,
        "nth_child": 2,
        "nth_of_type": 1,
    },
    {"tag_name": "body", "nth_child": 1, "nth_of_type": 1},
]
CHAIN = (
    'a.btn.md:p-2.primary:attr__class="primary  btn md:p-2"attr__data-price="3"attr__href="/checkout?a=b"'
    'attr__id="buy"attr_id="buy"href="/checkout?a=b"nth-child="2"nth-of-type="1"text="Buy \\"now\\"; or: never";'
    'body:nth-child="1"nth-of-type="1"'
)


def stored(team: Team, **properties: Any) -> tuple[str, dict[str, Any]]:
    """Capture one event and return its chain and the properties that were sent with it."""
    event = {"event": "$autocapture", "distinct_id": "u", "properties": {**properties, "$ip": "192.0.2.7"}}
    assert_accepted(post("/batch/", batch_of(team, event)))
    (row,) = rows("events")
    kept = orjson.loads(row["properties"])
    return row["elements_chain"], {name: kept[name] for name in kept.keys() & {"$elements", "$elements_chain", "n"}}


def test_a_list_of_elements_becomes_the_chain(team: Team) -> None:
    assert stored(team, **{"$elements": ELEMENTS, "n": 1}) == (CHAIN, {"n": 1})


def test_a_chain_wins_over_a_list(team: Team) -> None:
    assert stored(team, **{"$elements": ELEMENTS, "$elements_chain": "a:"}) == ("a:", {})


def test_an_empty_chain_does_not(team: Team) -> None:
    assert stored(team, **{"$elements": ELEMENTS, "$elements_chain": ""}) == (CHAIN, {})


def test_long_texts_and_links_are_cut(team: Team) -> None:
    chain, _ = stored(team, **{"$elements": [{"$el_text": "t" * 500, "attr__href": "h" * 3000}]})
    assert f'text="{"t" * 400}"' in chain
    assert f'"href="{"h" * 2048}"nth' in chain


def test_what_no_chain_can_say_is_left_out(team: Team) -> None:
    odd = {
        "tag_name": 'a"b;c d', "attr__class": ['x"y', 5, "z;w"], "attr__a b": "1", "attr__c=": "2", "attr__null": None,
        "$el_text": 5, "attr__id": {"a": 1}, "nth_child": "three", "nth_of_type": True, "attr__back": 'a\\\\"b\\',
    }  # fmt: skip
    chain, _ = stored(team, **{"$elements": [odd]})
    assert chain == (
        'abcd.xy.zw:attr__back="a\\"b"attr__class="[\\"x\\"y\\",5,\\"z;w\\"]"attr__id="{\\"a\\":1}"'
        'nth-child="0"nth-of-type="0"'
    )


@pytest.mark.parametrize("odd", ["text", 5, None, True, {"tag_name": "a"}, [5], [{"tag_name": "a"}, None], [[]]])
def test_odd_elements_stay_properties(team: Team, odd: Any) -> None:
    assert stored(team, **{"$elements": odd}) == ("", {"$elements": odd})


@pytest.mark.parametrize("odd", [5, None, True, {"a": 1}, ["a"]])
def test_odd_chains_stay_properties(team: Team, odd: Any) -> None:
    assert stored(team, **{"$elements_chain": odd, "$elements": ELEMENTS}) == (CHAIN, {"$elements_chain": odd})


def test_no_elements_make_no_chain(team: Team) -> None:
    assert stored(team, **{"$elements": [], "n": 1}) == ("", {"n": 1})


def test_as_many_elements_as_an_event_holds(team: Team) -> None:
    chain, kept = stored(team, **{"$elements": [{"tag_name": "a", "attr__x": "\\"}] * 20_000})
    assert (chain.count(";"), kept) == (19_999, {})


def test_imported_elements_are_read_alike(team: Team, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    rest = {"event": "$autocapture", "distinct_id": "u", "timestamp": "2024-05-01T00:00:00Z"}
    lines = [
        {**rest, "properties": {"$elements": ELEMENTS}},
        {**rest, "elements": orjson.dumps(ELEMENTS).decode(), "distinct_id": "v"},
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    with EventFile.open(str(path)) as file:
        Importer(IngestTeam(id=team.id), ImportOptions(), None).run(file)
    assert [row["elements_chain"] for row in rows("events")] == [CHAIN] * 2
