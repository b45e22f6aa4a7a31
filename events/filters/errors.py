"""What is wrong with a filter, in words for its author."""

type Place = tuple[str, int | None, int | None]
"""A HogQL text, and from which to which of its characters it is wrong."""


class FilterError(ValueError):
    """The caller's filter is wrong; `message` is safe to show.

    `place` is there for mistakes in HogQL; `path` leads to what is wrong, from the filters as they were read.
    """

    def __init__(self, message: str, *, place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.path: tuple[str, ...] = ()
