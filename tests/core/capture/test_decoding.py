import base64
import gzip
import io
import zlib
from typing import Any
from urllib.parse import urlencode

import brotli  # type: ignore[import-untyped]  # ships no stubs
import lzstring
import orjson
import pytest
import zstandard
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory

from core.capture.compression import OutputTooLarge, brotli_decode, gunzip, inflate, zstd_decode
from core.capture.decoding import Payload, decode
from core.capture.documents import read_document
from core.capture.lz64 import TooMuchOutput, lz64_decode
from core.capture.refusals import Refusal

LIMIT = 2 * 1024 * 1024
DOCUMENT = {"event": "signed up ünï 😀", "distinct_id": "a", "token": "phc_x", "properties": {"n": [1, 2.5, None]}}
JSON = orjson.dumps(DOCUMENT)
FORM = "application/x-www-form-urlencoded"


def post(body: bytes, *, content_type: str = "application/json", query: str = "", **headers: Any) -> Payload:
    request = RequestFactory().generic("POST", f"/e/?{query}", body, content_type=content_type, **headers)
    return decode(request, limit=LIMIT)


def refused(*args: Any, **kwargs: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        post(*args, **kwargs)
    return caught.value


def units(text: str) -> str:
    return "".join(map(chr, memoryview(text.encode("utf-16-le")).cast("H")))


def lz64(text: str) -> str:
    return str(lzstring.LZString.compressToBase64(units(text)))


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/plain;charset=UTF-8", "", "x/y"])
def test_plain_json_is_read_whatever_the_content_type(content_type: str) -> None:
    assert post(JSON, content_type=content_type).document == DOCUMENT


@pytest.mark.parametrize(
    "hint", ["", "compression=gzip", "compression=gzip-js", "compression=GZIP-JS", "compression=x"]
)
def test_gzip_is_known_by_its_first_bytes(hint: str) -> None:
    assert post(gzip.compress(JSON), content_type="text/plain", query=hint).document == DOCUMENT


def test_gzip_is_announced_by_a_header() -> None:
    assert post(gzip.compress(JSON), HTTP_CONTENT_ENCODING="gzip").document == DOCUMENT


def test_gzip_of_two_members_is_one_text() -> None:
    assert post(gzip.compress(JSON[:10]) + gzip.compress(JSON[10:])).document == DOCUMENT


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(base64.b64encode, id="base64"),
        pytest.param(base64.urlsafe_b64encode, id="urlsafe"),
        pytest.param(base64.encodebytes, id="lines"),
        pytest.param(lambda raw: base64.b64encode(gzip.compress(raw)), id="base64-of-gzip"),
        pytest.param(lambda raw: gzip.compress(base64.b64encode(raw)), id="gzip-of-base64"),
        pytest.param(lambda raw: base64.b64encode(base64.b64encode(raw)), id="twice"),
    ],
)
def test_base64_is_recognised_without_a_hint(wrap: Any) -> None:
    assert post(wrap(JSON), content_type="text/plain").document == DOCUMENT


@pytest.mark.parametrize("hint", ["lz64", "lz-string", "LZ64"])
def test_lz64_body(hint: str) -> None:
    assert (
        post(lz64(JSON.decode()).encode(), content_type="text/plain", query=f"compression={hint}").document == DOCUMENT
    )


def test_lz64_form() -> None:
    body = urlencode({"data": lz64(JSON.decode()), "compression": "lz64"}).encode()
    assert post(body, content_type=FORM).document == DOCUMENT


@pytest.mark.parametrize("extra", [{}, {"compression": "base64"}])
def test_form_with_base64(extra: dict[str, str]) -> None:
    body = urlencode({"data": base64.b64encode(JSON).decode(), **extra}).encode()
    assert post(body, content_type=f"{FORM}; charset=utf-8", query="compression=base64").document == DOCUMENT


def test_form_whose_plus_signs_were_not_encoded() -> None:
    raw = orjson.dumps({"event": "???>>>~~~"})
    encoded = base64.b64encode(raw)
    assert b"+" in encoded
    assert post(b"data=" + encoded, content_type=FORM).document == {"event": "???>>>~~~"}


def test_form_with_plain_json_and_a_token_beside_it() -> None:
    payload = post(urlencode({"data": JSON.decode(), "api_key": "phc_y"}).encode(), content_type=FORM)
    assert payload.document == DOCUMENT
    assert payload.form_token == "phc_y"


def test_data_in_the_query_of_a_get() -> None:
    for data in (JSON.decode(), base64.b64encode(JSON).decode()):
        request = RequestFactory().get("/e/", {"data": data, "_": "1"})
        payload = decode(request, limit=LIMIT)
        assert payload.document == DOCUMENT
        assert payload.query["_"] == "1"


def test_data_in_the_query_wins_over_the_body() -> None:
    assert post(b"[]", query=urlencode({"data": JSON.decode()})).document == DOCUMENT


def test_utf8_byte_order_mark_is_skipped() -> None:
    assert post(b"\xef\xbb\xbf" + JSON).document == DOCUMENT


