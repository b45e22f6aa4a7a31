"""Roles, grants and row policies of the embedded engine, which has one user: its connections take a role instead."""

from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from events import query_user

APP_ROLE: Final = "persons_api"
QUERY_ROLE: Final = query_user.USER

_IS_APP: Final = f"has(currentRoles(), '{APP_ROLE}')"
_USERS: Final = """\
<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <{app}><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></{app}>
    <{query}><grants>{grants}</grants></{query}>
  </roles>
  <users>
    <default>
      <password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT {app}, {query}</query></grants>
      <databases>
        {databases}
        <!-- chDB asks for no right to read these; `one` is what a SELECT without FROM reads. -->
        <database name="system">
          <table name=""><filter>{is_app}</filter></table>
          <table name="one"><filter>1</filter></table>
        </database>
      </databases>
    </default>
  </users>
</clickhouse>
"""


def users_xml(databases: Iterable[str]) -> str:
    """Return the users file that lets the query role read its tables in these databases, a team at a time.

    Rules are known by the database's name and read at the engine's start only; the databases need not exist then.
    """
    names = list(databases)
    row_filter = f"{_IS_APP} OR {query_user.ROW_FILTER}"
    policies = "".join(query_user.policies(row_filter))
    grants = [f"<query>{escape(grant)}</query>" for name in names for grant in query_user.grants(name)]
    return _USERS.format(
        app=APP_ROLE,
        query=QUERY_ROLE,
        grants="".join(grants) or "<query>GRANT USAGE ON *.*</query>",
        databases="\n        ".join(f"<database name={quoteattr(name)}>{policies}</database>" for name in names),
        is_app=_IS_APP,
    )
