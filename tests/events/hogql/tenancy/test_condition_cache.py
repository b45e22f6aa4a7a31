"""What one statement leaves behind in ClickHouse must not change the answer to the next."""

import pytest

from events import client
from tests.events.hogql.corpus.world import EVENTS
from tests.events.hogql.tenancy.asking import answer, compiled, in_the_twin
from tests.events.hogql.tenancy.catalogue import MODES
from tests.events.hogql.tenancy.queries import Question

pytestmark = pytest.mark.usefixtures("worlds")

# With the query condition cache, all events of the project count as rows without the condition on the project.
POISON = (
    "select c4, 1 as x from (select event = 'no' as c4 from events except select false from events where 1 = 0)"
    " where c4 intersect select properties.paid as c23,"
    " person_id in (select person_id as c26 from raw_person_distinct_id_overrides group by c26 having count() > 0)"
    " from events where session.$entry_referring_domain is not null"
)


def test_a_statement_does_not_lose_the_rows_of_the_next() -> None:
    client.command("SYSTEM CLEAR QUERY CONDITION CACHE")
    for text, count in ((POISON, 0), ("select event from events", len(EVENTS))):
        statement = compiled(Question(text, MODES[0], "UTC", filtered=False, tables=frozenset()), text)
        # Where a granule has nobody else's rows.
        with in_the_twin():
            assert len(answer(statement.sql, statement.parameters, app=True).rows) == count
