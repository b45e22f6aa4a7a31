"""How long ago a session signed in: sensitive writes want one that did so lately."""

import time
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

SIGNED_IN_AT: Final = "signed_in_at"
"""The key in the session; the value is in seconds since 1970."""
SIGN_IN_AGAIN_CODE: Final = "sensitive_action_required_reauth"
"""The code of the error that a session gets which signed in too long ago."""


def sign_in_note(sender: object, request: HttpRequest, **_: Any) -> None:  # noqa: ANN401 what Django's signal carries
    """Note in the session that its user signed in just now (receiver of `user_logged_in`)."""
    del sender
    request.session[SIGNED_IN_AT] = int(time.time())


def signed_in_lately(session: SessionBase) -> bool:
    """Whether a session signed in within SESSION_SENSITIVE_ACTIONS_AGE seconds; one without a note did not."""
    signed_in_at = session.get(SIGNED_IN_AT)
    return isinstance(signed_in_at, int) and time.time() - signed_in_at <= settings.SESSION_SENSITIVE_ACTIONS_AGE
