"""A receiver of webhooks as a process of its own, which fails a third of the time; it can be killed and started again.

    python tests/support/webhook_receiver.py PORT FOLDER SEED

Every request gets one line of JSON in `FOLDER/<first part of the path>.jsonl`, written before it is answered:
`{"status", "events": [[n, uuid], ...], "signed"}`, where a status of 0 is a connection that was closed instead. Events
named `unwanted` are always refused with 400. `FOLDER/patient` turns failures and refusals off.
"""

import base64
import hashlib
import hmac
import json  # noqa: TID251 nothing but the standard library, so that it starts at once
import os
import random
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECRET = b"secret of the receiver, not for others"
"""What signatures are made with; configs have it in the form of Standard Webhooks, see `signing_secret`."""
FAILURES = (0, 0, 429, 500, 502, 503)
FAILING = 1 / 3


def signing_secret() -> str:
    """Return the secret as senders are given it."""
    return "whsec_" + base64.b64encode(SECRET).decode()


class Receiver(BaseHTTPRequestHandler):
    """Answers webhooks."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path
    dice: random.Random

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = json.loads(body)
        events = found if isinstance(found, list) else [found]
        patient = (self.folder / "patient").exists()
        status = 200 if patient or self.dice.random() >= FAILING else self.dice.choice(FAILURES)
        if status == 200 and not patient and any(event["event"] == "unwanted" for event in events):
            status = 400
        self._note(status, events, signed=self._signed(body))
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _signed(self, body: bytes) -> bool:
        parts = (self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", ""))
        signed = b".".join([*(part.encode() for part in parts), body])
        expected = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
        return all(parts) and f"v1,{expected}" in self.headers.get("webhook-signature", "").split()

    def _note(self, status: int, events: list[dict[str, Any]], *, signed: bool) -> None:
        named = [[event["properties"]["n"], event["uuid"]] for event in events]
        line = json.dumps({"status": status, "events": named, "signed": signed}) + "\n"
        name = self.path.strip("/").partition("/")[0]
        file = os.open(self.folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name of the base
        pass


def main() -> None:
    port, folder, seed = sys.argv[1:]
    Receiver.folder = Path(folder)
    Receiver.dice = random.Random(seed)  # noqa: S311 no secret
    with suppress(KeyboardInterrupt), ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver) as server:
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
