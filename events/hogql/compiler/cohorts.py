"""`x IN COHORT 'name'`: whether a person is a member, asked of the members' table like anything else."""

from difflib import get_close_matches

from events.hogql import ast
from events.hogql.compiler.mistakes import mistake
from events.hogql.compiler.scope import Scope
from events.hogql.compiler.value import Value, condition


def in_cohort(node: ast.CompareOperation, scope: Scope) -> Value:
    """Compile `IN COHORT` and `NOT IN COHORT` with a cohort's id or name."""
    wanted = node.right.value if isinstance(node.right, ast.Constant) else None
    if isinstance(wanted, bool) or not isinstance(wanted, int | str):
        raise mistake(node.right, "IN COHORT takes a cohort's id as an integer, or its name as a text")
    known = scope.statement.context.cohorts
    if wanted not in known:
        what = f"ID {wanted}" if isinstance(wanted, int) else f"the name '{wanted}'"
        names = [name for name in known if isinstance(name, str)]
        close = get_close_matches(wanted, names, n=1) if isinstance(wanted, str) and len(wanted) < 100 else []  # noqa: PLR2004
        hint = f". Perhaps you meant '{close[0]}'?" if close else ""
        raise mistake(node.right, f"Could not find a cohort with {what}{hint}")
    members = ast.SelectQuery(
        select=(ast.Field(chain=("person_id",)),),
        select_from=ast.JoinExpr(table=ast.Field(chain=("cohort_people",))),
        where=ast.CompareOperation(
            op="==", left=ast.Field(chain=("cohort_id",)), right=ast.Constant(value=known[wanted])
        ),
    )
    # A CTE of the caller may have the table's name; it is not what a cohort is looked up in.
    outside = Scope(scope.statement)
    function = "notIn" if node.op == "not in cohort" else "in"
    return condition(f"{function}({scope.sql(node.left)}, {outside.sql(members)})")
