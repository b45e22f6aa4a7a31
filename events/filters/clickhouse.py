"""Compiles filters to a ClickHouse condition that is 0 or 1 for every row.

`events.filters.event_clickhouse` adds what filters on events may look at besides.
"""

from typing import Any, Final

from events.filters import forms
from events.filters.dates import micros
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
from events.filters.tree import CohortFilter, Filter, FilterGroup, PropertyFilter

_MEMBERS: Final = (
    "(SELECT person_id FROM cohort_people FINAL"
    " WHERE team_id = {{team_id:Int64}} AND cohort_id IN {{{name}:Array(Int64)}} AND NOT is_deleted)"
)
# In match() a dot also takes a line feed, unlike anywhere else in RE2.
_NO_DOT_ALL: Final = "(?-s)"


def condition(wanted: Filter, parameters: dict[str, Any], *, properties: str, person_id: str = "person_id") -> str:
    """Return the condition; its values go into `parameters`, where the caller puts `team_id`.

    `properties` is an expression that gives JSON object text, `person_id` one that gives the person's UUID.
    """
    return Compiler(parameters, properties, person_id).compile(wanted)


class Compiler:
    """Writes one condition; every key and every value becomes a parameter."""

    def __init__(self, parameters: dict[str, Any], properties: str, person_id: str) -> None:
        """Take where values go, and what gives the JSON text of the properties and the person's UUID."""
        self.parameters = parameters
        self._properties = properties
        self._person_id = person_id

    def compile(self, wanted: Filter) -> str:
        """Return the condition of a filter."""
        if isinstance(wanted, FilterGroup):
            empty = "0" if wanted.type == "OR" else "1"
            return "(" + f" {wanted.type} ".join(map(self.compile, wanted.values)) + ")" if wanted.values else empty
        if isinstance(wanted, CohortFilter):
            members = _MEMBERS.format(name=self.bind(list(wanted.cohort_ids)))
            return f"({self._person_id} {'NOT ' * wanted.negated}IN {members})"
        if not isinstance(wanted, PropertyFilter):
            raise TypeError(wanted)
        return f"(NOT {self.property(wanted)})" if wanted.negated else self.property(wanted)

    def bind(self, value: object) -> str:
        """Return the name of a new parameter."""
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return name

    def text(self, value: str) -> str:
        """Return the placeholder of a text."""
        return f"{{{self.bind(value)}:String}}"

    def texts(self, values: tuple[str, ...]) -> str:
        """Return the placeholder of a list of texts."""
        return f"{{{self.bind(list(values))}:Array(String)}}"

    def property(self, wanted: PropertyFilter) -> str:
        """Return the condition on the value of a property, not turned round."""
        key = self.text(wanted.key)
        raw, string = (f"{function}({self._properties}, {key})" for function in ("JSONExtractRaw", "JSONExtractString"))
        return self.holds(wanted.predicate, raw=raw, string=string)

    def holds(self, predicate: Predicate, *, raw: str, string: str) -> str:
        """Return a condition on a value: `raw` gives its JSON text, '' where there is none, `string` its text.

        Missing values and null give an empty `string`, and what is no text gives its JSON.
        """
        if isinstance(predicate, IsSet):
            return f"({raw} NOT IN ('', 'null'))"
        if isinstance(predicate, Equals) and predicate.plain and "" not in predicate.forms:
            if len(predicate.forms) == 1:
                return f"({string} = {self.text(predicate.forms[0])})"
            return f"({string} IN {self.texts(predicate.forms)})"
        return f"arrayExists(r -> {self._of_value(predicate)}, [{raw}])"

    def same_moment(self, predicate: Equals, column: str) -> str:
        """Return a condition on a column of moments, for the same moment has many texts."""
        moments = [moment for form in predicate.forms if (moment := micros(form)) is not None]
        return f"ifNull(has({{{self.bind(moments)}:Array(Int64)}}, toUnixTimestamp64Micro({column})), 0)"

    def holds_of_text(self, predicate: Predicate, text: str) -> str:
        """Return a condition on an expression that always gives a text."""
        match predicate:
            case IsSet():
                return "toUInt8(1)"
            case Equals(values, plain=True):
                return f"({text} IN {self.texts(values)})"
            case Equals(values):
                return f"arrayExists(t -> {forms.text_form('t')} IN {self.texts(values)}, [{text}])"
            case Contains() | Matches() | Affix() | CleanedPath() | Compares(numeric=False):
                return f"arrayExists(t -> {self._of_text(predicate)}, [{text}])"
            case _:
                return f"arrayExists(r -> {self._of_value(predicate)}, [toJSONString({text})])"

    def _of_value(self, predicate: Predicate) -> str:
        """Return a condition on the JSON text `r`, which is '' where the key is missing."""
        match predicate:
            case Equals(values):
                documents = any(value.startswith(("[", "{")) for value in values)
                return f"ifNull({forms.comparison_form('r', documents=documents)} IN {self.texts(values)}, 0)"
            case Compares(ordering, bound, numeric=True):
                return self._number(f"({self._stands(ordering, bound)})")
            case Between(low, high, outside):
                inside = f"({self._stands('>=', low)} AND {self._stands('<=', high)})"
                return self._number(f"NOT {inside}" if outside else inside)
            case DateWithin(since, until, outside):
                moment = forms.micros(forms.scalar_form("r"))
                return self._within(
                    "m", moment, "m IS NOT NULL", self._ends("m", since, until, "Int64"), outside=outside
                )
            case VersionWithin(low, high, outside):
                version = forms.version(forms.scalar_text("r"))
                return self._within("k", version, "k != ''", self._ends("k", low, high, "String"), outside=outside)
            case _:
                return f"arrayExists(t -> ifNull({self._of_text(predicate)}, 0), [{forms.text('r')}])"

    def _of_text(self, predicate: Predicate) -> str:
        """Return a condition on the text `t`."""
        match predicate:
            case Contains((one,)):
                return f"position({forms.lower('t')}, {self.text(one)}) > 0"
            case Contains(texts):
                return f"arrayExists(n -> position(u, n) > 0, {self.texts(texts)})".join(
                    ("arrayExists(u -> ifNull(", f", 0), [{forms.lower('t')}])")
                )
            case Matches(patterns):
                return " OR ".join(f"match(t, {self.text(_NO_DOT_ALL + pattern)})" for pattern in patterns)
            case Affix(texts, end):
                return f"arrayExists(n -> {'endsWith' if end else 'startsWith'}(t, n), {self.texts(texts)})"
            case CleanedPath(rules, paths):
                cleaned = "t"
                for pattern, replacement in rules:
                    bound = f"{self.text(_NO_DOT_ALL + pattern)}, {self.text(replacement)}"
                    cleaned = f"replaceRegexpAll({cleaned}, {bound})"
                return f"{cleaned} IN {self.texts(paths)}"
            case Compares(ordering, bound):
                return f"t {ordering} {self.text(bound)}"
            case _:
                raise TypeError

    @staticmethod
    def _number(wanted: str) -> str:
        return f"arrayExists(c -> c != '' AND {wanted}, [{forms.number('r')}])"

    def _stands(self, ordering: str, bound: str) -> str:
        """Compare the plain number `c` with a bound, exactly: by sign, by digits before the point, by digits."""
        magnitude = bound.removeprefix("-")
        size = len(magnitude.partition(".")[0])
        negative = bound.startswith("-")
        turned = {">": "<", ">=": "<=", "<": ">", "<=": ">="}[ordering] if negative else ordering
        digits = "replaceOne(c, '-', '')"
        compared = (
            f"(length(splitByChar('.', {digits})[1]), {digits}) {turned} (toUInt64({size}), {self.text(magnitude)})"
        )
        greater = ordering.startswith(">")
        if negative:
            return f"(NOT startsWith(c, '-') OR {compared})" if greater else f"(startsWith(c, '-') AND {compared})"
        return f"(NOT startsWith(c, '-') AND {compared})" if greater else f"(startsWith(c, '-') OR {compared})"

    def _ends(self, name: str, low: object, high: object, kind: str) -> str:
        ends = [
            f"{name} {sign} {{{self.bind(end)}:{kind}}}" for sign, end in ((">=", low), ("<", high)) if end is not None
        ]
        return " AND ".join(ends) or "1"

    @staticmethod
    def _within(name: str, value: str, known: str, inside: str, *, outside: bool) -> str:
        wanted = f"NOT ({inside})" if outside else f"({inside})"
        return f"arrayExists({name} -> ifNull({known} AND {wanted}, 0), [{value}])"
