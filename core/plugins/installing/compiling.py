"""Browser code of plugins, compiled by the command of the operator, which is never run here otherwise.

What waits is a file without a status; one that is being compiled is `LOCKED`, and waits again when its worker was
killed. The row is not locked meanwhile: who saves a file makes another row, so what is saved in the meantime wins.
"""

import os
import shlex
import signal
import subprocess
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction

from core.api.values import json_repaired
from core.plugins.installing.sources import COMPILED, NO_COMPILER, SITE
from core.plugins.models import PluginConfig, PluginSourceFile
from core.plugins.web_apps import web_apps_sync
from core.tenancy.statements import execute

SECONDS: Final = 60.0
"""For one file."""
MAX_OUTPUT: Final = 10 * 1024 * 1024
MAX_ERROR: Final = 2_000
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
"""What the command gets of this process's environment, which has the keys of all stores."""
_ABANDONED: Final = timedelta(seconds=2 * SECONDS)

_CLAIM: Final = """
UPDATE core_pluginsourcefile SET status = 'LOCKED', updated_at = clock_timestamp()
WHERE id = (
    SELECT id FROM core_pluginsourcefile
    WHERE filename = ANY(%s)
      AND (status IS NULL OR (status = 'LOCKED' AND updated_at < statement_timestamp() - %s::interval))
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, plugin_id, filename, source
"""
_LOCK: Final = "SELECT FROM core_plugin WHERE id = %s FOR UPDATE"
_FINISH: Final = """
UPDATE core_pluginsourcefile
SET status = %(status)s, transpiled = %(transpiled)s, error = %(error)s, updated_at = clock_timestamp()
WHERE id = %(id)s AND status = 'LOCKED'
RETURNING plugin_id
"""


class _Claim(NamedTuple):
    id: int
    plugin_id: int
    filename: str
    source: str


class _Compiled(NamedTuple):
    transpiled: str | None
    error: str | None


def sources_compile(*, seconds: float) -> bool:
    """Compile what waits, one file after the other, beginning none after so long; return whether more waits."""
    end = time.monotonic() + seconds
    while True:
        claims = execute(_CLAIM, [list(COMPILED), _ABANDONED])
        if not claims:
            return False
        claim = _Claim(*claims[0])
        _finish(claim, _compile(claim))
        if time.monotonic() > end:
            return True


def _finish(claim: _Claim, compiled: _Compiled) -> None:
    status = PluginSourceFile.Status.TRANSPILED if compiled.error is None else PluginSourceFile.Status.ERROR
    given = {"id": claim.id, "status": status.value, **compiled._asdict()}
    with transaction.atomic():
        # Whoever makes a config meanwhile either has it seen here or sees what is compiled.
        execute(_LOCK, [claim.plugin_id])
        if execute(_FINISH, given) and claim.filename == SITE:
            teams = PluginConfig.unscoped.filter(plugin_id=claim.plugin_id).values_list("team_id", flat=True)
            web_apps_sync(set(teams))


def _compile(claim: _Claim) -> _Compiled:
    try:
        command = shlex.split(settings.PLUGIN_COMPILE_COMMAND)
    except ValueError:
        return _Compiled(None, "PLUGIN_COMPILE_COMMAND of this server is not a command.")
    if not command:
        return _Compiled(None, NO_COMPILER)
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with TemporaryDirectory() as folder:
        given = Path(folder) / "given"
        given.write_text(claim.source, encoding="utf-8")
        try:
            with given.open("rb") as source:
                process = subprocess.Popen(  # noqa: S603 the operator's command
                    command,
                    stdin=source,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=folder,
                    env={**environment, "PLUGIN_FILENAME": claim.filename},
                    start_new_session=True,
                )
        except OSError as error:
            return _Compiled(None, f"The compiler of this server cannot be started: {error.strerror}.")
        return _result(process)


def _result(process: "subprocess.Popen[bytes]") -> _Compiled:
    """Wait for the compiler and all it started, for so long and for so much."""
    found: dict[str, bytes] = {}

    def read(name: str, most: int) -> None:
        stream = getattr(process, name)
        found[name] = stream.read(most + 1)
        if len(found[name]) > most:
            _kill(process)

    readers = [
        threading.Thread(target=read, args=("stdout", MAX_OUTPUT)),
        threading.Thread(target=read, args=("stderr", MAX_OUTPUT)),
    ]
    alarm = threading.Timer(SECONDS, _kill, [process])
    for thread in (alarm, *readers):
        thread.daemon = True
        thread.start()
    for reader in readers:
        reader.join()
    code = process.wait()
    in_time = alarm.is_alive()
    alarm.cancel()
    _kill(process)
    for name in ("stdout", "stderr"):
        getattr(process, name).close()
    if not in_time:
        return _Compiled(None, f"The compiler took longer than {SECONDS:.0f} seconds.")
    if len(found["stdout"]) > MAX_OUTPUT:
        return _Compiled(None, f"The compiler's result is larger than {MAX_OUTPUT // 1024 // 1024} MB.")
    if code:
        return _Compiled(None, _text(found["stderr"])[:MAX_ERROR] or f"The compiler ended with status {code}.")
    return _Compiled(_text(found["stdout"]), None)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(output: bytes) -> str:
    return str(json_repaired(output.decode("utf-8", "replace")))
