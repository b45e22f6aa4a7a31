"""The v0 capture endpoints: plain functions, because every event of every SDK passes here."""

from datetime import UTC, datetime

from django.http import HttpRequest, HttpResponse

from core.capture.decoding import Payload, decode, read_body
from core.capture.http import client_ip, json_response, public_view
from core.capture.normalise import Intake, normalise_events, warn_of
from core.capture.recordings import recordings_ingest, recordings_read
from core.capture.refusals import token_invalid
from core.capture.shapes import MAX_EVENT_BYTES, read_events, read_submission
from core.capture.timestamps import read_clock
from core.persons.ingest import IngestTeam, events_ingest
from core.tenancy.tokens import team_by_token

MEBIBYTE = 1024 * 1024
EVENT_BYTES = 2 * MEBIBYTE
BATCH_BYTES = 20 * MEBIBYTE
RECORDING_BYTES = 25 * MEBIBYTE


@public_view("POST", "GET")
def batch(request: HttpRequest) -> HttpResponse:
    """Store events of server SDKs."""
    return _capture(request, limit=BATCH_BYTES)


@public_view("POST")
def ai_batch(request: HttpRequest) -> HttpResponse:
    """Store events sent by `capture_ai`, which have the shape of a batch."""
    return _capture(request, limit=BATCH_BYTES)


@public_view("POST", "GET")
def event(request: HttpRequest) -> HttpResponse:
    """Store events of browsers."""
    return _capture(request, limit=EVENT_BYTES)


@public_view("POST", "GET")
def engage(request: HttpRequest) -> HttpResponse:
    """Store person updates; an object without a name is an `$identify`."""
    return _capture(request, limit=EVENT_BYTES, is_engage=True)


@public_view("POST", "GET")
def recording(request: HttpRequest) -> HttpResponse:
    """Store session replay snapshots."""
    now = datetime.now(UTC)
    payload = decode(request, limit=RECORDING_BYTES)
    submission = read_submission(payload.document, form_token=payload.form_token)
    team = ingest_team(submission.token)
    recordings_ingest(team=team, reading=recordings_read(submission), now=now)
    return _accepted(payload)


@public_view("POST", "GET")
def black_hole(request: HttpRequest) -> HttpResponse:
    """Read and discard, for measuring clients."""
    read_body(request, BATCH_BYTES)
    return json_response({"status": 1})


@public_view("GET")
def readiness(_request: HttpRequest) -> HttpResponse:
    """Tell load balancers that capture runs here."""
    return HttpResponse("capture", content_type="text/plain")


@public_view("GET")
def liveness(_request: HttpRequest) -> HttpResponse:
    """Tell that the process answers."""
    return HttpResponse("ok", content_type="text/plain")


def ingest_team(token: str) -> IngestTeam:
    """Return the team of a token; unknown tokens are refused, so that a typing mistake is seen at once."""
    found = team_by_token(token)
    if found is None:
        reason = "unknown project token"
        raise token_invalid(reason)
    return IngestTeam(**found._asdict())


def _capture(request: HttpRequest, *, limit: int, is_engage: bool = False) -> HttpResponse:
    now = datetime.now(UTC)
    payload = decode(request, limit=limit)
    submission = read_submission(payload.document, form_token=payload.form_token)
    team = ingest_team(submission.token)
    events = read_events(submission, engage=is_engage, check_size=payload.size > MAX_EVENT_BYTES)
    clock, problem = read_clock(now=now, body_sent_at=submission.sent_at, query_sent_at=payload.query.get("_"))
    intake = Intake(team=team, clock=clock, ip=client_ip(request), historical_migration=submission.historical_migration)
    if problem is not None:
        warn_of(problem, events[0], intake)
    stored = normalise_events(events, intake)
    if stored or intake.warnings:
        # A 200 means durable: the client never sends these events again.
        events_ingest(team=team, events=stored, warnings=intake.warnings)
    return _accepted(payload)


def _accepted(payload: Payload) -> HttpResponse:
    if payload.query.get("beacon") == "1":
        return HttpResponse(status=204)
    return json_response({"status": 1})
