"""What no statement of the query user may say, found by its words: the part that neither grants nor readonly hold.

ClickHouse asks for no right to call a function, and chDB's `file` reads any file; a SETTINGS clause could name another
team. The compiler writes none of this, so whatever is found here is a defect of it, or an attack.
"""

import re
from typing import Final

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*+|`(?:[^`\\]++|\\.|``)*+`|\"(?:[^\"\\]++|\\.|\"\")*+\""
_WORDS: Final = re.compile(
    rf"'(?:[^'\\]++|\\.|'')*+'|(?P<called>{_NAME})\s*+\(|(?P<name>{_NAME})"
    # ClickHouse also takes curly quotes and $tag$ for quotes, and has four kinds of comments.
    r"|(?P<odd>--|//|/\*|\#|[$;'\"`\\]|[^\x01-\x7f])",
    re.DOTALL,
)
_FIRST: Final = re.compile(r"[\s(]*(SELECT|WITH|EXPLAIN)\b", re.IGNORECASE)
_CLAUSES: Final = frozenset({"settings", "format", "outfile", "apply", "infile"})

_READ_ELSEWHERE: Final = frozenset(
    """
    file sleep sleepeachrow logtrace throwif hascolumnintable catboostevaluate evalmlmethod modelevaluate
    getsetting getsettingordefault getserversetting getmergetreesetting getmacro getserverport getclienthttpheader
    globalvariable currentdatabase database schema current_database currentschemas current_schemas currentuser user
    current_user session_user authuser authenticateduser currentroles enabledroles defaultroles currentprofiles
    enabledprofiles defaultprofiles hostname fqdn fullhostname version revision buildid uptime serveruuid
    servertimezone displayname tcpport getoskernelversion queryid query_id currentqueryid current_query_id
    initialqueryid initial_query_id initialquerystarttime initial_query_start_time connectionid connection_id tid
    currenthandler currentrequesturl showcertificate zookeepersessionuptime transactionid transactionlatestsnapshot
    transactionoldestsnapshot generateserialid shardnum shardcount hasthreadfuzzer addresstoline
    addresstolinewithinlines addresstosymbol demangle ismergetreepartcoveredby getmaxtablenamelengthfordatabase
    pg_get_userbyid pggetuserbyid pg_table_is_visible pgtableisvisible structuretocapnprotoschema
    structuretoprotobufschema generaterandomstructure chdb
    arrowstream azureblobstorage bigquery cluster clusterallreplicas cosn dictionary eval executable filecluster
    filesystem fuzzjson fuzzquery gcs generaterandom hdfs hdfscluster hudi hudicluster input jdbc loop merge mongodb
    mysql null numbers_mt odbc oss postgresql primes prometheusquery prometheusqueryrange python redis remote
    remotesecure s3 s3cluster sqlite url urlcluster view viewexplain viewifpermitted ytsaurus zeros zeros_mt
    """.split()  # noqa: SIM905 a list of names reads better so
)
_PREFIXES: Final = (
    "__", "dictget", "dicthas", "dictisin", "joinget", "region", "filesystem", "mergetree", "timeseries", "azure",
    "deltalake", "iceberg", "paimon", "aiclassify", "aiembed", "aiextract", "aifilter", "aigenerate", "airedact",
    "aisimilarity", "aitranslate",
)  # fmt: skip
# Pure functions whose names begin like those of others.
_HARMLESS: Final = frozenset({"iceberghash", "icebergbucket", "icebergtruncate"})


def forbidden(sql: str) -> str | None:
    """Return the word for which a statement must not run as the query user, or None when there is none."""
    if not _FIRST.match(sql):
        return "not a SELECT"
    return next(filter(None, map(_objection, _WORDS.finditer(sql))), None)


def _objection(match: re.Match[str]) -> str | None:
    kind = match.lastgroup
    if kind is None:
        return None
    word = match[kind].lower()
    if kind == "odd":
        return word
    if kind == "name":
        return word if word in _CLAUSES else None
    name = word.strip('`"')
    if "\\" in name:
        return "an escaped name"
    if name in _READ_ELSEWHERE or (name.startswith(_PREFIXES) and name not in _HARMLESS):
        return name
    # What is called may be the function `format`, or what follows SETTINGS and APPLY.
    return name if word in _CLAUSES and word != "format" else None
