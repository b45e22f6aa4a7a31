"""The cast of the access tests plays here too."""

from tests.core.conftest import cast

__all__ = ["cast"]
