"""HogQLAutocomplete: what may stand at a place of a text that is being written."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from core.query.completion.suggest import Suggester, Suggestion, Suggestions, place_of
from core.query.completion.templates import braces_at, members_below
from core.query.property_names import property_names
from core.query.reading import BadNode, Fields
from core.query.runners.base import QueryContext, Runner
from events.hogql.context import Context, PropertyOf
from events.hogql.parser import MAX_CHARACTERS

LANGUAGES: Final = ("hogQL", "hogQLExpr", "hogTemplate", "hog", "hogJson", "liquid")
_TABLES: Final = {"ActorsQuery": "persons", "PersonsNode": "persons"}
_MAX_VARIABLES: Final = 1000

type Json = Any


class AutocompleteRunner(Runner):
    """Answers from the text, the registries of tables and functions, and the names of the project's properties."""

    kind = "HogQLAutocomplete"
    immediate = True

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check all members."""
        super().__init__(node, context)
        fields = Fields(node).only(
            "language", "query", "startPosition", "endPosition", "globals", "filters", "variables", "sourceQuery",
            "name", "connectionId",
        )  # fmt: skip
        language = fields.choice("language", LANGUAGES)
        if language is None:
            raise fields.missing("language")
        self.language: Final = language
        text = fields.required_text("query", longest=MAX_CHARACTERS)
        start, end = fields.integer("startPosition"), fields.integer("endPosition")
        if start is None or end is None:
            raise fields.missing("startPosition" if start is None else "endPosition")
        if start > end:
            raise BadNode("Input should not lie before startPosition", (*fields.path, "endPosition"))
        self.place: Final = place_of(text, start, end)
        self.globals: Final = fields.mapping("globals") or {}
        fields.mapping("filters")
        source = fields.mapping("sourceQuery") or {}
        kind = source.get("kind")
        self.table: Final = _TABLES.get(kind, "events") if isinstance(kind, str) else "events"
        self.variables: Final = _variable_names(fields)

    def run(self) -> dict[str, Json]:
        """Return the suggestions; a client narrows them down itself while its user types on."""
        with self.context.record.timed("suggest"):
            found = self._found()
        return {
            "suggestions": [_shown(one) for one in found.items],
            "incomplete_list": found.incomplete,
            "timings": [{"k": name, "t": seconds} for name, seconds in self.context.record.timings.items()],
        }

    def _found(self) -> Suggestions:
        match self.language:
            case "hogQL":
                return self._suggester().suggest(self.place)
            case "hogQLExpr":
                return self._suggester().expression(self.place, self.table)
            case "hogTemplate":
                chain = braces_at(self.place)
                return Suggestions() if chain is None else members_below(self.globals, chain)
            case _:
                return Suggestions()

    def _suggester(self) -> Suggester:
        project = self.context.project
        context = Context(team_id=project.team_id, timezone=project.timezone, group_types=project.group_types)
        return Suggester(context, self._property_names, self.variables)

    def _property_names(self, owner: PropertyOf, part: str, most: int) -> Sequence[tuple[str, str | None]]:
        return property_names(self.context.team.id, owner, part=part, most=most)


def _variable_names(fields: Fields) -> list[str]:
    entries = list((fields.mapping("variables") or {}).values())[:_MAX_VARIABLES]
    names = [entry.get("code_name") for entry in entries if isinstance(entry, Mapping)]
    return [name for name in names if isinstance(name, str)]


def _shown(one: Suggestion) -> dict[str, Json]:
    return {
        "kind": one.kind,
        "label": one.label,
        "insertText": one.insert,
        "detail": one.detail,
        "documentation": one.documentation,
    }
