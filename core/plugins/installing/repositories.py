"""Plugins from GitHub, GitLab and npm, fetched only where the operator allows it, and from folders of this server.

Every version is pinned: a branch, a tag or nothing is first asked for its commit (npm: its exact version), and that is
what is fetched and remembered. Only the hosts in PLUGINS_FETCH_ENDPOINTS are spoken to.
"""

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson
from django.conf import settings

from core.api.errors import Invalid
from core.outbound.addresses import UrlRefusedError, url_read
from core.outbound.client import OutboundError, OutboundSession
from core.plugins.installing.archives import MAX_BYTES, MAX_FILE

NOT_UNDERSTOOD: Final = "Must be a GitHub/GitLab repository or a npm package URL!"
NO_FETCH: Final = (
    "This server does not fetch plugins; its operator can allow it with PLUGINS_FETCH. Upload an archive instead."
)
NO_LOCAL: Final = "This server has no folder of plugins; its operator can name one with PLUGINS_LOCAL_DIR."
NOT_LOCAL: Final = "There is no such folder among the plugins of this server."
LOCAL: Final = "file:"
_MAX_URL: Final = 800
_SECONDS: Final = 20.0

_NAME: Final = r"[A-Za-z0-9_.-]+"
_GITHUB: Final = re.compile(
    rf"/(?P<name>{_NAME}/{_NAME})"
    rf"(?:/(?:commit|tree|releases/tag)/(?P<ref>{_NAME})(?:/(?P<folder>{_NAME}(?:/{_NAME})*))?"
    rf"|/archive/(?P<archived>{_NAME}(?:/{_NAME})*)\.(?:zip|tar\.gz))?",
    re.ASCII,
)
_GITLAB: Final = re.compile(
    rf"/(?P<name>{_NAME}(?:/{_NAME})+?)"
    rf"(?:/-/(?:commit|tree|tags|releases)/(?P<ref>{_NAME})(?:/(?P<folder>{_NAME}(?:/{_NAME})*))?"
    rf"|/-/archive/(?P<archived>{_NAME})/{_NAME}\.(?:zip|tar\.gz))?",
    re.ASCII,
)
_NPM: Final = re.compile(
    r"/package/(?P<name>(?:@[a-z0-9_.-]+/)?[a-z0-9_.-]+)(?:/v/(?P<ref>[A-Za-z0-9_.+-]+))?", re.ASCII
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9_.+-]{1,200}", re.ASCII)
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,500}", re.ASCII)
_HOSTS: Final = {
    "github.com": ("github", "github.com", _GITHUB),
    "www.github.com": ("github", "github.com", _GITHUB),
    "gitlab.com": ("gitlab", "gitlab.com", _GITLAB),
    "www.gitlab.com": ("gitlab", "gitlab.com", _GITLAB),
    "npmjs.com": ("npm", "www.npmjs.com", _NPM),
    "www.npmjs.com": ("npm", "www.npmjs.com", _NPM),
}


@dataclass(frozen=True, slots=True)
class RepositoryUrl:
    """Where a plugin is published. `url` is the same for all ways to write it, without `query`, which may be a token.

    `name` is that of the repository or package, `ref` a commit, branch, tag or version, None for the newest, `folder`
    where in it the plugin lies, empty for its top.
    """

    url: str
    query: str = field(repr=False)
    kind: str
    name: str
    ref: str | None
    folder: str
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fetched:
    """An archive, zip or tgz, the exact commit or version that it is of, and the folder in it that was asked for."""

    archive: bytes = field(repr=False)
    tag: str
    folder: str = ""


def repository_url(url: str) -> RepositoryUrl:
    """Read the URL of a repository or package; raises Invalid with the attr `url`."""
    try:
        target = url_read(url)
    except UrlRefusedError:
        raise _refused(NOT_UNDERSTOOD) from None
    parts = urlsplit(url)
    kind, host, pattern = _HOSTS.get(target.host, ("", "", _NPM))
    path = parts.path.rstrip("/")
    found = pattern.fullmatch(path)
    if not kind or parts.port is not None or found is None or {".", ".."} & set(path.split("/")):
        raise _refused(NOT_UNDERSTOOD)
    groups = found.groupdict()
    ref, name = groups["ref"] or groups.get("archived"), groups["name"]
    if kind != "npm":
        name = name.removesuffix(".git")
        path = path if ref else path.removesuffix(".git")
    plain = f"https://{host}{path}"
    if len(plain) > _MAX_URL:
        message = f"Ensure this field has no more than {_MAX_URL} characters."
        raise Invalid(message, code="max_length", attr="url")
    if "-" in name.split("/"):
        # A page of GitLab about something else than a version.
        raise _refused(NOT_UNDERSTOOD)
    return RepositoryUrl(plain, parts.query, kind, name, ref, groups.get("folder") or "", _token(parts.query))


def repository_fetch(url: str) -> Fetched:
    """Fetch what a URL names, which may have `?private_token=`; raises Invalid with the attr `url`."""
    repository = repository_url(url)
    if not settings.PLUGINS_FETCH:
        raise _refused(NO_FETCH)
    with OutboundSession(seconds=_SECONDS, max_bytes=MAX_BYTES) as session:
        fetching = _Fetching(session, repository)
        match repository.kind:
            case "github":
                return fetching.from_github()
            case "gitlab":
                return fetching.from_gitlab()
            case _:
                return fetching.from_npm()


