"""The runs of a query, from the project's own log of queries."""

from typing import Any, Final

from core.query.bodies import QueryRequest
from core.query.calculation import Asker, question_of, shown_to
from core.query.errors import answered_errors

_RUNS: Final = (
    "SELECT * FROM query_log WHERE query_id = {query_id} AND event_date >= yesterday() ORDER BY event_time DESC"
)


def runs_of(asker: Asker, query_id: str) -> dict[str, Any]:
    """Return the answer of a HogQLQuery over the log; it is neither kept nor logged itself."""
    node = {"kind": "HogQLQuery", "query": _RUNS, "values": {"query_id": query_id}}
    question = question_of(asker, QueryRequest(node=node))
    with answered_errors(_RUNS):
        return shown_to(asker, question.runner.run())
