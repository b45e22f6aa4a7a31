"""The words of a text outside of its strings, comments and quoted names: for what the parser's tree leaves out."""

import re
from typing import Final, NamedTuple

# Quoted names and strings become one word each, comments none.
_TOKEN: Final = re.compile(
    r"""--[^\n]*|//[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|[\w$]+|[^\s\w$]""",
    re.DOTALL,
)
_CLAUSE: Final = re.compile(
    r"""--[^\n]*|//[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?<![.\w$])(?:(?P<order>order\s+by)|(?P<limit>limit)|(?P<offset>offset)|(?P<filter>filter)(?=\s*\(\s*where\b)"""
    r"""|(?P<ties>with\s+ties)|(?P<mode>with\s+(?:totals|rollup|cube)))(?![\w$])""",
    re.DOTALL | re.IGNORECASE,
)
_COSTLY: Final = re.compile(r"[-+*/%<>=!?|~:,]|\b(?:and|or|not|like|ilike|in|is|as|between|case|when)\b", re.IGNORECASE)
_SHORT: Final = 2_000
_FEW: Final = 100


class Clause(NamedTuple):
    """A keyword that begins a clause; `behind` says that a closing parenthesis stands before it."""

    kind: str
    start: int
    depth: int
    behind: bool


def words(text: str) -> list[str]:
    """Return the words and signs in lower case, without comments."""
    found = (match.group().lower() for match in _TOKEN.finditer(text))
    return [word for word in found if not word.startswith(("--", "//", "/*"))]


def clauses(text: str) -> list[Clause]:
    """Return the clauses whose keywords count, in the order of the text."""
    found, depth, last = [], 0, 0
    for match in _CLAUSE.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
            last = match.end()
        elif kind:
            found.append(Clause(kind, match.start(), depth, bool(last) and not text[last : match.start()].strip()))
    return found


def is_quick(text: str) -> bool:
    """Tell whether parsing a text takes some milliseconds as a rule: the time is the square of a chain's operators."""
    return len(text) <= _SHORT and len(_COSTLY.findall(text)) <= _FEW
