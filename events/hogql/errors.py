"""What is wrong with a HogQL statement. The texts are for the caller: never ClickHouse's, never another team's data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A text of its own within a query, such as the key of a filter; `attr` leads to it."""

    text: str
    attr: str


class HogQLError(Exception):
    """Base of everything that a caller's statement can get wrong; `start` and `end` count characters of the text.

    `code` is the code of the answer; `source` is the text that the places are in, where it is not the statement's.
    """

    def __init__(
        self, message: str, *, start: int | None = None, end: int | None = None, code: str = "invalid_input"
    ) -> None:
        """Keep the message for the answer."""
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
        self.code = code
        self.source: Source | None = None


class HogQLSyntaxError(HogQLError):
    """The text is no HogQL, or longer or deeper than is parsed."""


class HogQLResolutionError(HogQLError):
    """A name, type, function or placeholder is unknown or used as it cannot be."""


class HogQLBusyError(HogQLError):
    """Too many long statements are being parsed at the same time: later it may work. No mistake of the caller."""
