"""Random events with their persons, groups, cohorts and chains of elements, and filters that look at them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from hypothesis import strategies as st

from events import client
from events.filters.operators import OPERATORS
from events.rows import Table, cohort_person_row, distinct_id_row, event_row, group_row, person_row
from tests.support.event_filter_oracle import COHORTS, Asked, Element, Event, Part, World

BEGIN = datetime(2024, 3, 30, 23, 59, 58, 500_000, tzinfo=UTC)
PEOPLE = [UUID(int=number) for number in range(1, 6)]
IDS = ["ann", "Ann@x.org", "7", "ben;\"q'", "é/\\"]
KEYS = ["plan", "it's", '"q"', "size"]
GROUPS = ["acme", 'Über; "x"', ""]
TAGS = ["a", "div", "my-tag", "svg:path", "RCTView"]
CLASSES = ["btn", "md:flex", "-x", "w-[1/2]", "data-[s=open]:p", "1st", "ü"]
NAMES = ["href", "attr__href", "attr_id", "attr__id", "text", "attr__data-k", "nth-child", "nth-of-type", "attr__v:on"]
VALUES = [
    "1",
    "2",
    "Buy now",
    "buy",
    "a;b",
    'say "hi"',
    "x=y",
    "C:\\dir",
    "\n",
    "é",
    ".btn:text=",
    "https://x.org/?a=1",
    "",
]

scalars = st.sampled_from(["pro", "Pro", "", "1", "10", 1, 10, 1.5, True, None, "2024-03-31", "1.2.3", "é", "a;b"])
documents = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=4)
moments = st.builds(
    lambda seconds, micros: BEGIN + timedelta(seconds=seconds, microseconds=micros),
    st.sampled_from([0, 1, 2, 60, 61, 3600, 86_400, 100_000]),
    st.sampled_from([0, 1, 499_999, 500_000]),
)


@st.composite
def elements(draw: st.DrawFn) -> Element:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))
    # Readers find the first attribute by its plain name.
    names.sort(key=lambda name: ":" in name)
    attributes = tuple((name, draw(st.sampled_from(VALUES))) for name in names)
    if names and ":" in names[0]:
        attributes = (("attr__class", "c"), *attributes)
    classes = draw(st.lists(st.sampled_from(CLASSES), max_size=3, unique=True))
    return Element(draw(st.sampled_from(TAGS)), tuple(classes), attributes)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True))
    rows = []
    for number in range(draw(st.integers(1, 9))):
        properties = dict(draw(documents))
        properties |= draw(st.dictionaries(st.sampled_from(["$group_0", "$group_4"]), st.sampled_from([*GROUPS, 1])))
        if draw(st.booleans()):
            properties["$session_id"] = draw(st.sampled_from(["s1", "s2", ""]))
        chain = tuple(draw(st.lists(elements(), max_size=4)))
        rows.append(Event(UUID(int=number), draw(st.sampled_from(ids)), draw(moments), properties, chain))
    cohorts = st.frozensets(st.sampled_from(PEOPLE))
    return World(
        events=tuple(rows),
        owners={one: draw(st.sampled_from(PEOPLE)) for one in ids},
        persons=draw(st.dictionaries(st.sampled_from(PEOPLE), documents)),
        groups=draw(st.dictionaries(st.tuples(st.sampled_from([0, 4]), st.sampled_from(GROUPS)), documents)),
        cohorts={1: draw(cohorts), 2: draw(cohorts)},
    )


def stored(world: World, team_id: int, *, moved: bool) -> None:
    """Insert a world; with `moved` events tell of other owners, and only overrides of these."""
    other = {one: PEOPLE[(PEOPLE.index(owner) + 1) % len(PEOPLE)] for one, owner in world.owners.items()}
    stored_owners = other if moved else world.owners
    _insert(
        Table.EVENTS,
        [
            event_row(
                team_id=team_id,
                uuid=event.uuid,
                event="e",
                distinct_id=event.distinct_id,
                timestamp=event.timestamp,
                created_at=BEGIN,
                properties=orjson.dumps(event.properties).decode(),
                person_id=stored_owners[event.distinct_id],
                person_created_at=BEGIN,
                elements_chain=event.chain,
            )
            for event in world.events
        ],
    )
    gone = [one for one in PEOPLE if one not in world.persons]
    _insert(
        Table.PERSONS,
        [
            person_row(
                team_id=team_id,
                id=one,
                created_at=BEGIN,
                properties=orjson.dumps(world.persons.get(one, {"plan": "pro"})).decode(),
                is_identified=True,
                version=version,
                is_deleted=one in gone,
            )
            # Of those who are gone some never had a row.
            for version, one in enumerate([*world.persons, *gone[::2]])
        ],
    )
    _insert(
        Table.GROUPS,
        [
            group_row(
                team_id=team_id,
                group_type_index=index,
                group_key=key,
                created_at=BEGIN,
                properties=orjson.dumps(properties).decode(),
                version=1,
            )
            for (index, key), properties in world.groups.items()
        ],
    )
    _insert(
        Table.COHORT_PEOPLE,
        [
            cohort_person_row(
                team_id=team_id, cohort_id=number, person_id=one, version=1, is_deleted=one not in members
            )
            for number, members in world.cohorts.items()
            for one in PEOPLE
        ],
    )
    if moved:
        _insert(
            Table.PERSON_DISTINCT_ID_OVERRIDES,
            [
                distinct_id_row(team_id=team_id, distinct_id=one, person_id=owner, version=1)
                for one, owner in world.owners.items()
            ],
        )


def _insert(table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        client.insert_json_rows(table, b"\n".join(map(orjson.dumps, rows)), token=str(uuid4()))


@st.composite
def parts(draw: st.DrawFn) -> Part:
    tag = draw(st.sampled_from([None, *TAGS]))
    classes = tuple(draw(st.lists(st.sampled_from(CLASSES), max_size=2)))
    names = st.sampled_from(["id", "href", "data-k", "nth-child", "nth-of-type", "v:on", "text"])
    attributes = tuple(
        (name, draw(st.sampled_from(["1", "2", "7"] if name.startswith("nth") else VALUES)))
        for name in draw(st.lists(names, max_size=2))
    )
    return Part(tag, classes, attributes, child=draw(st.booleans()))


@st.composite
def selectors(draw: st.DrawFn) -> tuple[str, Asked]:
    """Return the text of a selector and its parts."""
    found = tuple(draw(st.lists(parts(), min_size=1, max_size=3)))
    return _joined(draw, found), Asked(found)


def _joined(draw: st.DrawFn, found: tuple[Part, ...]) -> str:
    text = ""
    for number, part in enumerate(found):
        if number:
            text += draw(st.sampled_from([" > ", ">", "> "])) if part.child else draw(st.sampled_from([" ", "  "]))
        text += _written(draw, part)
    return text


alike_elements = st.builds(
    Element,
    st.sampled_from("ab"),
    st.sampled_from([(), ("c",), ("c", "d")]),
    st.sampled_from([(), (("attr_id", "1"),)]),
)
_alike_parts = st.builds(
    Part,
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([(), (), ("c",), ("d", "c")]),
    st.sampled_from([(), (), (("id", "1"),)]),
    child=st.booleans(),
)


@st.composite
def alike_selectors(draw: st.DrawFn) -> tuple[str, Asked]:
    """Return a selector of few words, that often selects one of `alike_elements`, and its parts."""
    found = tuple(draw(st.lists(_alike_parts, min_size=1, max_size=4)))
    return _joined(draw, found), Asked(found)


def _written(draw: st.DrawFn, part: Part) -> str:
    texts = ["." + _escaped(draw, name) for name in part.classes]
    for name, value in part.attributes:
        if name.startswith("nth"):
            texts.append(f":{name}({value})")
        elif name == "id" and value and draw(st.booleans()):
            texts.append("#" + _escaped(draw, value))
        else:
            quote = draw(st.sampled_from("\"'"))
            quoted = value.replace("\\", "\\\\").replace(quote, "\\" + quote)
            texts.append(f"[{_escaped(draw, name)}={quote}{quoted}{quote}]")
    tag = "" if part.tag is None else _escaped(draw, part.tag)
    return (tag or draw(st.sampled_from(["*", ""] if texts else ["*"]))) + "".join(texts)


def _escaped(draw: st.DrawFn, name: str) -> str:
    """Write a name as CSS does: with letters as they are, all others escaped."""
    hexadecimal = draw(st.booleans())
    return "".join(
        one if one.isalnum() or one in "-_" else f"\\{ord(one):x} " if hexadecimal or one == "\n" else "\\" + one
        for one in name
    )


@st.composite
def filters(
    draw: st.DrawFn, known: dict[str, Asked], depth: int = 2, leaves: st.SearchStrategy[Mapping[str, Any]] | None = None
) -> Any:
    """Return a filter object; the parts of its selectors go into `known`."""
    if depth and draw(st.integers(0, 2)):
        if leaves is None and draw(st.booleans()):
            # Neighbours that look at one place are joined into one set.
            leaves = draw(st.sampled_from(_of_one_place()))
        members = draw(st.lists(filters(known, depth - 1, leaves), min_size=1, max_size=3))
        if len({"values" in one for one in members}) > 1:
            members = [one if "values" in one else {"type": "AND", "values": [one]} for one in members]
        return {"type": draw(st.sampled_from(["AND", "OR", "or"])), "values": members}
    item = dict(draw(_leaves(known) if leaves is None else leaves))
    if draw(st.booleans()):
        item["negation"] = draw(st.booleans())
    return item


def _of_one_place() -> list[st.SearchStrategy[Mapping[str, Any]]]:
    durations = st.sampled_from([0, 1, 60, 61, 86_400, "60"])
    return [
        _properties(st.just({"type": "person"}), KEYS),
        _properties(st.just({"type": "group", "group_type_index": 0}), KEYS),
        _properties(st.just({"type": "session"}), ["$session_duration"], durations),
    ]


def _leaves(known: dict[str, Asked]) -> st.SearchStrategy[Mapping[str, Any]]:
    return st.one_of(
        *_of_one_place(),
        _properties(st.just({}), KEYS),
        _properties(st.sampled_from([1, 4]).map(lambda index: {"type": "group", "group_type_index": index}), KEYS),
        _properties(st.just({"type": "event"}), ["distinct_id"], st.sampled_from([*IDS, "nn", 7])),
        _properties(st.just({"type": "element"}), ["text", "href"], st.sampled_from([*VALUES, "a", "1.0"])),
        _clicks(known),
        _cohort_filters(),
    )


@st.composite
def _properties(
    draw: st.DrawFn,
    base: st.SearchStrategy[dict[str, Any]],
    keys: list[str],
    operands: st.SearchStrategy[Any] | None = None,
) -> dict[str, Any]:
    operator = draw(st.sampled_from(OPERATORS))
    single = operands if operands is not None else scalars.filter(lambda value: value is not None)
    if "between" in operator:
        value: Any = [draw(st.sampled_from([0, 1, 2])), draw(st.sampled_from([1, 10, "60"]))]
    elif "regex" in operator:
        value = draw(st.sampled_from(["^p", "(?i)pro|hi", ".", "[0-9]+$", "^$"]))
    elif "date" in operator:
        value = draw(st.sampled_from(["2024-03-31", "-1d"]))
    elif "semver" in operator:
        value = draw(st.sampled_from(["1.2.3", "1", "1.2.4"]))
    elif operator in {"in", "not_in"} or draw(st.booleans()):
        value = draw(st.lists(single, min_size=1, max_size=2))
    else:
        value = draw(single)
    return {**draw(base), "key": draw(st.sampled_from(keys)), "operator": operator, "value": value}


@st.composite
def _clicks(draw: st.DrawFn, known: dict[str, Asked]) -> dict[str, Any]:
    operator = draw(st.sampled_from([None, "exact", "is_not"]))
    if draw(st.booleans()):
        tags = draw(st.lists(st.sampled_from([*TAGS, "d"]), min_size=1, max_size=2))
        return {"type": "element", "key": "tag_name", "operator": operator, "value": tags}
    found = draw(st.lists(selectors(), min_size=1, max_size=2))
    known.update(found)
    return {"type": "element", "key": "selector", "operator": operator, "value": [text for text, _ in found]}


@st.composite
def _cohort_filters(draw: st.DrawFn) -> dict[str, Any]:
    numbers = draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=2))
    operator = draw(st.sampled_from([None, "in", "not_in"]))
    return {"type": draw(st.sampled_from(sorted(COHORTS))), "key": "id", "operator": operator, "value": numbers}
