"""Archives of plugins: what is read from good ones, and how bad ones are refused before they cost anything."""

import gzip
import io
import os
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.plugins.installing import archives
from core.plugins.installing.archives import ArchiveRefusedError, PluginArchive
from core.plugins.installing.tars import TarError, tar_entries
from tests.core.plugins.plugin_api import files_of, tarred, zipped

NO_ARCHIVE = "The file is neither a zip nor a tgz archive."
LINKS = "The archive has links or special files."
LEADS_OUT = "The archive has a path that leads out of it."
TOO_LARGE = "The archive is too large when unpacked."
DAMAGED = "The archive is damaged."
NO_MANIFEST = "Could not find plugin.json in the plugin"

type Packer = Callable[..., bytes]


def refusal(data: bytes, name: str = "plugin.json") -> str:
    with pytest.raises(ArchiveRefusedError) as refused:
        PluginArchive(data).text(name)
    return str(refused.value)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("root", ["", "relay-abc/", "./", "./relay/"])
def test_a_plugin_lies_at_the_top_or_in_the_one_folder(pack: Packer, root: str) -> None:
    if pack is zipped and root.startswith("./"):
        pytest.skip("no tool writes this")
    archive = PluginArchive(pack({**files_of(), "src/more.ts": "x", "README.md": "# Ä"}, root))
    assert archive.text("index.ts") == files_of()["index.ts"]
    assert archive.text("README.md") == "# Ä"
    assert archive.text("src/more.ts") == "x"
    assert archive.text("more.ts") is None


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_plugin_in_a_folder_of_its_repository(pack: Packer) -> None:
    files = {"plugin.json": "1", "packages/a/plugin.json": "2", "packages/ab/plugin.json": "3"}
    data = pack(files, "repository-abc/")
    assert PluginArchive(data).text("plugin.json") == "1"
    assert PluginArchive(data, "packages/a").text("plugin.json") == "2"
    with pytest.raises(ArchiveRefusedError):
        PluginArchive(data, "packages/b")


def test_what_macos_leaves_is_passed_over() -> None:
    data = zipped({"__MACOSX/plugin.json": "?", "relay/plugin.json": "{}"}, "")
    assert PluginArchive(data).text("plugin.json") == "{}"
    assert refusal(zipped({"a/plugin.json": "{}", "b/plugin.json": "{}"}, "")).startswith("The archive has more than")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_paths_of_every_tar(form: int) -> None:
    long = f"{'folder/' * 15}{'n' * (90 if form == tarfile.USTAR_FORMAT else 150)}.ts"
    data = tarred({"plugin.json": "{}", long: "deep", "after.ts": "a"}, format=form)
    archive = PluginArchive(data)
    assert (archive.text(long), archive.text("after.ts")) == ("deep", "a")


unhurried = settings(deadline=None)
names = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=60)
paths = st.lists(names, min_size=1, max_size=6).map("/".join)


@unhurried
@given(files=st.dictionaries(paths, st.binary(max_size=2_000), max_size=8),
       form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))  # fmt: skip
def test_tars_are_read_as_python_reads_them(files: dict[str, bytes], form: int) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    data = packed.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        twin = [(one.name, data[one.offset_data : one.offset_data + one.size]) for one in archive.getmembers()]
    found = [(one.path, data[one.begin : one.begin + one.size]) for one in tar_entries(data)]
    assert found == twin == list(files.items())


@unhurried
@given(data=st.binary(min_size=512, max_size=4_096), at=st.integers(0, 2_000), by=st.integers(1, 255))
def test_no_tar_makes_the_reader_fail_otherwise(data: bytes, at: int, by: int) -> None:
    damaged = bytearray(gzip.decompress(tarred({"plugin.json": "{}", "n" * 150: "long"})))
    damaged[at % len(damaged)] ^= by
    for bad in (data, bytes(damaged), bytes(damaged[: at + 1])):
        try:
            list(tar_entries(bad))
        except TarError:
            continue


@unhurried
@given(
    at=st.integers(0, 10**6), by=st.integers(1, 255), cut=st.integers(0, 10**6), pack=st.sampled_from([zipped, tarred])
)
def test_damaged_archives_are_refused_or_read(at: int, by: int, cut: int, pack: Packer) -> None:
    damaged = bytearray(pack(files_of()))
    damaged[at % len(damaged)] ^= by
    for data in (bytes(damaged), bytes(damaged[: cut % len(damaged)])):
        try:
            archive = PluginArchive(data)
            for name in ("plugin.json", "index.ts"):
                archive.text(name)
        except ArchiveRefusedError:
            continue


@pytest.mark.parametrize(
    "data", [b"", b"text", b"PK\x03\x04", b"\x1f\x8b", gzip.compress(b"", mtime=0), gzip.compress(b"a" * 600, mtime=0)]
)
def test_what_is_no_archive(data: bytes) -> None:
    assert refusal(data) == NO_ARCHIVE


def test_archives_without_a_manifest() -> None:
    assert refusal(zipped({"index.ts": ""})) == refusal(tarred({"index.ts": ""})) == NO_MANIFEST
    assert refusal(zipped({"a/b/plugin.json": "{}"}, "")) == NO_MANIFEST
    assert refusal(zipped({}, "")) == NO_MANIFEST


