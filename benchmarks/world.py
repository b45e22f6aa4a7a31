"""The benchmark's own world: durable stores in a temporary folder, a project with a key, servers and workers."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM

from persons_api.embedded import supervisor
from persons_api.embedded.process import spawn, stop, tail
from persons_api.embedded.stores import EmbeddedStores

REPOSITORY = Path(__file__).resolve().parent.parent
GRANIAN = (*supervisor.GRANIAN, "--workers", "2")
"""The same flags for every server that is compared; they are those of `manage.py up`."""
TEAMS = 10
"""The first four are for reads, history, capture and deletion; the others have one part each to themselves."""


@dataclass(slots=True)
class World:
    """Where things are. `environment` holds the URLs of the stores for child processes."""

    folder: Path
    stores: EmbeddedStores
    environment: dict[str, str]
    quick: bool
    key: str = ""
    tokens: list[str] = field(default_factory=list)
    team_ids: list[int] = field(default_factory=list)
    parts: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def spawn(self, name: str, *command: str, **extra: str) -> "subprocess.Popen[bytes]":
        """Start a child whose output goes to the folder."""
        return spawn(command, log=self.log(name), env={**self.environment, **extra}, cwd=REPOSITORY)

    def log(self, name: str) -> Path:
        """Return the log of a child."""
        return self.folder / "run" / "logs" / f"bench-{name}.log"

    @contextmanager
    def granian(self, name: str, application: str, **extra: str) -> Iterator[int]:
        """Serve a WSGI application and yield its port."""
        port = free_port()
        command = [sys.executable, "-m", "granian", *GRANIAN, "--host", "127.0.0.1", "--port", str(port), application]
        with self.running(name, *command, **extra) as process:
            wait_for_port(port, process, self.log(name))
            yield port

    @contextmanager
    def worker(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a Celery worker with its beat, which empties the outbox."""
        schedule = str(self.folder / "run" / "beat-schedule")
        command = [
            sys.executable, "-m", "celery", "-A", "persons_api", "worker", "-c", "2", "-l", "warning",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
        beat = [sys.executable, "-m", "celery", "-A", "persons_api", "beat", "--schedule", schedule]
        with self.running("worker", *command) as process, self.running("beat", *beat, "-l", "warning", "--pidfile="):
            yield process

    def cpu_by_part(self) -> dict[str, float]:
        """Return the processor seconds that each running part has used so far."""
        stores = {store.name: store.process for store in self.stores.running}
        parts = {**stores, **self.parts}
        return {name: cpu_seconds(process.pid) for name, process in parts.items() if process is not None}

    @contextmanager
    def running(self, name: str, *command: str, **extra: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a child for the length of the block."""
        process = self.parts[name] = self.spawn(name, *command, **extra)
        try:
            yield process
        finally:
            del self.parts[name]
            stop(process, signals=[(SIGTERM, 10), (SIGINT, 5)])


@contextmanager
def world(*, quick: bool) -> Iterator[World]:
    """Start the stores (fsync on), migrate, and make a project with a key; everything is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="persons-api-bench-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stores = stack.enter_context(EmbeddedStores(folder, throwaway=False))
        settings = {
            **stores.urls,
            "PERSONS_API_DATA_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "persons_api.settings"),
            "LOG_JSON": "1",
        }
        # This process is quiet; the servers write the log lines that they always write.
        os.environ.update({**settings, "LOG_LEVEL": "WARNING"})
        made = World(folder, stores, {**os.environ, "LOG_LEVEL": "INFO"}, quick)
        _set_up(made)
        yield made


def _set_up(made: World) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate_events", verbosity=0)
    from core.access.models import PersonalAPIKey, hash_key_value, mask_key_value, new_key_value
    from core.tenancy.models import Level, Organization, OrganizationMembership, Project, Team, User

    organization = Organization.objects.create(name="Benchmark", slug="benchmark")
    user = User.objects.create_user("bench@example.com", first_name="Bench", current_organization=organization)
    OrganizationMembership.objects.create(organization=organization, user=user, level=Level.OWNER)
    for number in range(TEAMS):
        project = Project.objects.create(organization=organization, name=f"Project {number}")
        team = Team.objects.create(id=project.id, project=project, organization=organization, name=project.name)
        made.team_ids.append(team.id)
        made.tokens.append(team.api_token)
    made.key = new_key_value()
    PersonalAPIKey.objects.create(
        user=user,
        label="benchmark",
        secure_value=hash_key_value(made.key),
        mask_value=mask_key_value(made.key),
        scopes=["*"],
    )


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children have used, ended children included."""
    parents: dict[int, int] = {}
    times: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError, IndexError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[int(folder.name)] = int(fields[1])
                times[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(times.get(member, 0.0) for member in family)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 60) -> None:
    """Return when something listens, or raise with the end of the log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    message = f"nothing listens on port {port}:\n{tail(log)}"
    raise RuntimeError(message)
