"""How URLs of repositories and packages are read, and fetched from hosts that a test plays."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest

from core.api.errors import Invalid
from core.plugins.installing import repositories
from core.plugins.installing.repositories import local_folder, local_read, repository_fetch, repository_url
from tests.core.outbound.receivers import Receiver, answer, dripping

SHA = "82c9218ee40f561b7f37a22d6b6a0ca82887ee3e"
GITHUB = "https://github.com/Some-One/re.po_1"
GITLAB = "https://gitlab.com/group/sub/project"
NPM = "https://www.npmjs.com/package"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (GITHUB, (GITHUB, "github", "Some-One/re.po_1", None, "")),
        (f"{GITHUB}/", (GITHUB, "github", "Some-One/re.po_1", None, "")),
        (f"{GITHUB}.git", (GITHUB, "github", "Some-One/re.po_1", None, "")),
        ("http://www.GitHub.com/Some-One/re.po_1#readme", (GITHUB, "github", "Some-One/re.po_1", None, "")),
        (f"{GITHUB}/tree/main", (f"{GITHUB}/tree/main", "github", "Some-One/re.po_1", "main", "")),
        (f"{GITHUB}/tree/main/a/b/", (f"{GITHUB}/tree/main/a/b", "github", "Some-One/re.po_1", "main", "a/b")),
        (f"{GITHUB}/commit/{SHA}", (f"{GITHUB}/commit/{SHA}", "github", "Some-One/re.po_1", SHA, "")),
        (f"{GITHUB}/releases/tag/v1", (f"{GITHUB}/releases/tag/v1", "github", "Some-One/re.po_1", "v1", "")),
        (f"{GITHUB}/archive/v1.0.zip", (f"{GITHUB}/archive/v1.0.zip", "github", "Some-One/re.po_1", "v1.0", "")),
        (
            f"{GITHUB}/archive/refs/tags/v1.tar.gz",
            (f"{GITHUB}/archive/refs/tags/v1.tar.gz", "github", "Some-One/re.po_1", "refs/tags/v1", ""),
        ),
        (GITLAB, (GITLAB, "gitlab", "group/sub/project", None, "")),
        (f"{GITLAB}.git/", (GITLAB, "gitlab", "group/sub/project", None, "")),
        (f"{GITLAB}/-/tree/main/x", (f"{GITLAB}/-/tree/main/x", "gitlab", "group/sub/project", "main", "x")),
        (f"{GITLAB}/-/commit/{SHA}", (f"{GITLAB}/-/commit/{SHA}", "gitlab", "group/sub/project", SHA, "")),
        (
            f"{GITLAB}/-/archive/main/project-main.zip",
            (f"{GITLAB}/-/archive/main/project-main.zip", "gitlab", "group/sub/project", "main", ""),
        ),
        (f"{NPM}/some-plugin", (f"{NPM}/some-plugin", "npm", "some-plugin", None, "")),
        ("http://npmjs.com/package/@a/b-c/v/1.0-x.1", (f"{NPM}/@a/b-c/v/1.0-x.1", "npm", "@a/b-c", "1.0-x.1", "")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("query", ["", "private_token=t-_.1", "a=b&private_token=t-_.1"])
def test_urls(url: str, expected: tuple[Any, ...], query: str) -> None:
    if "#" in url:
        query = ""
    read = repository_url(f"{url}?{query}" if query else url)
    assert (read.url, read.kind, read.name, read.ref, read.folder) == expected
    assert (read.query, read.token) == (query, "t-_.1" if query else None)
    assert "t-_.1" not in repr(read)


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "file:/etc", "https://example.com/a/b", "https://github.com", "https://github.com/a",
        "https://github.com/a/b/issues/1", "https://github.com/a/b/blob/main/x", "https://github.com/../b",
        "https://github.com/a/..", "https://github.com/a/b/tree/main/../../x", "https://github.com/a/b/tree/main//x",
        "https://github.com:8080/a/b", "https://user@github.com/a/b", "https://user:pw@github.com/a/b",
        "https://github.com.example.com/a/b", "https://example.com/github.com/a/b", "https://api.github.com/a/b",
        "ftp://github.com/a/b", "https://github.com/a/b%2fc", "https://github.com/a/b\n", "https://github.com/a/b\x00",
        "https://github.com/\u00e9/b", "https://github.com/a/\ud800", "https://gitlab.com/a", "https://gitlab.com/a/b/-/x",
        "https://gitlab.com/a/b/-/blob/main/x", "https://gitlab.com/a/-/b", "https://www.npmjs.com/some-plugin",
        "https://www.npmjs.com/package/A", "https://www.npmjs.com/package/@a/b/c", "https://www.npmjs.com/package/..",
        "https://www.npmjs.com/package/a/v/..", "https://registry.npmjs.org/a", "http://127.0.0.1/a/b",
        "https://github.com/a/b?private_token=%0d%0aHost:x", "https://github.com/a/b?private_token=a%20b",
        "https://github.com/a/b?private_token=%C3%A9", "https://github.com/a/b?" + "x=1&" * 30,
        "https://github.com/a/" + "b" * 1_000, "https://github.com/a/" + "b" * 5_000,
    ],
)  # fmt: skip
def test_urls_that_are_not_understood(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        repository_url(url)
    assert (refused.value.attr, refused.value.__cause__) == ("url", None)
    expected = "not a token" if "private_token=" in url else "no more than 800" if len(url) == 1_021 else "Must be a"
    assert expected in refused.value.detail


class Hosts(Receiver):
    """All hosts in one: answers by path."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.known: dict[str, bytes] = {}

    def _answer(self, accepted: socket.socket, _: Receiver) -> None:
        while self.read_request(accepted):
            path = self.requests[-1][0].split(b" ")[1].decode()
            accepted.sendall(self.known.get(path, answer(404)))

    def asked(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head, _ in self.requests]


