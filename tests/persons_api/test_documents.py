"""The documents name only what exists."""

import re
from pathlib import Path

import pytest

from events.hogql.functions.registry import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@every_document
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@every_document
def test_every_named_file_exists(path: Path) -> None:
    named = re.findall(
        r"`((?:core|events|tasks|persons_api|tests|benchmarks)/[\w./]+)`", path.read_text(encoding="utf-8")
    )
    # The benchmarks write it; it is there once they ran.
    missing = [name for name in named if name != "benchmarks/latest.json" and not (ROOT / name).exists()]
    assert missing == []


@every_document
def test_every_make_target_and_command_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    commands = {found.stem for folder in ("core", "persons_api") for found in (ROOT / folder).rglob("commands/*.py")}
    for command in re.findall(r"manage\.py ([a-z_]+)", text):
        assert command in commands | {"createsuperuser", "migrate", "shell"}, command


@every_document
def test_every_variable_is_read_somewhere(path: Path) -> None:
    files = [
        *ROOT.glob("persons_api/**/*.py"),
        ROOT / "docker-compose.yml",
        ROOT / "Makefile",
        ROOT / "tests/conftest.py",
    ]
    sources = "".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", path.read_text(encoding="utf-8")))
    named -= {"NAME_FILE", *FUNCTIONS}
    assert {name for name in named if not re.search(rf"\b{name}\b", sources)} == set()
