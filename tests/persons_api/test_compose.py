"""docker-compose.yml keeps its promises; where Docker's client knows compose, the client checks the file too."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from events import query_user

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"web", "worker", "deliverer", "querier", "beat", "migrate"}
TALKERS = {"web", "deliverer"}
STORES = {"postgres", "clickhouse", "valkey"}
SECRETS = {
    "SECRET_KEY", "POSTGRES_PASSWORD", "CLICKHOUSE_PASSWORD", "CLICKHOUSE_QUERY_PASSWORD", "VALKEY_PASSWORD",
}  # fmt: skip
# Without keys of its own, what is encrypted is encrypted under one that SECRET_KEY gives.
OPTIONAL_SECRETS = {"ENCRYPTION_KEYS"}
every_service = pytest.mark.parametrize("name", sorted(OURS | STORES))


def test_the_services_are_the_ones_that_the_documents_name() -> None:
    assert set(SERVICES) == OURS | STORES


@every_service
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name == "migrate":
        assert check == {"disable": True}
    else:
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@every_service
def test_no_service_runs_as_root(name: str) -> None:
    user = str(SERVICES[name]["user"]).partition(":")[0]
    assert user not in {"", "0", "root"}


@every_service
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service)
    assert "docker.sock" not in TEXT


@every_service
def test_only_the_entrypoint_of_clickhouse_may_write_to_its_image(name: str) -> None:
    assert SERVICES[name].get("read_only", False) is (name != "clickhouse")


@every_service
def test_every_service_has_a_memory_limit(name: str) -> None:
    assert SERVICES[name]["deploy"]["resources"]["limits"]["memory"]


@every_service
def test_every_service_that_stays_is_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_only_the_web_port_is_published_and_only_on_loopback_by_default() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"web"}
    assert SERVICES["web"]["ports"] == ["${WEB_BIND:-127.0.0.1}:${PORT:-8000}:8000"]


def test_only_web_and_the_deliverer_reach_beyond_the_inner_network() -> None:
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    for name, service in SERVICES.items():
        assert service["networks"] == (["inner", "outer"] if name in TALKERS else ["inner"])


def test_a_missing_secret_stops_the_start() -> None:
    mentioned = re.findall(r"\$\{(\w+)(:?[-?+]?)", TEXT)
    secret_like = {name for name, _ in mentioned if re.search(r"SECRET|PASSWORD|TOKEN|KEY", name)}
    assert secret_like == SECRETS | OPTIONAL_SECRETS
    assert {operator for name, operator in mentioned if name in SECRETS} == {":?"}


def test_no_secret_is_written_down() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|AUTH", key):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), key
            assert not re.search(r"://[^/$]*:[^$/@]+@", value), key
    assert not re.search(r"SECRET_KEY|PASSWORD", DOCKERFILE)


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_share_one_image_and_production_settings(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == SERVICES["web"]["image"]
    environment = service["environment"]
    assert environment["PERSONS_API_PRODUCTION"] == "true"
    assert {"SECRET_KEY", "DATABASE_URL", "CLICKHOUSE_URL", "CLICKHOUSE_QUERY_URL", "REDIS_URL"} <= set(environment)


def test_rate_limits_are_on_and_can_be_changed() -> None:
    environment = SERVICES["web"]["environment"]
    assert environment["RATE_LIMIT_ENABLED"] == "${RATE_LIMIT_ENABLED:-true}"
    settings = (ROOT / "persons_api" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"(RATE_LIMIT\w+)"', settings))
    assert len(read) == 7
    assert read <= set(environment)


def test_the_urls_name_the_services_and_the_users_that_the_stores_make() -> None:
    environment = SERVICES["web"]["environment"]
    postgres, clickhouse = SERVICES["postgres"]["environment"], SERVICES["clickhouse"]["environment"]
    assert environment["DATABASE_URL"].startswith(f"postgresql://{postgres['POSTGRES_USER']}:${{POSTGRES_PASSWORD:?")
    assert environment["DATABASE_URL"].endswith(f"@postgres:5432/{postgres['POSTGRES_DB']}")
    assert environment["CLICKHOUSE_URL"].startswith(f"http://{clickhouse['CLICKHOUSE_USER']}:${{CLICKHOUSE_PASSWORD:?")
    assert environment["CLICKHOUSE_URL"].endswith("@clickhouse:8123/persons_api")
    assert environment["CLICKHOUSE_QUERY_URL"].startswith(f"http://{query_user.USER}:${{CLICKHOUSE_QUERY_PASSWORD:?")
    assert environment["CLICKHOUSE_QUERY_URL"].endswith("@clickhouse:8123/persons_api")
    assert environment["REDIS_URL"].endswith("@valkey:6379/0")


def test_every_variable_for_our_services_is_one_that_the_code_reads() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "persons_api").rglob("*.py"))
    for name in OURS:
        for variable in SERVICES[name]["environment"]:
            assert f'"{variable}"' in code, variable


def test_migrations_run_once_and_before_everything_of_ours() -> None:
    assert (
        SERVICES["migrate"]["command"][-1] == "python manage.py migrate --no-input && python manage.py migrate_events"
    )
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    for store in ("postgres", "clickhouse"):
        assert SERVICES["migrate"]["depends_on"][store] == {"condition": "service_healthy"}


def test_what_must_survive_lies_in_volumes() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert SERVICES["clickhouse"]["volumes"][0] == "clickhouse:/var/lib/clickhouse"
    assert set(COMPOSE["volumes"]) == {"postgres", "clickhouse"}


def test_clickhouse_gets_the_rules_of_the_query_user_as_they_are_written_now() -> None:
    mounted = dict(line.split(":")[:2] for line in SERVICES["clickhouse"]["volumes"][1:])
    assert all(line.endswith(":ro") for line in SERVICES["clickhouse"]["volumes"][1:])
    assert list(mounted.values()) == [
        "/etc/clickhouse-server/users.d/persons_api_query.xml", "/etc/clickhouse-server/config.d/persons_api.xml",
    ]  # fmt: skip
    users, config = ((ROOT / path).read_text(encoding="utf-8") for path in mounted)
    assert users == query_user.server_users()
    assert config == query_user.server_config()
    assert f'from_env="{query_user.VARIABLE}"' in users
    assert query_user.VARIABLE in SERVICES["clickhouse"]["environment"]


def test_the_images_of_the_stores_are_pinned() -> None:
    images = {name: SERVICES[name]["image"] for name in STORES}
    assert images == {
        "postgres": "postgres:18",
        "clickhouse": "clickhouse/clickhouse-server:26.9",
        "valkey": "valkey/valkey:9",
    }


def test_the_image_is_built_from_the_lock_without_embedded_stores_and_tools() -> None:
    assert "uv sync --locked --no-default-groups" in DOCKERFILE
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.13-slim"] * 2
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == [SERVICES["web"]["user"]]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(groups["tool"]["uv"]["default-groups"]) == set(groups["dependency-groups"]) - {"docs"}


def test_the_image_and_the_makefile_use_the_same_uv() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^UV_VERSION := (\S+)", makefile, re.MULTILINE)
    assert version is not None
    assert f"uv=={version[1]}\n" in DOCKERFILE


def test_the_image_copies_every_package_and_the_ignore_file_lets_them_in() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    for package in ("persons_api", "core", "events", "tasks"):
        assert f"COPY {package} {package}\n" in DOCKERFILE
        assert package in allowed
    assert allowed == {"manage.py", "pyproject.toml", "uv.lock", "persons_api", "core", "events", "tasks"}


def _compose_client() -> list[str] | None:
    """Return the command of a Compose that is installed here, if there is one."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            found = subprocess.run([*command, "version"], capture_output=True, check=False)
            if found.returncode == 0:
                return command
    return None


def _config(command: list[str], missing: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME"}}
    environment |= dict.fromkeys(SECRETS - {missing}, "x" * 24)
    files = ["--file", str(ROOT / "docker-compose.yml"), "--env-file", os.devnull]
    return subprocess.run(
        [*command, *files, "config", "--quiet"], env=environment, capture_output=True, text=True, check=False
    )


def test_the_compose_client_accepts_the_file_and_refuses_it_without_a_secret() -> None:
    command = _compose_client()
    if command is None:
        pytest.skip("Docker Compose is not installed here")
    good = _config(command)
    assert good.returncode == 0, good.stderr
    for name in sorted(SECRETS):
        refused = _config(command, missing=name)
        assert refused.returncode != 0
        assert name in refused.stderr