@pytest.fixture
def hosts(settings: Any) -> Iterator[Hosts]:
    with Hosts() as made:
        base = f"http://127.0.0.1:{made.port}"
        settings.PLUGINS_FETCH = True
        settings.OUTBOUND_ALLOWED_NETWORKS = (ip_network("127.0.0.1/32"),)
        settings.PLUGINS_FETCH_ENDPOINTS = {
            "github": f"{base}/gh", "github_archives": f"{base}/zips", "gitlab": f"{base}/gl", "npm": f"{base}/npm",
        }  # fmt: skip
        yield made


def _json(value: Any) -> bytes:
    return answer(200, orjson.dumps(value))


@pytest.mark.parametrize(
    ("tail", "question", "folder"),
    [
        ("", "per_page=1", ""),
        ("/tree/main", "sha=main&per_page=1", ""),
        ("/tree/main/a/b", "sha=main&path=a%2Fb&per_page=1", "a/b"),
        ("/releases/tag/v1", "sha=v1&per_page=1", ""),
        ("/archive/refs/tags/v1.zip", "sha=refs%2Ftags%2Fv1&per_page=1", ""),
        ("/tree/82c9218", "sha=82c9218&per_page=1", ""),
    ],
)
def test_github(hosts: Hosts, tail: str, question: str, folder: str) -> None:
    hosts.known[f"/gh/repos/Some-One/re.po_1/commits?{question}"] = _json([{"sha": SHA}])
    hosts.known[f"/zips/Some-One/re.po_1/zip/{SHA}"] = answer(200, b"PK")
    fetched = repository_fetch(GITHUB + tail)
    assert (fetched.archive, fetched.tag, fetched.folder) == (b"PK", SHA, folder)
    assert b"uthorization" not in b"".join(head for head, _ in hosts.requests)
    assert "PK" not in repr(fetched)


def test_a_commit_of_github_needs_no_question(hosts: Hosts) -> None:
    hosts.known[f"/zips/Some-One/re.po_1/zip/{SHA}"] = answer(200, b"PK")
    for tail in (f"/commit/{SHA}", f"/tree/{SHA}"):
        assert repository_fetch(GITHUB + tail).tag == SHA
    assert len(hosts.requests) == 2


