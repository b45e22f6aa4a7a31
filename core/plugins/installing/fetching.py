"""Where plugins come from that are not sent along: repositories, and folders of this server."""

from dataclasses import dataclass, field
from functools import partial

from core.api.errors import Invalid
from core.plugins.installing.archives import ArchiveRefusedError
from core.plugins.installing.manifest import FILE as MANIFEST
from core.plugins.installing.repositories import LOCAL, local_folder, local_read, repository_fetch, repository_url
from core.plugins.installing.sources import COMPILED, Code, archive_code, files_code


@dataclass(frozen=True, slots=True)
class Location:
    """Where a plugin lies: `url` is what is stored and shown, `query` the part of a URL that may hold a token."""

    url: str
    query: str = field(repr=False, default="")


def located(url: str) -> Location:
    """Return what a URL means; raises Invalid for one that is not understood."""
    if url.startswith(LOCAL):
        return Location(f"{LOCAL}{local_folder(url)}")
    found = repository_url(url)
    return Location(found.url, found.query)


def location_code(location: Location) -> tuple[Code, str | None]:
    """Fetch the plugin that lies somewhere and its version, if it has one; raises Invalid."""
    if location.url.startswith(LOCAL):
        text = partial(local_read, local_folder(location.url))
        return files_code({name: text(name) for name in (MANIFEST, *COMPILED)}, text), None
    fetched = repository_fetch(f"{location.url}?{location.query}" if location.query else location.url)
    try:
        return archive_code(fetched.archive, fetched.folder), fetched.tag
    except ArchiveRefusedError as error:
        raise Invalid(str(error), attr="url") from None
