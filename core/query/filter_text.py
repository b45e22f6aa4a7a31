"""Property filters as HogQL text, for the `hogql` of an answer. Nothing is run from it: compiled filters are exact."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from events.filters.predicates import (
    Affix,
    Between,
    CleanedPath,
    Compares,
    Contains,
    DateWithin,
    Equals,
    IsSet,
    Matches,
    Predicate,
    VersionWithin,
)
from events.filters.selectors import Selector
from events.filters.tree import (
    CohortFilter,
    Filter,
    FilterGroup,
    HogQLFilter,
    PersonsFilter,
    PropertyFilter,
    SelectorFilter,
)
from events.hogql.printer import print_hogql

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"})
_SECOND: Final = 1_000_000
_LAST_SECOND: Final = 253_402_300_799
_SHOWN: Final = 100


def filter_text(wanted: Filter, *, own: str = "event") -> str:
    """Return a filter as HogQL; `own` is the type of the properties that the table itself has."""
    match wanted:
        case FilterGroup(_, ()):
            return "false" if wanted.type == "OR" else "true"
        case FilterGroup():
            inner = f" {wanted.type.lower()} ".join(filter_text(one, own=own) for one in wanted.values)
            return f"({inner})"
        case CohortFilter():
            column = "id" if own == "person" else "person_id"
            word = "and" if wanted.negated else "or"
            members = f" {word} ".join(
                f"{column} {'not ' * wanted.negated}in cohort {number}" for number in wanted.cohort_ids
            )
            return f"({members})"
        case SelectorFilter():
            text = f"match(elements_chain, {text_literal(', '.join(map(_selector, wanted.selectors)))})"
        case HogQLFilter(expression, predicate):
            text = print_hogql(expression.node)
            text = text if predicate is None else _predicate(predicate, f"toString({text})")
        case PersonsFilter(uuids):
            return f"id in ({', '.join(text_literal(str(uuid)) for uuid in sorted(uuids)) or 'NULL'})"
        case PersonsFilter(uuids):
            return f"in(id, {_tuple(sorted(map(str, uuids))[:_SHOWN])})"
        case HogQLFilter(expression, predicate):
            printed = print_hogql(expression.node)
            text = f"({printed})" if predicate is None else _predicate(predicate, f"toString({printed})")
        case _:
            text = _predicate(wanted.predicate, _place(wanted, own))
    return f"not({text})" if wanted.negated else text


def _selector(selector: Selector) -> str:
    parts = []
    for compound in selector.compounds:
        attributes = "".join(f'[{names[0]}="{value}"]' for names, value in compound.attributes)
        classes = "".join(f".{name}" for name in compound.classes)
        parts.append(
            f"{'> ' * compound.child}{compound.tag or ('' if classes or attributes else '*')}{classes}{attributes}"
        )
    return " ".join(parts)


def _place(wanted: PropertyFilter, own: str) -> str:
    match wanted.type:
        case "session":
            return _name(wanted.key) if own == "session" else f"session.{_name(wanted.key)}"
        case "element":
            return f"elements_chain_{'href' if wanted.key == 'href' else 'texts'}"
        case "event" if wanted.key == "distinct_id":
            return "distinct_id"
        case "event_metadata":
            return _name(wanted.key)
        case kind:
            owner = f"group_{wanted.group_type_index}" if kind == "group" else kind
            return f"{'' if kind == own else f'{owner}.'}properties.{_name(wanted.key)}"


def _predicate(predicate: Predicate, place: str) -> str:
    match predicate:
        case IsSet():
            return f"isNotNull({place})"
        case Compares(ordering, bound, numeric):
            return f"{f'toFloat({place})' if numeric else place} {ordering} {bound if numeric else text_literal(bound)}"
        case Between(low, high, outside):
            return f"toFloat({place}) {'not ' * outside}between {low} and {high}"
        case DateWithin() | VersionWithin():
            return _within(predicate, place)
        case _:
            return _of_texts(predicate, place)


def _of_texts(predicate: Equals | Contains | Matches | Affix | CleanedPath, place: str) -> str:
    match predicate:
        case Equals((one,)):
            return f"equals({place}, {text_literal(one)})"
        case Equals(several) | CleanedPath(_, several):
            return f"in({place}, {_tuple(several)})"
        case Contains(texts):
            return _any(f"ilike({place}, {text_literal(f'%{one}%')})" for one in texts)
        case Matches(patterns):
            return _any(f"match({place}, {text_literal(one)})" for one in patterns)
        case Affix(texts, end):
            return _any(f"{'endsWith' if end else 'startsWith'}({place}, {text_literal(one)})" for one in texts)


def _within(predicate: DateWithin | VersionWithin, place: str) -> str:
    if isinstance(predicate, DateWithin):
        value = f"toDateTime({place})"
        ends = [None if end is None else _moment(end) for end in (predicate.since, predicate.until)]
    else:
        value = f"sortableSemver({place})"
        ends = [None if end is None else text_literal(end) for end in (predicate.low, predicate.high)]
    inside = " and ".join(
        f"{value} {sign} {end}" for sign, end in zip((">=", "<"), ends, strict=True) if end is not None
    )
    return f"not({inside})" if predicate.outside else f"({inside})"


def _any(conditions: Iterable[str]) -> str:
    return f"({' or '.join(conditions)})"


def _moment(micros: int) -> str:
    seconds = min(max(micros // _SECOND, -2_208_988_800), _LAST_SECOND)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"toDateTime({text_literal(moment.isoformat(sep=' ', timespec='seconds')[:19])}, 'UTC')"


def _name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def text_literal(text: str) -> str:
    """Return a text as HogQL writes it."""
    return f"'{text.translate(_ESCAPES)}'"


def _tuple(texts: Iterable[str]) -> str:
    return f"tuple({', '.join(map(text_literal, texts))})"