def test_gitlab(hosts: Hosts) -> None:
    project = "/gl/projects/group%2Fsub%2Fproject/repository"
    hosts.known[f"{project}/commits?per_page=1"] = _json([{"id": SHA}])
    hosts.known[f"{project}/commits?ref_name=main&path=x&per_page=1"] = _json([{"id": SHA}])
    hosts.known[f"{project}/archive.zip?sha={SHA}"] = answer(200, b"PK")
    assert repository_fetch(GITLAB).tag == SHA
    fetched = repository_fetch(f"{GITLAB}/-/tree/main/x")
    assert (fetched.archive, fetched.tag, fetched.folder) == (b"PK", SHA, "x")
    assert repository_fetch(f"{GITLAB}/-/commit/{SHA}").archive == b"PK"
    assert len(hosts.requests) == 5


def test_npm(hosts: Hosts) -> None:
    hosts.known["/npm/@a/b/latest"] = hosts.known["/npm/@a/b/2.0.0-rc.1+x"] = _json({"version": "2.0.0-rc.1+x"})
    hosts.known["/npm/@a/b/-/b-2.0.0-rc.1+x.tgz"] = answer(200, b"\x1f\x8b")
    for url in (f"{NPM}/@a/b", f"{NPM}/@a/b/v/2.0.0-rc.1+x"):
        fetched = repository_fetch(url)
        assert (fetched.archive, fetched.tag, fetched.folder) == (b"\x1f\x8b", "2.0.0-rc.1+x", "")


def test_the_token_goes_with_every_request_and_nowhere_else(hosts: Hosts) -> None:
    hosts.known["/gh/repos/Some-One/re.po_1/commits?per_page=1"] = _json([{"sha": SHA}])
    hosts.known[f"/zips/Some-One/re.po_1/zip/{SHA}"] = answer(200, b"PK")
    repository_fetch(f"{GITHUB}?private_token=abc-123")
    assert len(hosts.requests) == 2
    for head, _ in hosts.requests:
        assert b"\r\nAuthorization: Bearer abc-123" in head
        assert b"abc" not in head.split(b"\r\n")[0]


def _refusal(url: str = GITHUB) -> str:
    with pytest.raises(Invalid) as refused:
        repository_fetch(url)
    assert refused.value.attr == "url"
    assert refused.value.__cause__ is None
    assert "token-1" not in refused.value.detail
    return refused.value.detail


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(404), "no such repository"),
        (answer(401), "answered 401"),
        (answer(403, b'{"message": "rate limit"}'), "answered 403"),
        (answer(429), "answered 429"),
        (answer(503), "answered 503"),
        (answer(302, b"", "Location: http://127.0.0.1/"), "answered 302"),
        (answer(200, b"<html>"), "nonsense"),
        (answer(200, b"[" * 100_000), "nonsense"),
        (answer(200, b"[]"), "which commit"),
        (answer(200, b"{}"), "which commit"),
        (answer(200, b"[[]]"), "which commit"),
        (answer(200, b'[{"sha": null}]'), "which commit"),
        (answer(200, b'[{"sha": "../../x"}]'), "which commit"),
        (answer(200, b'[{"sha": "main"}]'), "which commit"),
        (b"nonsense\r\n\r\n", "not HTTP"),
    ],
)
def test_hosts_that_do_not_say_the_commit(hosts: Hosts, said: bytes, why: str) -> None:
    hosts.known["/gh/repos/Some-One/re.po_1/commits?per_page=1"] = said
    assert why in _refusal(f"{GITHUB}?private_token=token-1")
    assert len(hosts.requests) == 1


@pytest.mark.parametrize("version", [None, 7, "", "..", "1/../../x", "1 2", "\n", "1" * 300])
def test_registries_that_do_not_say_the_version(hosts: Hosts, version: Any) -> None:
    hosts.known["/npm/a/latest"] = _json({"version": version})
    assert "which version" in _refusal(f"{NPM}/a")
    assert hosts.asked() == ["/npm/a/latest"]


def test_archives_that_are_too_large_or_not_there(hosts: Hosts) -> None:
    path = f"/zips/Some-One/re.po_1/zip/{SHA}"
    assert "no such repository" in _refusal(f"{GITHUB}/commit/{SHA}")
    hosts.known[path] = answer(200, b"x" * (repositories.MAX_BYTES + 1))
    assert "larger than 10 MB" in _refusal(f"{GITHUB}/commit/{SHA}")
    hosts.known[path] = answer(200, b"x" * repositories.MAX_BYTES)
    assert len(repository_fetch(f"{GITHUB}/commit/{SHA}").archive) == repositories.MAX_BYTES


