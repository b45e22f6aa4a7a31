"""Functions of PostHog that stand for other expressions: actions, surveys, and what PostHog's tables draw."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.walk import MATCHES_ACTION, action_name

type Expansion = Callable[[ast.Call, Scope], ast.Expr]

_PLACE: Final = re.compile(r"[0-9]{1,6}")
_SURVEY_SENT: Final = "survey sent"
_RESPONSE: Final = "$survey_response"
_SUBMISSION: Final = ("properties", "$survey_submission_id")


def _matches_action(node: ast.Call, scope: Scope) -> ast.Expr:
    """Return the condition of an action, which was looked up before."""
    wanted = action_name(node)
    if wanted is None:
        raise mistake(node.args[0], "matchesAction takes an action's id as an integer, or its name as a text")
    known = scope.statement.context.actions
    if known is None:
        raise mistake(node, "matchesAction can be used in queries and insights only")
    if wanted not in known:
        what = f"ID {wanted}" if isinstance(wanted, int) else f"the name '{wanted}'"
        raise mistake(node.args[0], f"Could not find an action with {what}")
    condition = known[wanted]
    if condition is None:
        raise mistake(node.args[0], "Action does not have any match groups")
    tables = [table for table in dict.fromkeys(scope.tables.values()) if table.table == condition.table]
    if len(tables) != 1:
        raise mistake(node, "matchesAction needs one table `events` in FROM: with none, or several, use a subquery")
    return condition


def _drawn(kind: str, *names: str) -> Expansion:
    """Return the expansion to the tuple that PostHog's tables read as an element with these attributes."""

    def expand(node: ast.Call, scope: Scope) -> ast.Expr:
        del scope
        pairs = [part for name, value in zip(names, node.args, strict=False) for part in (ast.Constant(name), value)]
        return ast.Tuple(exprs=(ast.Constant("__hx_tag"), ast.Constant(kind), *pairs))

    return expand


def _survey_response(node: ast.Call, scope: Scope) -> ast.Expr:
    """Return an answer by the key of its question's id, where there is none by that of the question's place."""
    del scope
    index = _constant(node, 0)
    if isinstance(index, bool) or not _PLACE.fullmatch(str(index)):
        raise mistake(node.args[0], "getSurveyResponse takes the place of a question, an integer from 0")
    number = int(str(index))
    question, several = _constant(node, 1), _constant(node, 2)
    by_id: ast.Expr = ast.Constant(f"{_RESPONSE}_{question}") if question else _key_of_question(number)
    by_place = ast.Constant(_RESPONSE if number == 0 else f"{_RESPONSE}_{number}")
    if not several:
        return _call(
            "coalesce", *(_call("nullIf", _json("String", key), ast.Constant("")) for key in (by_id, by_place))
        )
    chosen = _json("ArrayRaw", by_id)
    is_there = ast.CompareOperation(op=">", left=_call("length", chosen), right=ast.Constant(0))
    return _call("if", is_there, chosen, _json("ArrayRaw", by_place))


def _key_of_question(number: int) -> ast.Expr:
    """Return the key of an answer, with the id that the event's list of questions has at a place."""
    questions = _json("ArrayRaw", ast.Constant("$survey_questions"))
    question = ast.ArrayAccess(array=questions, property=ast.Constant(number + 1))
    return _call("concat", ast.Constant(f"{_RESPONSE}_"), _call("JSONExtractString", question, ast.Constant("id")))


def _unique_submissions(node: ast.Call, scope: Scope) -> ast.Expr:
    """Return the condition that an event is the last of its submission; events without an id are one each."""
    del scope
    for place in range(len(node.args)):
        _constant(node, place)
    conditions = [_compared("==", ("event",), ast.Constant(_SURVEY_SENT))]
    conditions.append(_compared("==", ("properties", "$survey_id"), node.args[0]))
    bounds: tuple[ast.CompareOp, ...] = (">=", "<=")
    conditions += [_compared(op, ("timestamp",), moment) for op, moment in zip(bounds, node.args[1:], strict=False)]
    submission = ast.Field(chain=_SUBMISSION)
    missing = ast.CompareOperation(
        op="==", left=_call("coalesce", submission, ast.Constant("")), right=ast.Constant("")
    )
    uuid = ast.Field(chain=("uuid",))
    last = ast.SelectQuery(
        select=(_call("argMax", uuid, ast.Field(chain=("timestamp",))),),
        select_from=ast.JoinExpr(table=ast.Field(chain=("events",))),
        where=ast.And(exprs=tuple(conditions)),
        group_by=(_call("if", missing, _call("toString", uuid), submission),),
    )
    return ast.CompareOperation(op="in", left=uuid, right=last)


def _constant(node: ast.Call, place: int) -> object:
    """Return the value of a constant argument, None where there is none."""
    if place >= len(node.args):
        return None
    found = node.args[place]
    if not isinstance(found, ast.Constant):
        raise mistake(found, f"Argument {place + 1} of function '{node.name}' must be a constant")
    value: object = found.value
    return value


def _json(kind: str, key: ast.Expr) -> ast.Expr:
    return _call(f"JSONExtract{kind}", ast.Field(chain=("properties",)), key)


def _call(name: str, *args: ast.Expr) -> ast.Call:
    return ast.Call(name=name, args=args)


def _compared(op: ast.CompareOp, chain: tuple[str, ...], value: ast.Expr) -> ast.Expr:
    return ast.CompareOperation(op=op, left=ast.Field(chain=chain), right=value)


_EXPANSIONS: Final[Mapping[str, Expansion]] = {
    MATCHES_ACTION: _matches_action,
    "sparkline": _drawn("Sparkline", "data", "labels"),
    "recordingButton": _drawn("RecordingButton", "sessionId", "recordingStatus"),
    "explainCSPReport": _drawn("ExplainCSPReport", "properties"),
    "getSurveyResponse": _survey_response,
    "uniqueSurveySubmissionsFilter": _unique_submissions,
}


def expanded(name: str, node: ast.Call, scope: Scope) -> ast.Expr | None:
    """Return what a call of the function `name` stands for; None where that is the function itself.

    Only the caller's own arguments have places in the text: other mistakes are the call's.
    """
    expansion = _EXPANSIONS.get(name)
    return None if expansion is None else expansion(node, scope)
