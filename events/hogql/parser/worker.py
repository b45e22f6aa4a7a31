"""The process that parses what could take long: reads a rule and a text from its socket, answers with JSON.

It is run as a script by `events.hogql.parser.pool`, knows no setting and no secret, and ends with the one who started
it. A parse that runs on after its caller has given up is ended by the alarm: the parser cannot be interrupted.
"""

import os
import re
import resource
import signal
import socket
import struct
from typing import Final

import hogql_parser_rs

RULES: Final = ("select", "expr", "order_expr", "full_template_string")
HEADER: Final = struct.Struct("!BI")
LENGTH: Final = struct.Struct("!I")
READY: Final = b"\x01"
_MEMORY: Final = 1 << 30
_SECONDS: Final = 3
# Positions are most of the JSON, and only their offsets are of use: who asks reads it while holding the lock.
_POSITION: Final = re.compile(rb'"(start|end)":\{"column":\d+,"line":\d+,"offset":(\d+)\}')


def received(connection: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes; EOFError when the other side is gone."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 18))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def serve(connection: socket.socket) -> None:
    """Answer until the other side is gone."""
    parsers = [getattr(hogql_parser_rs, f"parse_{rule}_json") for rule in RULES]
    connection.sendall(READY)
    while True:
        rule, size = HEADER.unpack(received(connection, HEADER.size))
        text = received(connection, size).decode()
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)
        answer = _POSITION.sub(rb'"\1":\2', parsers[rule](text).encode())
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.sendall(LENGTH.pack(len(answer)))
        connection.sendall(answer)


def main() -> None:
    """Serve the socket that is the standard input."""
    # Whoever waits for a request that needs no parsing comes first.
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        serve(socket.socket(fileno=0))
    except (EOFError, ConnectionError):
        return


if __name__ == "__main__":
    main()
