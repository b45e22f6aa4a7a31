"""Compiles filters to a Postgres condition that is true or false, never null."""
# ruff: noqa: S608 made of constants and names of parameters

from typing import Any, LiteralString

from core.filters import expressions
from core.filters.regex import replaces_alike, translate
from events.filters.errors import FilterError
from events.filters.grammar import CohortFilter, Filter, FilterGroup, PropertyFilter
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
from events.filters.tree import PersonsFilter


def condition(
    wanted: Filter,
    parameters: dict[str, Any],
    *,
    properties: LiteralString = "p.properties",
    person_id: LiteralString = "p.id",
    uuid: LiteralString = "p.uuid",
) -> LiteralString:
    """Return the condition with `%(f0)s`-like parameters, whose values go into `parameters`.

    `properties` is an expression that gives a jsonb object, `person_id` and `uuid` those that give `core_person.id`
    and its UUID. HogQL filters must have become persons (`core.filters.person_sets`).
    FilterError for a regular expression that Postgres cannot have.
    """
    # Only constants of this package and names of parameters make the text.
    return _Compiler(parameters, properties, person_id, uuid).compile(wanted)


class _Compiler:
    """Writes one condition; every key and every value becomes a parameter."""

    def __init__(self, parameters: dict[str, Any], properties: str, person_id: str, uuid: str) -> None:
        self._parameters = parameters
        self._properties = properties
        self._person_id = person_id
        self._uuid = uuid

    def compile(self, wanted: Filter) -> str:
        """Return the condition of a filter."""
        if isinstance(wanted, FilterGroup):
            nobody = "false" if wanted.type == "OR" else "true"
            return "(" + f" {wanted.type} ".join(map(self.compile, wanted.values)) + ")" if wanted.values else nobody
        if isinstance(wanted, CohortFilter):
            return (
                f"({'NOT ' * wanted.negated}EXISTS (SELECT FROM core_cohortperson member"
                f" WHERE member.cohort_id = ANY({self._bind(list(wanted.cohort_ids))}::bigint[])"
                f" AND member.person_id = {self._person_id}))"
            )
        if isinstance(wanted, PersonsFilter):
            return f"({self._uuid} = ANY({self._bind(sorted(wanted.uuids))}::uuid[]))"
        if not isinstance(wanted, PropertyFilter) or wanted.type != "person":
            raise TypeError(wanted)
        return f"(NOT {self._property(wanted)})" if wanted.negated else self._property(wanted)

    def _bind(self, value: object) -> str:
        name = f"f{len(self._parameters)}"
        self._parameters[name] = value
        return f"%({name})s"

    def _text(self, value: str) -> str:
        return f"{self._bind(value)}::text"

    def _texts(self, values: tuple[str, ...]) -> str:
        return f"{self._bind(list(values))}::text[]"

    def _property(self, wanted: PropertyFilter) -> str:
        key = self._text(wanted.key)
        predicate = wanted.predicate
        match predicate:
            case IsSet():
                return f"(({self._properties} ->> {key}) IS NOT NULL)"
            case Equals((one,), plain=True):
                return f"coalesce(({self._properties} ->> {key}) = {self._text(one)}, false)"
            case Equals(forms, plain=True):
                return f"coalesce(({self._properties} ->> {key}) = ANY({self._texts(forms)}), false)"
            case _:
                # OFFSET keeps the value from being read again wherever it is named.
                return (
                    f"(SELECT coalesce({self._of_value(predicate)}, false)"
                    f" FROM (SELECT {self._properties} -> {key} AS v OFFSET 0) AS stored)"
                )

    def _of_value(self, predicate: Predicate) -> str:
        """Return a condition on the jsonb value `v`, which may be null."""
        match predicate:
            case Equals(forms):
                return f"({expressions.COMPARISON_FORM}) = ANY({self._texts(forms)})"
            case Compares(ordering, bound, numeric=True):
                return f"({expressions.NUMBER}) {ordering} {self._text(bound)}::numeric"
            case Between(low, high, outside):
                ends = f"{self._text(low)}::numeric AND {self._text(high)}::numeric"
                return f"({expressions.NUMBER}) {'NOT ' * outside}BETWEEN {ends}"
            case DateWithin(since, until, outside):
                return self._within(expressions.MOMENT, since, until, "bigint", outside=outside)
            case VersionWithin(low, high, outside):
                return self._within(f'{expressions.VERSION} COLLATE "C"', low, high, "text", outside=outside)
            case _:
                return f"(SELECT {self._of_text(predicate)} FROM (SELECT {expressions.TEXT} AS t OFFSET 0) AS texts)"

    def _of_text(self, predicate: Predicate) -> str:
        """Return a condition on the text `t`, which may be null."""
        match predicate:
            case Contains((one,)):
                return f"strpos({expressions.lower('t')}, {self._text(one)}) > 0"
            case Contains(texts):
                return (
                    f"(SELECT bool_or(strpos(u, n) > 0) FROM (SELECT {expressions.lower('t')} AS u OFFSET 0) AS low,"
                    f" unnest({self._texts(texts)}) AS n)"
                )
            case Matches(patterns):
                return " OR ".join(f't COLLATE "C" ~ {self._text(translate(pattern))}' for pattern in patterns)
            case Affix(texts, end):
                found = "right(t, length(n)) = n" if end else "starts_with(t, n)"
                return f"(SELECT bool_or({found}) FROM unnest({self._texts(texts)}) AS n)"
            case CleanedPath(rules, paths):
                return f"{self._cleaned(rules)} = ANY({self._texts(paths)})"
            case Compares(ordering, bound):
                return f't COLLATE "C" {ordering} {self._text(bound)}'
            case _:
                raise TypeError

    def _cleaned(self, rules: tuple[tuple[str, str], ...]) -> str:
        cleaned = 't COLLATE "C"'
        for pattern, replacement in rules:
            if not replaces_alike(pattern):
                message = (
                    f"The path cleaning rule {pattern[:100]!r} cannot be used in filters of persons:"
                    " it must be a plain sequence without choices and lazy repeats."
                )
                raise FilterError(message)
            cleaned = f"regexp_replace({cleaned}, {self._text(translate(pattern))}, {self._text(replacement)}, 'g')"
        return cleaned

    def _within(self, value: str, low: object, high: object, kind: str, *, outside: bool) -> str:
        ends = [f"w {sign} {self._bind(end)}::{kind}" for sign, end in ((">=", low), ("<", high)) if end is not None]
        inside = " AND ".join(ends) or "true"
        return f"(SELECT w IS NOT NULL AND {'NOT ' * outside}({inside}) FROM (SELECT {value} AS w OFFSET 0) AS ends)"
