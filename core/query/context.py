"""What a HogQL statement of a query needs to know of its project."""

from core.actions.hogql import actions_named
from core.definitions.contexts import project_context
from core.insights.project import InsightProject
from events.hogql import ast
from events.hogql.context import DEFAULT_PERSON_MODE, Context, PersonMode


def hogql_context(project: InsightProject, node: ast.Node, *, person_mode: PersonMode = DEFAULT_PERSON_MODE) -> Context:
    """Return the project as a statement sees it."""
    return project_context(
        node,
        team_id=project.team_id,
        timezone=project.timezone,
        week_start_day=project.week_start_day,
        person_mode=person_mode,
        group_types=project.group_types,
        actions=actions_named,
    )
