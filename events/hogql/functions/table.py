"""Reads `lists/*.txt`, in which functions are listed by group, one line each.

    # Dates
    toDate, to_date = toDateOrNull ~ | 1 | Date? | '2024-03-05' | The date in a text.

Columns: the names, ClickHouse's name or expression where it differs, `~` when letters' case does not matter | how many
arguments (`2`, `1-3`, `1+`), the parameters in parentheses, `lambda:0` for places of lambdas, `const:0` for places of
constants, `timezone:1` for the place of the project's time zone | what is returned (see `returns`) | the arguments of
an example in ClickHouse's SQL, or all of it with `@` for the name, or `-` for none | the description.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from events.hogql.functions import returns
from events.hogql.functions.definition import NO_ARGUMENTS, Arity, Function, Special

_CELL = re.compile(r"\s\|(?=\s)")
_ARITY = re.compile(r"(\d+)(?:-(\d+)|(\+))?$")


def functions(lists: Path, specials: Mapping[str, Special]) -> Iterator[Function]:
    """Read every list of a folder; `specials` are those that are more than a name or an expression."""
    for path in sorted(lists.glob("*.txt")):
        group, kind = "", ""
        for line in path.read_text().splitlines():
            if line.startswith("#"):
                group, _, kind = line.removeprefix("# ").partition(" @")
            elif line:
                yield from _functions(group, kind, line, specials)


def _functions(group: str, kind: str, row: str, specials: Mapping[str, Special]) -> Iterator[Function]:
    named, counted, returned, example, description = (cell.strip() for cell in _CELL.split(row))
    listed, _, clickhouse = named.partition(" = ")
    listed, insensitive = listed.removesuffix("~"), listed.endswith("~")
    names = [name.strip() for name in listed.split(",")]
    arity, params, places = _counts(counted)
    for name in names:
        written = clickhouse or names[0]
        call = example.replace("@", name, 1) if example.startswith("@") else f"{name}({example.removeprefix('-')})"
        yield Function(
            name=name,
            clickhouse=written,
            arity=arity,
            params=params,
            returns=returns.parse(returned),
            description=description,
            group=group,
            example=call,
            aggregate=kind == "aggregate",
            window=kind == "window",
            expanded=kind == "expanded",
            case_sensitive=not insensitive,
            special=specials.get(names[0]),
            timezone=places["timezone"][0] if places["timezone"] else None,
            higher_order=places["lambda"],
            constants=places["const"],
        )


def _counts(text: str) -> tuple[Arity, Arity, dict[str, tuple[int, ...]]]:
    """Read the second column."""
    arity, params = NO_ARGUMENTS, NO_ARGUMENTS
    places: dict[str, tuple[int, ...]] = {"lambda": (), "const": (), "timezone": ()}
    for word in text.split():
        label, colon, numbers = word.partition(":")
        if colon:
            places[label] = tuple(int(number) for number in numbers.split(","))
        elif word.startswith("("):
            params = _arity(word.strip("()"))
        else:
            arity = _arity(word)
    return arity, params, places


def _arity(text: str) -> Arity:
    found = _ARITY.match(text)
    if found is None:
        msg = f"cannot read arity {text!r}"
        raise ValueError(msg)
    least = int(found[1])
    return least, None if found[3] else int(found[2] or least)
