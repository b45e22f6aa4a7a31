"""PersonsNode: the list of persons as a query. Deprecated for ActorsQuery, which can do more."""

from collections.abc import Mapping
from typing import Any, Final

from core.api.params import MAX_INTEGER_ID
from core.filters.reading import check_cohorts, read_filter_parameter
from core.insights.filters import all_of
from core.persons.listing import PersonFilter, person_page
from core.persons.queries import list_item, naming
from core.query.reading import Fields
from core.query.runners.base import QueryContext, Runner
from events.filters.tree import CohortFilter, Filter

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
MAX_OFFSET: Final = 1_000_000
_MAX_SEARCH: Final = 400

type Json = Any


class PersonsRunner(Runner):
    """Reads and answers a PersonsNode from Postgres, as the endpoint `persons` does."""

    kind = "PersonsNode"
    immediate = True

    def __init__(self, node: Mapping[str, Json], context: QueryContext) -> None:
        """Check all members."""
        super().__init__(node, context)
        fields = Fields(node).only(
            "search", "cohort", "distinctId", "properties", "fixedProperties", "limit", "offset", "name"
        )
        fields.text("name", longest=128)
        # None and 0 are the default: a page without rows would never come to an end.
        self.limit: Final = min(fields.integer("limit") or DEFAULT_LIMIT, MAX_LIMIT)
        self.offset: Final = fields.integer("offset", most=MAX_OFFSET) or 0
        self.wanted: Final = PersonFilter(
            distinct_id=fields.text("distinctId", longest=_MAX_SEARCH),
            search=fields.text("search", longest=_MAX_SEARCH) or None,
            properties=all_of(
                self._filter(fields, "properties"), self._filter(fields, "fixedProperties"), self._cohort(fields)
            ),
        )

    def run(self) -> dict[str, Json]:
        """Return a page of persons, newest first."""
        team = self.context.team
        page = person_page(team_id=team.id, wanted=self.wanted, limit=self.limit, offset=self.offset)
        names = naming(team.person_display_name_properties)
        return {
            "results": [list_item(row, names) for row in page.rows[: self.limit]],
            "next": None,
            "previous": None,
            "hasMore": page.after or len(page.rows) > self.limit,
            "limit": self.limit,
            "offset": self.offset,
        }

    def _filter(self, fields: Fields, name: str) -> Filter | None:
        value = fields.filters(name)
        team_id, now = self.context.team.id, self.context.now
        return read_filter_parameter(value, attr=fields.attr(name), team_id=team_id, now=now, placed=True)

    def _cohort(self, fields: Fields) -> Filter | None:
        number = fields.integer("cohort", most=MAX_INTEGER_ID)
        if number is None:
            return None
        check_cohorts({number}, team_id=self.context.team.id, attr=fields.attr("cohort"))
        return CohortFilter((number,))
