import gzip
import io
import zlib

import lz4.frame
import pytest
import zstandard

from persons_api.embedded import clickhouse_protocol as protocol


@pytest.mark.parametrize(
    ("text", "sql", "shape", "data"),
    [
        (b'INSERT INTO t FORMAT JSONEachRow\n{"a":1}', "INSERT INTO t ", "JSONEachRow", b'{"a":1}'),
        (b"insert into t(a, `format`) format Native\r\n\x01\x02", "insert into t(a, `format`) ", "Native", b"\x01\x02"),
        (b"INSERT INTO t FORMAT CSV \n\n1", "INSERT INTO t ", "CSV", b"\n1"),
        (b"-- FORMAT x\n INSERT /* FORMAT y */ INTO t FORMAT TSV\t1", None, "TSV", b"1"),
        (b"INSERT INTO t SETTINGS a='FORMAT b' FORMAT Native\n", "INSERT INTO t SETTINGS a='FORMAT b' ", "Native", b""),
        (b"INSERT INTO t FORMAT RowBinary\n\xff\xfe\x00", "INSERT INTO t ", "RowBinary", b"\xff\xfe\x00"),
    ],
)
def test_data_of_an_insert_begins_after_its_format(text: bytes, sql: str | None, shape: str, data: bytes) -> None:
    found = protocol.read_statement(text)
    assert found.insert_format == shape
    assert text[found.data_at :] == data
    assert sql is None or found.sql == sql


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT JSON",
        b"INSERT INTO t SELECT number FROM numbers(3)",
        b"INSERT INTO t VALUES (1, 'FORMAT x')",
        b"  (SELECT 1)",
        b"CREATE TABLE t (format String) ENGINE = Memory",
    ],
)
def test_everything_else_is_sql_as_a_whole(text: bytes) -> None:
    found = protocol.read_statement(text)
    assert found.insert_format is None
    assert found.sql == text.decode()


def test_long_values_are_streamed() -> None:
    found = protocol.read_statement(b"INSERT INTO t VALUES (1), (2), ", complete=False)
    assert (found.sql, found.insert_format) == ("INSERT INTO t ", "Values")


def test_endless_quotes_cost_no_time() -> None:
    found = protocol.read_statement(b"INSERT INTO t '" + b"a\\" * 100_000)
    assert found.insert_format is None


@pytest.mark.parametrize(
    "text", ["select 1", "select 1;", "select ';' ; ", "select 1 -- ; select 2", "select '\\'; x'"]
)
def test_one_statement_is_accepted(text: str) -> None:
    protocol.refuse_several(text)


@pytest.mark.parametrize("text", ["select 1; select 2", "select 1;;select 2", "drop table a;/* */drop table b"])
def test_second_statement_is_refused(text: str) -> None:
    with pytest.raises(protocol.FrontError, match="Multi-statements"):
        protocol.refuse_several(text)


def test_options_tell_settings_from_transport_words() -> None:
    pairs = {"param_x": "1", "max_threads": "2", "database": "d", "session_id": "s", "wait_end_of_query": "1"}
    found = protocol.read_options(pairs, {})
    assert (found.database, found.parameters, found.settings) == ("d", {"x": "1"}, {"max_threads": "2"})


def test_setting_names_cannot_carry_sql() -> None:
    with pytest.raises(protocol.FrontError):
        protocol.read_options({"max_threads = 1, x": "2"}, {})


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
        ("lz4", lz4.frame.compress),
        ("", bytes),
    ],
)
def test_each_encoding_is_undone_in_bounded_steps(encoding: str, pack: object) -> None:
    plain = b"0123456789" * 500_000
    source = protocol.decoded(io.BytesIO(pack(plain)), encoding)  # type: ignore[operator]
    read = b""
    while chunk := source.read(100_000):
        assert len(chunk) <= 100_000
        read += chunk
    assert read == plain


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(protocol.FrontError, match="Content-Encoding"):
        protocol.decoded(io.BytesIO(b""), "snappy")
