"""What is wrong with a filter, in words for its author."""


class FilterError(ValueError):
    """The caller's filter is wrong; `message` is safe to show."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
