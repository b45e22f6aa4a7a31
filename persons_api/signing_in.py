"""Both login pages: how often a password may be tried, whether RATE_LIMIT_ENABLED is on or not."""

import hashlib
import math
from http import HTTPStatus
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse

from core.access.throttles import caller_network
from core.access.windows import Window, windows_at

SECONDS: Final = 60
PER_ADDRESS_AND_EMAIL: Final = 10
PER_ADDRESS: Final = 100
"""One password tried on many users; wide, since an office may share one address."""
PER_EMAIL: Final = 60
"""Many addresses trying one user; wide too, since it also keeps the user out."""
THROTTLED: Final = "throttled"


def attempt_wait(*, address: str, email: str) -> int:
    """Count an attempt to sign in and return 0, or the whole seconds to wait when there were too many in a minute.

    While Redis is away nobody is refused: whoever runs this server must get in then above all.
    """
    name = hashlib.sha256(email.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()
    begin = "persons-api:sign-in:"
    together = (
        [
            Window(f"{begin}{{{address}}}:{name}", PER_ADDRESS_AND_EMAIL, SECONDS),
            Window(f"{begin}{{{address}}}", PER_ADDRESS, SECONDS),
        ],
        [Window(f"{begin}{{{name}}}", PER_EMAIL, SECONDS)],
    )
    for windows in together:
        hit = windows_at(settings.REDIS_URL).hit(windows)
        if hit is not None and not hit.passes:
            return max(1, math.ceil(hit.wait))
    return 0


class GuardedSignIn(AuthenticationForm):
    """A login form that does not look at the password once it was tried too often."""

    wait_seconds = 0

    def clean(self) -> dict[str, Any]:
        """Count, then authenticate."""
        request: HttpRequest | None = self.request
        if request is not None and self.cleaned_data.get("username") and self.cleaned_data.get("password"):
            address = caller_network(request)
            self.wait_seconds = attempt_wait(address=address, email=self.cleaned_data["username"])
            if self.wait_seconds:
                message = f"Too many attempts. Try again in {self.wait_seconds} seconds."
                raise ValidationError(message, code=THROTTLED)
        return super().clean()


def answer_of_sign_in[R](response: R) -> R:
    """Give the page of a refused attempt its status, 429 with Retry-After; other answers stay as they are."""
    if not isinstance(response, TemplateResponse):
        return response
    form = (response.context_data or {}).get("form")
    if isinstance(form, GuardedSignIn) and form.is_bound and form.has_error(NON_FIELD_ERRORS, THROTTLED):
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        response.headers["Retry-After"] = str(form.wait_seconds)
    return response