@pytest.mark.parametrize(
    ("body", "arguments", "status", "text"),
    [
        (b"", {}, 400, "request missing data payload"),
        (b"", {"query": "data="}, 400, "request missing data payload"),
        (b"{", {}, 400, "failed to parse request: "),
        (b"hello world", {}, 400, "failed to parse request: "),
        (b"\xff\xfe{}", {}, 400, "failed to decode request: invalid UTF8 in request payload"),
        (b"nope", {"query": "compression=gzip"}, 400, "failed to decode request: invalid GZIP data"),
        (gzip.compress(JSON, mtime=0)[:-9], {}, 400, "failed to decode request: invalid GZIP data"),
        (b"\x1f\x8b\x08rubbish", {}, 400, "failed to decode request: invalid GZIP data"),
        (b"!!!!", {"query": "compression=lz64"}, 400, "failed to decode request: invalid LZ64 data"),
        (JSON, {"content_type": FORM}, 400, "failed to decode request: expected form data in POST request payload"),
        (b"a=1", {"content_type": FORM}, 400, "failed to decode request: expected form data in POST request payload"),
        (b"x" * (LIMIT + 1), {}, 413, "maximum event size exceeded: "),
        (b"[" * 100_000, {}, 400, "failed to parse request: "),
        (b"[" * 201 + b"]" * 201, {}, 400, "failed to parse request: nested deeper than 200 levels"),
        (b"&".join([b"a=1"] * 2000), {"content_type": FORM}, 400, "failed to decode request: too many form fields"),
    ],
)
def test_what_cannot_be_decoded_is_refused(body: bytes, arguments: dict[str, Any], status: int, text: str) -> None:
    refusal = refused(body, **arguments)
    assert refusal.status == status
    assert refusal.detail.startswith(text)


def test_gzip_bomb_is_stopped_at_the_limit(settings: Any) -> None:
    settings.CAPTURE_MAX_DECOMPRESSED_BYTES = 1_000_000
    assert refused(gzip.compress(b" " * 50_000_000)).status == 413
    members = gzip.compress(b" " * 600_000) * 2
    assert refused(members).status == 413


def test_lz64_bomb_is_stopped_at_the_limit(settings: Any) -> None:
    settings.CAPTURE_MAX_DECOMPRESSED_BYTES = 10_000
    assert refused(lz64("a" * 50_000).encode(), query="compression=lz64").status == 413


def chunked(body: bytes) -> WSGIRequest:
    request = RequestFactory().post("/e/")
    del request.environ["CONTENT_LENGTH"]
    request.environ.update({"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True})
    return WSGIRequest(request.environ)


def test_chunked_body_is_read_and_bounded() -> None:
    assert decode(chunked(JSON), limit=LIMIT).document == DOCUMENT
    with pytest.raises(Refusal) as caught:
        decode(chunked(b" " * (LIMIT + 1)), limit=LIMIT)
    assert caught.value.status == 413


def test_body_that_stops_early_is_408() -> None:
    request = RequestFactory().post("/e/")
    request.environ.update({"wsgi.input": io.BytesIO(JSON), "CONTENT_LENGTH": str(len(JSON) + 1)})
    with pytest.raises(Refusal) as caught:
        decode(WSGIRequest(request.environ), limit=LIMIT)
    assert caught.value.status == 408


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"a": NaN, "b": [Infinity, -Infinity], "c": 1e999}', {"a": None, "b": [None, None], "c": None}),
        (b'{"a\\u0000b": "c\\u0000d"}', {"a\ufffdb": "c\ufffdd"}),
        (b'{"\\ud800": "\\udc00x", "ok": "\\ud83d\\ude00"}', {"\ufffd": "\ufffdx", "ok": "😀"}),
        (b"[18446744073709551615, 9223372036854775808, NaN]", [2**64 - 1, 2**63, None]),
        (b"[123456789012345678901234567890]", [1.2345678901234568e29]),
        (b"[" + b"9" * 5000 + b"]", [None]),
        (b"[-9223372036854775809, NaN]", [-9.223372036854776e18, None]),
        (b'"\\\\u0000"', "\\u0000"),
    ],
)
def test_what_stores_refuse_is_repaired(raw: bytes, expected: Any) -> None:
    document = read_document(raw)
    assert document == expected
    assert orjson.loads(orjson.dumps(document)) == expected


def test_two_hundred_levels_are_taken() -> None:
    assert read_document(b"[" * 200 + b"]" * 200)
    assert read_document(b"[" * 200 + b"NaN" + b"]" * 200)
    with pytest.raises(Refusal, match="nested deeper"):
        read_document(b"[" * 201 + b"NaN" + b"]" * 201)
    with pytest.raises(Refusal, match="nested deeper"):
        read_document(b"[" * 201 + b'"\\u0000"' + b"]" * 201)


@pytest.mark.parametrize("text", ["a", "hello hello", "a" * 70_000, "😀ünï" * 300, JSON.decode() * 100])
def test_lz64_gives_back_what_the_reference_wrote(text: str) -> None:
    assert lz64_decode(lz64(text).encode(), 10_000_000) == text


def test_lz64_output_is_bounded() -> None:
    with pytest.raises(TooMuchOutput):
        lz64_decode(lz64("a" * 10_000).encode(), 9_999)


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("compress", "decompress"),
    [
        pytest.param(gzip.compress, gunzip, id="gzip"),
        pytest.param(zlib.compress, inflate, id="deflate"),
        pytest.param(raw_deflate, inflate, id="raw-deflate"),
        pytest.param(brotli.compress, brotli_decode, id="br"),
        pytest.param(zstandard.ZstdCompressor().compress, zstd_decode, id="zstd"),
    ],
)
def test_every_codec_round_trips_is_bounded_and_notices_a_cut(compress: Any, decompress: Any) -> None:
    data = b"0123456789" * 100_000
    packed = compress(data)
    assert decompress(packed, len(data)) == data
    with pytest.raises(OutputTooLarge):
        decompress(packed, len(data) - 1)
    for broken in (packed[:-5], packed[: len(packed) // 2], b"rubbish, surely"):
        with pytest.raises(ValueError, match=r".") as caught:
            decompress(broken, len(data))
        assert not isinstance(caught.value, OutputTooLarge)