class _Fetching:
    """The requests for one repository."""

    def __init__(self, session: OutboundSession, repository: RepositoryUrl) -> None:
        self._session = session
        self._repository = repository
        self._endpoints = settings.PLUGINS_FETCH_ENDPOINTS

    def from_github(self) -> Fetched:
        repository = self._repository
        commit = self._commit()
        if commit is None:
            asked = {"sha": repository.ref, "path": repository.folder, "per_page": "1"}
            api = f"{self._endpoints['github']}/repos/{repository.name}/commits?{_query(asked)}"
            commit = _first(self._json(api), "sha")
        archive = self._get(f"{self._endpoints['github_archives']}/{repository.name}/zip/{commit}")
        return Fetched(archive, commit, repository.folder)

    def from_gitlab(self) -> Fetched:
        repository = self._repository
        project = f"{self._endpoints['gitlab']}/projects/{quote(repository.name, safe='')}/repository"
        commit = self._commit()
        if commit is None:
            asked = {"ref_name": repository.ref, "path": repository.folder, "per_page": "1"}
            commit = _first(self._json(f"{project}/commits?{_query(asked)}"), "id")
        archive = self._get(f"{project}/archive.zip?sha={commit}")
        return Fetched(archive, commit, repository.folder)

    def from_npm(self) -> Fetched:
        name = self._repository.name
        registry = f"{self._endpoints['npm']}/{name}"
        # The registry knows tags such as `latest` and `next` as versions too.
        about = self._json(f"{registry}/{quote(self._repository.ref or 'latest', safe='+')}")
        version = about.get("version") if isinstance(about, dict) else None
        if not isinstance(version, str) or not _VERSION.fullmatch(version) or version in {".", ".."}:
            raise _refused("The registry does not say which version this is.")
        archive = self._get(f"{registry}/-/{name.rpartition('/')[2]}-{quote(version, safe='+')}.tgz")
        return Fetched(archive, version)

    def _commit(self) -> str | None:
        ref = self._repository.ref
        return ref if ref is not None and _COMMIT.fullmatch(ref) else None

    def _json(self, url: str) -> Any:  # noqa: ANN401 any JSON value
        try:
            return orjson.loads(self._get(url, accept="application/json"))
        except orjson.JSONDecodeError:
            raise _refused("The host of the repository answered nonsense.") from None

    def _get(self, url: str, *, accept: str = "*/*") -> bytes:
        headers = {"Accept": accept}
        if self._repository.token:
            headers["Authorization"] = f"Bearer {self._repository.token}"
        try:
            answer = self._session.request("GET", url, headers=headers)
        except (UrlRefusedError, OutboundError) as error:
            message = f"The repository could not be fetched. {error}"
            raise _refused(message) from None
        if answer.status == HTTPStatus.NOT_FOUND:
            raise _refused("There is no such repository, package or version, or it needs a private_token.")
        if answer.status != HTTPStatus.OK:
            message = f"The repository could not be fetched: its host answered {answer.status}."
            raise _refused(message)
        if not answer.is_whole:
            message = f"The archive is larger than {MAX_BYTES // 1024 // 1024} MB."
            raise _refused(message)
        return answer.body


def local_folder(url: str) -> Path:
    """Return the folder of `file:<path>`, below PLUGINS_LOCAL_DIR; raises Invalid with the attr `url`.

    A relative path begins there. What lies elsewhere is answered as what does not exist.
    """
    if not settings.PLUGINS_LOCAL_DIR:
        raise _refused(NO_LOCAL)
    try:
        root = Path(settings.PLUGINS_LOCAL_DIR).resolve()
        path = url.removeprefix(LOCAL)
        # file:///a and file:/a mean the same.
        folder = (root / re.sub(r"^/+", "/", path)).resolve()
        is_there = url.startswith(LOCAL) and root in folder.parents and folder.is_dir()
        if is_there and len(f"{LOCAL}{folder}") <= _MAX_URL:
            return folder
    except (OSError, ValueError):
        pass
    raise _refused(NOT_LOCAL)


def local_read(folder: Path, name: str) -> str | None:
    """Return the text of a file of a folder, None if there is none; raises Invalid with the attr `url`.

    A link may lead about in the folder, but not out of it.
    """
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            message = f"{name} lies outside of the folder of the plugin."
            raise _refused(message)
        # A pipe would be waited for.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError):
        message = f"{name} cannot be read."
        raise _refused(message) from None
    if len(data) > MAX_FILE:
        message = f"{name} is larger than {MAX_FILE // 1024 // 1024} MB."
        raise _refused(message)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        message = f"{name} is not text in UTF-8."
        raise _refused(message) from None


def _refused(message: str) -> Invalid:
    return Invalid(message, attr="url")


def _token(query: str) -> str | None:
    """Return the token of a query part; raises Invalid for one that no header could carry."""
    try:
        token = parse_qs(query, max_num_fields=20).get("private_token", [""])[0]
    except ValueError:
        raise _refused(NOT_UNDERSTOOD) from None
    if token and not _TOKEN.fullmatch(token):
        raise _refused("The private_token is not a token.")
    return token or None


def _query(asked: dict[str, str | None]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items() if value)


def _first(commits: object, name: str) -> str:
    """Return the commit of a list of commits, of which the newest is the first."""
    newest = commits[0] if isinstance(commits, list) and commits else None
    commit = newest.get(name) if isinstance(newest, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _refused("The host of the repository does not say which commit this is.")
    return commit
