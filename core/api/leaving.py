"""How a long answer gives back what its request holds of the server, before it has ended."""

from typing import Final

LEAVE_PLACE: Final = "persons_api.leave_place"
"""Key of the WSGI environment: a function that frees the request's place and its database connection."""
