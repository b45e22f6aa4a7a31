"""What a list's filters can find in indexes: `?search=` by trigrams, properties by key and value."""

import re
from typing import Any, Final, LiteralString

import orjson

from events.filters.grammar import CohortFilter, Filter, FilterGroup, PropertyFilter
from events.filters.predicates import Contains, Equals, IsSet
from events.filters.tree import PersonsFilter

_SHORTEST_INDEXED: Final = 3
"""The index holds runs of three characters."""
_TELLING_LENGTH: Final = 6
_COMMON: Final = frozenset("aeionrst .@-_")
_PLAIN_TEXT: Final = re.compile(r"[a-z0-9@._+-]{3,}")
"""Texts that occur in the form of a value that filters compare only if they occur in the stored form too."""

_OWN_TEXT: Final[LiteralString] = "p.search_text ILIKE %(search)s"
_OWN_LINES: Final[LiteralString] = (
    "p.properties ->> 'email' ILIKE %(search)s OR p.properties ->> 'name' ILIKE %(search)s "
    "OR p.uuid::text ILIKE %(search)s"
)
# OFFSET 0 keeps Postgres from looking through all distinct ids for the sake of a few persons.
_PERSON_BY_PERSON: Final[LiteralString] = (
    "({own} OR EXISTS (SELECT FROM core_persondistinctid d "
    "WHERE d.person_id = p.id AND d.distinct_id ILIKE %(search)s OFFSET 0))"
)
# The concatenation keeps the whole term out of the index, which would read the longer lists of its common parts.
_BY_TRIGRAMS: Final[LiteralString] = (
    "p.id IN (SELECT s.id FROM core_person s WHERE s.team_id = %(team_id)s "
    "AND s.search_text ILIKE %(part)s AND (s.search_text || '') ILIKE %(search)s "
    "UNION ALL SELECT d.person_id FROM core_persondistinctid d WHERE d.team_id = %(team_id)s "
    "AND d.distinct_id ILIKE %(part)s AND (d.distinct_id || '') ILIKE %(search)s)"
)
_ALL_AT_ONCE: Final[LiteralString] = (
    "({own} OR p.id IN (SELECT d.person_id FROM core_persondistinctid d "
    "WHERE d.team_id = %(team_id)s AND d.distinct_id ILIKE %(search)s))"
)


def search_condition(term: str, parameters: dict[str, Any]) -> tuple[LiteralString, LiteralString]:
    r"""Return the condition on a row `p` for a few persons and for all, adding its pattern to `parameters`.

    `%`, `_` and `\` in the term stand for themselves.
    """
    parameters["search"] = _containing(term)
    # A term of several lines could match across the lines of the search text.
    one_line = "\n" not in term
    own = _OWN_TEXT if one_line else _OWN_LINES
    each = _PERSON_BY_PERSON.replace("{own}", own)
    if one_line and len(term) >= _SHORTEST_INDEXED:
        parameters["part"] = _containing(_telling_part(term))
        return each, _BY_TRIGRAMS
    return each, _ALL_AT_ONCE.replace("{own}", own)


def _containing(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _telling_part(term: str) -> str:
    """Return the few characters of a term by which an index finds its rows soonest.

    The index reads a list of rows for every three characters, and those of a domain or a prefix that all persons
    share are long: digits tell most, frequent letters and separators least.
    """
    scores = [3 if char.isdigit() else 0 if char.lower() in _COMMON else 1 for char in term]
    starts = range(max(len(term) - _TELLING_LENGTH, 0) + 1)
    best = max(starts, key=lambda start: sum(scores[start : start + _TELLING_LENGTH]))
    return term[best : best + _TELLING_LENGTH]


def property_probe(wanted: Filter, parameters: dict[str, Any]) -> LiteralString:
    """Return a condition on a row `p` that follows from the filter and that indexes answer, or nothing."""
    if isinstance(wanted, FilterGroup):
        probes = [property_probe(one, parameters) for one in wanted.values]
        if wanted.type == "OR":
            return "(" + " OR ".join(probes) + ")" if probes and all(probes) else ""
        return " AND ".join(filter(None, probes))
    if isinstance(wanted, PersonsFilter):
        # The few persons are found by their UUIDs at once.
        return "true"
    if wanted.negated:
        return ""
    if isinstance(wanted, CohortFilter):
        # The filter's own condition is found by the index of members.
        return "true"
    return _predicate_probe(wanted, parameters) if isinstance(wanted, PropertyFilter) else ""


def _predicate_probe(wanted: PropertyFilter, parameters: dict[str, Any]) -> LiteralString:
    if isinstance(wanted.predicate, IsSet):
        return "p.properties ? " + _bound(wanted.key, parameters)
    if isinstance(wanted.predicate, Contains) and wanted.key in {"email", "name"}:
        texts = wanted.predicate.texts
        if not all(map(_PLAIN_TEXT.fullmatch, texts)):
            return ""
        patterns = ["p.search_text ILIKE " + _bound(_containing(_telling_part(text)), parameters) for text in texts]
        return "(" + " OR ".join(patterns) + ")"
    if not isinstance(wanted.predicate, Equals) or not wanted.predicate.plain:
        return ""
    values: list[object] = list(wanted.predicate.forms)
    values += [form == "true" for form in wanted.predicate.forms if form in {"true", "false"}]
    documents = [orjson.dumps({wanted.key: value}).decode() for value in values]
    return "(" + " OR ".join("p.properties @> " + _bound(text, parameters) + "::jsonb" for text in documents) + ")"


def _bound(value: str, parameters: dict[str, Any]) -> LiteralString:
    name = f"probe{len(parameters)}"
    parameters[name] = value
    return f"%({name})s"
