"""Display names of persons as the column `person_display_name`: to be selected, to order by, and to be fetched."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import batched
from typing import Final, Literal, LiteralString

from core.insights.people import AT_ONCE
from core.persons.queries import DEFAULT_DISPLAY_PROPERTIES
from core.tenancy.context import TeamContext
from core.tenancy.statements import fetch_rows
from events.hogql import ast

DISPLAY_NAME: Final = "person_display_name"
_ORDER: Final = re.compile(r"\s*person_display_name(?:\s+--.*?)?(?:\s+(asc|desc))?\s*", re.IGNORECASE | re.DOTALL)
_NAMES: Final[LiteralString] = """
SELECT uuid::text, (
  SELECT properties ->> key FROM unnest(%s::text[]) WITH ORDINALITY AS listed (key, place)
  WHERE properties ->> key <> '' ORDER BY place LIMIT 1
)
FROM core_person WHERE team_id = %s AND uuid = ANY(%s::uuid[])
"""


def name_keys(team: TeamContext) -> tuple[str, ...]:
    """Return the properties that name the persons of a project, the first one first."""
    return team.person_display_name_properties or DEFAULT_DISPLAY_PROPERTIES


def name_expr(keys: Iterable[str], *, properties: tuple[str, ...], otherwise: ast.Expr) -> ast.Expr:
    """Return the first of these properties that the person has, as text; `properties` leads to them."""
    texts = (ast.Call(name="toString", args=(ast.Field(chain=(*properties, key)),)) for key in keys)
    found = (ast.Call(name="nullIf", args=(text, ast.Constant(value=""))) for text in texts)
    return ast.Call(name="coalesce", args=(*found, otherwise))


def name_order(text: str) -> Literal["ASC", "DESC"] | None:
    """Return the direction of an item of ORDER BY that is the display name, None for any other."""
    found = _ORDER.fullmatch(text)
    if found is None:
        return None
    return "DESC" if (found[1] or "").upper() == "DESC" else "ASC"


def names_of(*, team_id: int, uuids: Collection[str], keys: Iterable[str]) -> Mapping[str, str]:
    """Return the names that `name_expr` finds, by UUID; persons without any are left out."""
    wanted = list(keys)
    return {
        uuid: name
        for some in batched(uuids, AT_ONCE, strict=False)
        for uuid, name in fetch_rows(_NAMES, [wanted, team_id, list(some)])
        if name is not None
    }
