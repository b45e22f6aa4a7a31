"""Names as HogQL writes them."""

import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)


def quoted(name: str) -> str:
    """Return a name, in backticks where it could not be read without."""
    if _PLAIN.fullmatch(name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def unquoted(text: str) -> str:
    """Return the name that a token means."""
    if len(text) > 1 and text[0] in '`"' and text[-1] == text[0]:
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text.lstrip('`"') if text[:1] in {"`", '"'} else text
