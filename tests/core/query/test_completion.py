"""What may stand at a place of an unfinished text: the algorithm alone, on texts with a bar at the place."""

from time import thread_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.query.completion.names import quoted, unquoted
from core.query.completion.suggest import Suggester, Suggestions, place_of
from core.query.completion.tokens import tokens
from events.hogql.context import Context, PropertyOf

PROPERTIES = {"event": ["$os", "path"], "person": ["plan", "it's"], "group_0": ["size"]}


def names(owner: PropertyOf, part: str, most: int) -> list[tuple[str, str | None]]:
    held = [name for name in PROPERTIES.get(owner, []) if part.lower() in name.lower()]
    return [(name, None) for name in held][:most]


SUGGESTER = Suggester(Context(team_id=1, group_types={"company": 0}), names, ["week"])


def at(text: str) -> Suggestions:
    bar = text.index("|")
    return SUGGESTER.suggest(place_of(text.replace("|", "", 1), bar, bar))


def labels(text: str) -> list[str]:
    return [one.label for one in at(text).items if one.kind != "Function"]


@pytest.mark.parametrize(
    ("text", "there", "absent"),
    [
        ("select | from events", ["event", "person", "company", "events"], ["persons", "is_identified", "session_id"]),
        ("select ev| from events", ["event"], []),
        ("select count(| from events", ["event"], []),
        ("select count( from events where prop|", ["properties"], ["session_id"]),
        ("select event as what from events where w|", ["what"], []),
        ("select 1 union all select | from persons", ["is_identified"], ["event"]),
        ("select | from persons union all select 1 from events", ["is_identified"], ["event"]),
        ("select * from events where person_id in (select | from persons)", ["is_identified"], ["event"]),
        ("select (select | from persons), event from events", ["is_identified"], ["event"]),
        ("with a as (select event as x from events) select | from a", ["x", "a"], ["event"]),
        ("with 5 as five select f| from events", ["five", "event"], []),
        ("select any(event), | from events", ["event"], []),
        ("select extract(year from timestamp), | from events", ["event"], []),
        ("select ((select 1) union all (select | from persons))", ["is_identified"], ["event"]),
        ("select event from events order by |", ["timestamp"], []),
        ("select /* from persons */ | from events -- from groups", ["event"], ["is_identified", "key"]),
        ("select 'from persons', | from events", ["event"], ["is_identified"]),
        (
            "select x.event, | from events as x left join persons p on 1",
            ["x", "p", "event", "is_identified"],
            ["events"],
        ),
    ],
)
def test_names_in_expressions(text: str, there: list[str], absent: list[str]) -> None:
    found = labels(text)
    assert set(there) <= set(found)
    assert not set(absent) & set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "text",
    ["select * from |", "select * from ev|", "select 1 from events join |", "select 1 from events, |", "from |"],
)
def test_tables(text: str) -> None:
    found = at(text)
    assert {"events", "persons", "sessions"} <= {one.label for one in found.items}
    assert {one.kind for one in found.items} == {"Folder"}
    assert "raw_persons" not in {one.label for one in found.items}


def test_queries_of_with_are_tables() -> None:
    assert labels("with mine as (select 1) select * from |")[0] == "mine"
    assert "mine" not in labels("select * from (with mine as (select 1) select 1 from mine) as x join |")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select e.person.| from events e", ["id", "created_at", "properties"]),
        ("select person.properties.| from events", ["plan", "it's"]),
        ("select e.properties.p| from events e", ["path"]),
        ("select properties.| from persons", ["plan", "it's"]),
        ("select pdi.person.properties.| from events", ["plan", "it's"]),
        ("select company.properties.| from events", ["size"]),
        ("select group_0.properties.| from events", ["size"]),
        ("select s.| from (select event, count() as n, properties.path from events) as s", ["event", "n", "path"]),
        ("select s.properties.| from (select properties from events) s", ["$os", "path"]),
        ("select s.| from (select * from (select event as a, 1 b from events)) s", ["a", "b"]),
        ("select a.| from a", []),
        ("select event.| from events", []),
        ("select properties['|'] from events", ["$os", "path"]),
        ("select properties['pa|", []),
        ("select properties['pa| from events", ["path"]),
        ("select person.properties['| from events", ["plan", "it\\'s"]),
        ("select 'properties.|' from events", []),
        ("select event -- pers|", []),
        ("select {|} from events", ["filters", "variables"]),
        ("select {filters.dateRange.|} from events", ["from", "to"]),
        ("select {variables.|", ["week"]),
    ],
)
def test_what_follows_a_name(text: str, expected: list[str]) -> None:
    shown = [one.insert if "['" in text else one.label for one in at(text).items if one.kind != "Function"]
    assert shown == expected


def test_functions_begin_with_what_is_written() -> None:
    found = [one for one in at("select toStartOf| from events").items if one.kind == "Function"]
    assert {"toStartOfDay", "toStartOfWeek"} <= {one.label for one in found}
    assert all(one.label.lower().startswith("tostartof") for one in found)
    assert all((one.insert, bool(one.documentation)) == (f"{one.label}()", True) for one in found)


def test_a_long_list_of_properties_is_incomplete() -> None:
    def many(_: PropertyOf, __: str, most: int) -> list[tuple[str, str | None]]:
        return [(f"p{number}", "Numeric") for number in range(most)]

    suggester = Suggester(Context(team_id=1), many)
    found = suggester.suggest(place_of("select properties. from events", 18, 18))
    assert (len(found.items), found.incomplete, found.items[0].detail) == (220, True, "Numeric")


@given(st.text(max_size=40), st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_any_text_at_any_place_is_answered(text: str, place: int) -> None:
    SUGGESTER.suggest(place_of(text, place, place))


PIECES = [
    "select ",
    "from ",
    "events ",
    "(",
    ")",
    ", ",
    ".",
    "with a as ",
    "union all ",
    "properties",
    "['",
    "'",
    "{",
    "}",
    "e ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.data())
@settings(max_examples=300, deadline=None)
def test_any_pieces_of_hogql_are_answered(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    place = data.draw(st.integers(0, len(text)))
    SUGGESTER.suggest(place_of(text, place, place))


@given(st.text(max_size=60))
@settings(deadline=None)
def test_tokens_cover_all_but_spaces(text: str) -> None:
    found = list(tokens(text))
    assert "".join(text.split()) == "".join("".join(one.text.split()) for one in found)
    assert all(text[one.start : one.end] == one.text for one in found)


@given(st.text(min_size=1))
@settings(deadline=None)
def test_quoted_names_mean_themselves(name: str) -> None:
    assert unquoted(quoted(name)) == name


def seconds_of(text: str) -> float:
    """Return the CPU time of this thread."""
    place = place_of(text, len(text), len(text))
    began = thread_time()
    SUGGESTER.suggest(place)
    return thread_time() - began


@pytest.mark.parametrize(
    ("head", "piece"), [("", "("), ("select ", "a,"), ("", "'"), ("", "with a as ("), ("", "["), ("", "x.")]
)
def test_time_grows_with_the_length_of_the_text(head: str, piece: str) -> None:
    # Others on the same CPU make either slower for a while, but not each time: in turns, and only the least counts.
    short, long = [], []
    for turn in range(40):
        short.append(seconds_of(head + piece * 1_000))
        long.append(seconds_of(head + piece * 8_000))
        # Work with the square of the length would take 64 times as long, less what is the same for all texts.
        if turn >= 4 and min(long) < 24 * min(short):
            return
    pytest.fail(f"{min(long)} for {min(short)}")
