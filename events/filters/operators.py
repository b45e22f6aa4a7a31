"""The operators of property filters: what each one makes of its operands."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

import re2

from events.filters import dates, values, versions
from events.filters.errors import FilterError
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
    Ordering,
    Predicate,
    VersionWithin,
)

LONGEST_PATTERN: Final = 1000
LARGEST_PROGRAM: Final = 10_000

type Rules = tuple[tuple[str, str], ...]
type Build = Callable[[tuple[str, ...], Context], Predicate]
type Pairs = list[tuple[Operator, str]]
type Take = Literal["nothing", "list", "pair", "texts"]


@dataclass(frozen=True, slots=True)
class Context:
    """What operands are read with: the moment that relative dates count from, and the project's path rules."""

    now: datetime
    path_rules: Rules = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """How an operator reads its operands.

    `together` operators take all operands into one predicate; the others make one predicate for each, of which
    one must be true, or with `opposite` all.
    """

    name: str
    build: Build
    together: bool = True
    negated: bool = False
    opposite: bool = False
    takes: Take = "texts"

    @property
    def costly(self) -> bool:
        """Tell whether each operand costs as much as a filter of its own."""
        return self.build is _matches


def _equals(operands: tuple[str, ...], _: Context) -> Predicate:
    documents = [form for operand in operands if (form := values.document_form(operand)) is not None]
    plain = not any(operand.startswith(("[", "{")) or values.plain_number(operand) is not None for operand in operands)
    return Equals(
        tuple(dict.fromkeys([*map(values.comparison_form, operands), *documents])), plain=plain and not documents
    )


def _contains(operands: tuple[str, ...], _: Context) -> Predicate:
    return Contains(tuple(map(values.lower, operands)))


def _matches(operands: tuple[str, ...], _: Context) -> Predicate:
    for operand in operands:
        check_pattern(operand)
    return Matches(operands)


def check_pattern(pattern: str) -> None:
    """Refuse what RE2 refuses, what would match single bytes, and what is too large."""
    if len(pattern) > LONGEST_PATTERN:
        message = f"A regular expression may have at most {LONGEST_PATTERN} characters."
        raise FilterError(message)
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        message = f"This is not a valid regular expression (RE2): {text}"
        raise FilterError(message) from error
    if compiled.programsize > LARGEST_PROGRAM:
        raise FilterError("This regular expression is too large.")
    if re.search(r"(?<!\\)(?:\\\\)*\\C", pattern):
        raise FilterError("This is not a valid regular expression: \\C is not supported.")


def _affix(*, end: bool) -> Build:
    return lambda operands, _: Affix(operands, end)


def _compares(ordering: Ordering) -> Build:
    def build(operands: tuple[str, ...], _: Context) -> Predicate:
        number = values.plain_number(operands[0])
        return Compares(ordering, operands[0] if number is None else number, number is not None)

    return build


def _between(operands: tuple[str, ...], context: Context) -> Predicate:
    del context
    low, high = map(values.plain_number, operands)
    if low is None or high is None:
        raise ValueError
    return Between(low, high)


def _date(reach: Literal["exact", "before", "after"]) -> Build:
    def build(operands: tuple[str, ...], context: Context) -> Predicate:
        moment = dates.read_moment(values.comparison_form(operands[0]), now=context.now)
        if moment is None:
            message = f"{operands[0][:100]!r} is not a date: write ISO 8601, a Unix time or one like -7d."
            raise FilterError(message)
        if reach == "exact":
            return DateWithin(*moment.exact)
        return DateWithin(None, moment.at) if reach == "before" else DateWithin(moment.after, None)

    return build


def _version(
    bounds: Callable[[str], tuple[str | None, str | None] | None],
) -> Build:
    def build(operands: tuple[str, ...], _: Context) -> Predicate:
        found = bounds(operands[0])
        if found is None:
            message = f"{operands[0][:100]!r} is not a semantic version."
            raise FilterError(message)
        return VersionWithin(*found)

    return build


def _around(
    name: Literal["eq", "gt", "gte", "lt", "lte"],
) -> Callable[[str], tuple[str | None, str | None] | None]:
    def bounds(text: str) -> tuple[str | None, str | None] | None:
        key = versions.sortable(text)
        if key is None:
            return None
        above = versions.just_above(key)
        return {"eq": (key, above), "gt": (above, None), "gte": (key, None), "lt": (None, key), "lte": (None, above)}[
            name
        ]

    return bounds


