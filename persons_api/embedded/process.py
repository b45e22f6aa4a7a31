"""Child processes that end with their parent, run as another user where they must, and never survive as strangers."""

import ctypes
import ipaddress
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOG_BYTES = 5 * 1024 * 1024
TAIL_LINES = 20
STARTED = "--- started "

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

_LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


class StartError(Exception):
    """A part could not be started; the text is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """The user that a child runs as when we are root."""

    uid: int
    gid: int


def unprivileged() -> RunAs | None:
    """Someone other than root to run PostgreSQL as, which refuses root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return RunAs(found.pw_uid, found.pw_gid)
    message = "PostgreSQL refuses to run as root and there is no user 'postgres' or 'nobody' to run it as"
    raise StartError(message)


def reachable(path: Path) -> bool:
    """Whether any user may walk to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _keep_folder_access() -> None:
    """Let the other user walk through folders that only root may enter, such as a checkout in /root."""

    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Data(ctypes.Structure):
        _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))

    bit = 1 << _CAP_DAC_OVERRIDE
    data = (Data * 2)(Data(bit, bit, bit), Data(0, 0, 0))
    if _libc is None or _libc.capset(ctypes.byref(Header(_CAPABILITY_VERSION_3, 0)), data) != 0:
        os._exit(126)
    _libc.prctl(_PR_CAP_AMBIENT, 2, _CAP_DAC_OVERRIDE, 0, 0)


def _before_exec(run_as: RunAs | None, *, through_folders: bool) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        if run_as is not None:
            if through_folders and _libc is not None:
                _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setgroups([])
            os.setgid(run_as.gid)
            os.setuid(run_as.uid)
            if through_folders:
                _keep_folder_access()
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)

    return prepare


def spawn(  # noqa: PLR0913 each is one property of the child
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    run_as: RunAs | None = None,
    through_folders: bool = False,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own (Ctrl-C reaches only us), its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        output.write(f"{STARTED}{time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        output.flush()
        return subprocess.Popen(  # noqa: S603 the commands are ours
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
            # A child must not outlive us even when we are killed with -9; there is no other way to ask for that.
            preexec_fn=_before_exec(run_as, through_folders=through_folders),  # noqa: PLW1509
        )


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines that the newest start wrote to a log."""
    try:
        with log.open("rb") as source:
            source.seek(max(0, log.stat().st_size - 16384))
            text = source.read().decode(errors="replace")
    except OSError:
        return ""
    newest = text.rpartition(STARTED)[2] if STARTED in text else text
    return "\n".join(newest.splitlines()[-lines:])


def stop(process: "subprocess.Popen[bytes]", *, signals: Sequence[tuple[int, float]]) -> None:
    """Send each signal in turn until the process has ended within its seconds; -9 at last."""
    for number, seconds in signals:
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    with suppress(ProcessLookupError):
        process.kill()
    process.wait(10)


def command_line(pid: int) -> str:
    """Return what a process was started as, empty when there is none."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    asked = subprocess.run(  # noqa: S603
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607 found on every system without /proc
        capture_output=True,
        check=False,
        text=True,
    )
    return asked.stdout


def end_leftover(pid_file: Path, mark: str, *, number: int = signal.SIGTERM, seconds: float = 8) -> None:
    """End the process that an earlier run left behind, if `pid_file` names it and its command line has `mark`."""
    try:
        pid = int(pid_file.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + seconds
    while mark in command_line(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if time.monotonic() > deadline else number)
        number = 0  # once is enough: SIGTERM twice means 'at once' to some
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)


def _group_members(group: int, mark: str) -> list[int]:
    """Processes of a group whose command line has `mark`; without /proc only the leader is looked at."""
    if not Path("/proc/self/stat").exists():
        return [group] if mark in command_line(group) and command_line(group) else []
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError, ValueError, IndexError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z" and mark in command_line(int(folder.name)):
                found.append(int(folder.name))
    return found


def end_group(pid_file: Path, mark: str, *, seconds: float = 10) -> None:
    """End what is left of the process group that `pid_file` names: workers whose leader was killed live on."""
    try:
        group = int(pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + seconds
    number = int(signal.SIGTERM)
    while members := _group_members(group, mark):
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if time.monotonic() > deadline else number)
        number = 0  # once is enough: SIGTERM twice means 'at once' to some
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def loopback_socket(host: str, port: int) -> socket.socket:
    """Listen on a loopback address; anything else is refused."""
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    if not address.is_loopback:
        message = f"The embedded ClickHouse serves loopback only, not {host}"
        raise ValueError(message)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004 the IP version
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((str(address), port))
    listening.listen(512)
    return listening


def child_environment(**values: str) -> dict[str, str]:
    """Return a small environment for a store: nothing of ours leaks into it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **values}