def test_a_host_that_drips(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repositories, "_SECONDS", 0.3)
    hosts.script = dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x")
    assert "within 0.3 seconds" in _refusal()


def test_nothing_is_fetched_unless_the_operator_allows_it(hosts: Hosts, settings: Any) -> None:
    settings.PLUGINS_FETCH = False
    assert "PLUGINS_FETCH" in _refusal()
    settings.PLUGINS_FETCH, settings.OUTBOUND_ALLOWED_NETWORKS = True, ()
    assert "not allowed" in _refusal()
    assert hosts.connections == 0


def test_only_these_hosts_are_spoken_to(settings: Any) -> None:
    endpoints = {
        "https://api.github.com", "https://codeload.github.com", "https://gitlab.com/api/v4", "https://registry.npmjs.org",
    }  # fmt: skip
    assert set(settings.PLUGINS_FETCH_ENDPOINTS.values()) == endpoints
    assert settings.PLUGINS_FETCH is False


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """The folder of plugins, with one plugin in it and secrets beside it."""
    root = tmp_path / "plugins"
    (root / "hello" / "src").mkdir(parents=True)
    (root / "hello" / "plugin.json").write_text('{"name": "H\u00e9llo"}', encoding="utf-8-sig")
    (root / "hello" / "src" / "index.js").write_text("export function onEvent() {}")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "plugin.json").write_text("secret")
    (root / "file").write_text("x")
    settings.PLUGINS_LOCAL_DIR = str(root)
    return root


def test_local_plugins(folder: Path) -> None:
    for url in (f"file:{folder}/hello", f"file://{folder}/hello/", "file:hello", f"file:{folder}/./x/../hello"):
        found = local_folder(url)
        assert found == folder / "hello"
    assert local_read(found, "plugin.json") == '{"name": "H\u00e9llo"}'
    assert local_read(found, "src/index.js") == "export function onEvent() {}"
    assert [local_read(found, name) for name in ("index.ts", "src", "", ".", "a/b/c", "plugin.json/x")] == [None] * 6


def test_folders_that_are_not_among_them(folder: Path, settings: Any) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "loop").symlink_to(folder / "loop")
    outside = [folder.parent / "secret", folder.parent, folder, "/", "/etc", folder / ".." / "secret", folder / "link",
               folder / "loop", folder / "file", folder / "none", f"{folder}x", "../secret", "", "hello/../..",
               "\x00", "a" * 5_000, "/".join("a" * 200 for _ in range(10)), "\ud800", "~"]  # fmt: skip
    for path in outside:
        with pytest.raises(Invalid) as refused:
            local_folder(f"file:{path}")
        assert (refused.value.attr, refused.value.detail) == ("url", repositories.NOT_LOCAL)
    with pytest.raises(Invalid, match="no such folder"):
        local_folder(f"{folder}/hello")
    settings.PLUGINS_LOCAL_DIR = ""
    with pytest.raises(Invalid, match="PLUGINS_LOCAL_DIR"):
        local_folder(f"file:{folder}/hello")


def test_files_that_are_not_read(folder: Path) -> None:
    found = local_folder("file:hello")
    (found / "out.js").symlink_to(folder.parent / "secret" / "plugin.json")
    (found / "in.js").symlink_to(found / "src" / "index.js")
    (found / "large.js").write_bytes(b"x" * (repositories.MAX_FILE + 1))
    (found / "binary.js").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(found / "pipe.js")
    assert local_read(found, "in.js") == "export function onEvent() {}"
    assert local_read(found, "pipe.js") is None
    wrong: dict[str, str] = {
        "out.js": "outside", "../../secret/plugin.json": "outside", "/etc/passwd": "outside", "../file": "outside",
        "large.js": "larger than 2 MB", "binary.js": "not text", "\x00": "cannot be read",
        "a" * 5_000: "cannot be read",
    }  # fmt: skip
    for name, why in wrong.items():
        with pytest.raises(Invalid, match=why) as refused:
            local_read(found, name)
        assert refused.value.attr == "url"