BAD_PATHS = [
    "/plugin.json",
    "../plugin.json",
    "a/../../b",
    "a/..",
    "..",
    "C:/plugin.json",
    "a\\..\\b",
    "a\nb",
    "./../b",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_lead_out(path: str) -> None:
    assert refusal(zipped({**files_of(), path: "x"}, "")) == LEADS_OUT
    assert refusal(tarred({**files_of(), path: "x"}, "")) == LEADS_OUT


def test_paths_that_are_too_long_or_deep() -> None:
    for path in ("a/" * archives.MAX_DEPTH + "b", "n" * (archives.MAX_PATH + 1)):
        for pack in (zipped, tarred):
            assert (
                refusal(pack({**files_of(), path: "x"}, "")) == "The archive has a path that is too long or too deep."
            )


def test_a_path_that_comes_twice() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("plugin.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("plugin.json", '{"name": "other"}')
    assert refusal(packed.getvalue()) == "The archive has a path twice."


@pytest.mark.parametrize("kind", [0o120000, 0o010000, 0o060000, 0o140000])
def test_links_and_devices_in_a_zip(kind: int) -> None:
    packed = io.BytesIO(zipped(files_of(), ""))
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    assert refusal(packed.getvalue()) == LINKS


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tgz(kind: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("plugin.json")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    assert refusal(packed.getvalue()) == LINKS


def test_encrypted_files() -> None:
    data = bytearray(zipped(files_of(), ""))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert refusal(bytes(data)) == "The archive has encrypted files."


def test_unusual_compression() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("plugin.json", "{}")
    assert refusal(packed.getvalue()).startswith("The archive is compressed in an unusual way")


def measured(data: bytes) -> tuple[str, int, float]:
    """The refusal, the bytes that it took at most, and the seconds of computing."""
    begin = time.process_time()
    tracemalloc.start()
    try:
        return refusal(data), tracemalloc.get_traced_memory()[1], time.process_time() - begin
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("random", "zeros"), [(0, 60), (0, 20), (8, 45)])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_bombs_cost_little(pack: Packer, random: int, zeros: int) -> None:
    """Too much at all, too much for so small an archive, and too much although the archive is large."""
    megabyte = 1024 * 1024
    bomb = pack({**files_of(), "random": os.urandom(random * megabyte), "zeros": b"\0" * (zeros * megabyte)})
    assert len(bomb) < (random + 1) * megabyte
    text, most, seconds = measured(bomb)
    assert text == TOO_LARGE
    assert most < (130 if random and pack is tarred else 30) * megabyte
    assert seconds < 10


def test_a_zip_that_lies_about_its_sizes() -> None:
    """The directory says 10 bytes; what is there would be a thousand times as much."""
    packed = bytearray(zipped({"plugin.json": "x" * 10_000}, ""))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = packed.index(signature) + offset
        packed[at : at + 4] = struct.pack("<I", 10)
    assert refusal(bytes(packed)) in {TOO_LARGE, DAMAGED}


def test_a_zip_of_very_many_entries() -> None:
    entry = bytearray(zipped({"a": ""}, ""))
    central = bytes(entry[entry.index(b"PK\x01\x02") : entry.index(b"PK\x05\x06")])
    count = archives.MAX_ENTRIES + 1
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, count * len(central), 31, 0)
    text, most, _ = measured(bytes(entry[:31]) + central * count + end)
    assert text == f"The archive has more than {archives.MAX_ENTRIES} entries."
    assert most < 5 * 1024 * 1024


def test_a_tgz_of_very_many_entries() -> None:
    headers = b"".join(tarfile.TarInfo(str(number)).tobuf() for number in range(archives.MAX_ENTRIES + 1))
    data = gzip.compress(headers + b"\0" * 1024)
    assert refusal(data) == f"The archive has more than {archives.MAX_ENTRIES} entries."


@pytest.mark.parametrize(
    "size", [b"\x80" + b"\xff" * 11, b"-0000000001\0", b"77777777777\0", b"\xff" * 12, b"0x10\0\0\0\0\0\0\0\0"]
)
def test_tars_with_impossible_sizes(size: bytes) -> None:
    header = bytearray(tarfile.TarInfo("plugin.json").tobuf())
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert refusal(gzip.compress(bytes(header) + b"\0" * 1024)) == NO_ARCHIVE


@pytest.mark.parametrize(
    "record",
    [b"13 size=100\n", b"22 GNU.sparse.major=1\n", b"99 path=a\n", b"-5 a=b\n", b"0 a=b\n", b"x", b"9 path=\0\n"],
)
def test_tars_with_odd_records(record: bytes) -> None:
    packed = io.BytesIO()
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    packed.write(info.tobuf() + record.ljust(512, b"\0"))
    packed.write(tarfile.TarInfo("plugin.json").tobuf() + b"\0" * 1024)
    assert refusal(gzip.compress(packed.getvalue())) == NO_ARCHIVE


def test_larger_archives_and_files() -> None:
    assert refusal(b"\x1f\x8b" + b"\0" * archives.MAX_BYTES) == "The archive is larger than 10 MB."
    big = "".join(f"{number:x}" for number in range(archives.MAX_FILE // 4))[: archives.MAX_FILE + 1]
    for pack in (zipped, tarred):
        data = pack({"plugin.json": "{}", "index.ts": big, "ok.ts": "x"})
        assert refusal(data, "index.ts") == "index.ts is larger than 2 MB."
        assert PluginArchive(data).text("ok.ts") == "x"


def test_an_archive_in_an_archive_is_not_opened() -> None:
    inner: Any = zipped({"plugin.json": "{}", "zeros": b"\0" * (40 * 1024 * 1024)}, "")
    archive = PluginArchive(zipped({"plugin.json": "{}", "inner.zip": inner}, ""))
    assert archive.text("zeros") is None
    assert refusal(zipped({"plugin.json": inner}, "")) == "plugin.json is not text in UTF-8."
