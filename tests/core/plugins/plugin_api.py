"""Plugins of one organization as one caller sees them, and archives to send."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.core.http import Caller, parsed

FORM = "application/x-www-form-urlencoded"
MANIFEST = {
    "name": "Relay",
    "description": "Sends events on",
    "icon": "https://example.org/icon.png",
    "config": [{"key": "host", "name": "Host", "type": "string"}, {"key": "token", "type": "string", "secret": True}],
    "publicJobs": {"again": {"payload": {"day": {"type": "date", "required": True}}}},
}
CODE = "export async function onEvent(event) {}\nexport const jobs = { again: async () => {} }\n"


@dataclass(frozen=True)
class Plugins:
    """A caller at the plugins of one organization; parts of the path go below `plugins/`."""

    caller: Caller
    organization_id: Any

    def path(self, *parts: Any) -> str:
        return "/".join(["/api/organizations", str(self.organization_id), "plugins", *map(str, parts), ""])

    def send(self, method: str, *parts: Any, body: Any = None, encoding: str = "json") -> HttpResponse:
        options: dict[str, Any] = {}
        if encoding == "form":
            body, options = urlencode(body), {"content_type": FORM}
        elif encoding == "multipart":
            body, options = encode_multipart(BOUNDARY, dict(body)), {"content_type": MULTIPART_CONTENT}
        return self.caller(method, self.path(*parts), body, **options)

    def read(self, *parts: Any) -> Any:
        answer = self.send("GET", *parts)
        assert answer.status_code == 200, answer.content
        return parsed(answer)

    def make(self, **fields: Any) -> Any:
        answer = self.send("POST", body={"plugin_type": "source", "name": "Relay", **fields})
        assert answer.status_code == 201, answer.content
        return parsed(answer)

    def upload(self, data: bytes, *parts: Any, method: str = "POST", **fields: Any) -> HttpResponse:
        body = {"archive": SimpleUploadedFile("plugin.zip", data), **fields}
        return self.send(method, *parts, body=body, encoding="multipart")

    def uploaded(self, data: bytes, **fields: Any) -> Any:
        answer = self.upload(data, **fields)
        assert answer.status_code == 201, answer.content
        return parsed(answer)


def files_of(manifest: Mapping[str, Any] | None = None, **files: str) -> dict[str, str]:
    """Return the files of a plugin, `index_ts` standing for index.ts."""
    named = {name.replace("_", "."): text for name, text in files.items()}
    return {"plugin.json": orjson.dumps({**MANIFEST, **(manifest or {})}).decode(), "index.ts": CODE, **named}


def zipped(files: Mapping[str, str | bytes], root: str = "relay-1.0/") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        if root:
            archive.mkdir(root.rstrip("/"))
        for name, text in files.items():
            archive.writestr(root + name, text)
    return packed.getvalue()


def tarred(files: Mapping[str, str | bytes], root: str = "package/", **options: Any) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", **options) as archive:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            info = tarfile.TarInfo(root + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
