"""Why a capture request is refused. Views turn a refusal into the envelope (v0) or the v1 error body."""


class Refusal(Exception):  # noqa: N818 part of the protocol, not a failure of ours
    """The whole request is refused with this status; nothing of it is stored."""

    def __init__(self, status: int, code: str, detail: str, *, kind: str = "validation_error") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.kind = kind


def malformed(detail: str) -> Refusal:
    """400: the request cannot be understood."""
    return Refusal(400, "invalid_payload", detail)


def too_big(detail: str) -> Refusal:
    """413: more bytes than this path takes."""
    return Refusal(413, "payload_too_large", f"maximum event size exceeded: {detail}", kind="invalid_request")


def stalled() -> Refusal:
    """408: the body stopped before its announced length."""
    return Refusal(408, "request_timeout", "client stopped sending data")


def token_missing() -> Refusal:
    """401: no project token anywhere."""
    return Refusal(401, "missing_api_key", "event submitted without an api_key", kind="authentication_error")


def token_invalid(reason: str) -> Refusal:
    """401: a token that cannot be, or is not, a project's."""
    return Refusal(401, "invalid_api_key", f"API key is not valid: {reason}", kind="authentication_error")


def tokens_inconsistent() -> Refusal:
    """401: one request may write to one project only."""
    detail = "batch submitted with inconsistent api_key values"
    return Refusal(401, "invalid_api_key", detail, kind="authentication_error")