def _cleaned(operands: tuple[str, ...], context: Context) -> Predicate:
    if any("\\" in replacement for _, replacement in context.path_rules):
        # ClickHouse and Postgres would read it as a reference to a group, each in its own way.
        raise FilterError("The alias of a path cleaning rule may not have a backslash in filters.")
    return CleanedPath(context.path_rules, tuple(clean_path(operand, context.path_rules) for operand in operands))


def clean_path(path: str, rules: Iterable[tuple[str, str]]) -> str:
    """Return a path after all rules, each replacing every match by its text taken literally."""
    for pattern, replacement in rules:
        path = re2.sub(pattern, replacement, path)
    return path


def _outside(build: Build) -> Build:
    def built(operands: tuple[str, ...], context: Context) -> Predicate:
        predicate = build(operands, context)
        if not isinstance(predicate, Between | DateWithin | VersionWithin):
            raise TypeError
        return replace(predicate, outside=True)

    return built


def _is_set(operands: tuple[str, ...], context: Context) -> Predicate:
    del operands, context
    return IsSet()


def _both(name: str, opposite: str, build: Build, **more: Take) -> Pairs:
    return [
        (Operator(name, build, takes=more.get("takes", "texts")), opposite),
        (Operator(opposite, build, negated=True, takes=more.get("takes", "texts")), name),
    ]


def _kind(name: str, opposite: str, build: Build, takes: Take) -> Pairs:
    together = takes == "pair"
    return [
        (Operator(name, build, together=together, takes=takes), opposite),
        (Operator(opposite, _outside(build), together=together, opposite=True, takes=takes), name),
    ]


def _ordered(name: str, ordering: Ordering, opposite: Ordering) -> Pairs:
    return [
        (Operator(name, _compares(ordering), together=False), f"not {name}"),
        (Operator(f"not {name}", _compares(opposite), together=False, opposite=True), name),
    ]


_TABLE: Final[Pairs] = [
    *_both("exact", "is_not", _equals),
    *_both("in", "not_in", _equals, takes="list"),
    *_both("icontains", "not_icontains", _contains),
    *_both("regex", "not_regex", _matches),
    *_both("starts_with", "not_starts_with", _affix(end=False)),
    *_both("ends_with", "not_ends_with", _affix(end=True)),
    *_both("is_set", "is_not_set", _is_set, takes="nothing"),
    *_both("is_cleaned_path_exact", "not is_cleaned_path_exact", _cleaned),
    *_ordered("gt", ">", "<="),
    *_ordered("gte", ">=", "<"),
    *_ordered("min", ">=", "<"),
    *_ordered("lt", "<", ">="),
    *_ordered("lte", "<=", ">"),
    *_ordered("max", "<=", ">"),
    *_kind("between", "not_between", _between, "pair"),
    *_kind("is_date_exact", "not is_date_exact", _date("exact"), "texts"),
    *_kind("is_date_before", "not is_date_before", _date("before"), "texts"),
    *_kind("is_date_after", "not is_date_after", _date("after"), "texts"),
    *_kind("semver_eq", "semver_neq", _version(_around("eq")), "texts"),
    *_kind("semver_gt", "not semver_gt", _version(_around("gt")), "texts"),
    *_kind("semver_gte", "not semver_gte", _version(_around("gte")), "texts"),
    *_kind("semver_lt", "not semver_lt", _version(_around("lt")), "texts"),
    *_kind("semver_lte", "not semver_lte", _version(_around("lte")), "texts"),
    *_kind("semver_tilde", "not semver_tilde", _version(versions.tilde_bounds), "texts"),
    *_kind("semver_caret", "not semver_caret", _version(versions.caret_bounds), "texts"),
    *_kind("semver_wildcard", "not semver_wildcard", _version(versions.wildcard_bounds), "texts"),
]
_ALL: Final[Mapping[str, Operator]] = MappingProxyType({operator.name: operator for operator, _ in _TABLE})
_OPPOSITES: Final[Mapping[str, str]] = MappingProxyType({operator.name: opposite for operator, opposite in _TABLE})
# Names with a space are only reached by `negation: true`.
OPERATORS: Final = tuple(name for name in _ALL if " " not in name)


def find_operator(name: object, *, negation: bool) -> Operator:
    """Return the operator of this name, or its opposite; FilterError when there is none."""
    if not isinstance(name, str) or name not in OPERATORS:
        message = f"There is no operator {str(name)[:100]!r}; operators are: {', '.join(OPERATORS)}."
        raise FilterError(message)
    return _ALL[_OPPOSITES[name] if negation else name]
