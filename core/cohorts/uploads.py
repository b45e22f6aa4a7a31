"""What callers send: fields, persons, and uploaded lists, of which one column names the persons."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from core.api.errors import Invalid
from core.api.values import json_repaired
from core.cohorts.models import CohortUpload

MAX_BYTES: Final = 20 * 1024 * 1024
MAX_IDS: Final = 500_000
MAX_LINE: Final = 100_000
EMPTY: Final = "CSV file is empty. Please upload a CSV file with at least one row of data."
NO_IDS: Final = (
    "CSV file contains no valid person IDs, distinct IDs, or email addresses. "
    "Please ensure your file has data rows with person IDs, distinct IDs, or email addresses."
)
BAD_ENCODING: Final = "CSV file encoding is not supported. Please save your file as UTF-8 and try again."
BAD_FORMAT: Final = "CSV file format is invalid. Please check your file format and try again."
NO_COLUMN: Final = (
    "Multi-column CSV must contain at least one column with a supported ID header: 'person_id', 'Person .id' (PostHog"
    " export format), 'distinct_id', 'distinct-id', or 'email'. Found columns: {columns}"
)
_SHOWN_COLUMNS: Final = 500

Kind = CohortUpload.Kind
# In order of preference, as PostHog reads them.
_HEADERS: Final = (
    (Kind.PERSON_ID, frozenset({"person_id", "person-id", "person .id"})),
    (Kind.DISTINCT_ID, frozenset({"distinct_id", "distinct-id"})),
    (Kind.EMAIL, frozenset({"email", "e-mail"})),
)


@dataclass(frozen=True, slots=True)
class Upload:
    """The ids of a list, each once, and what kind they are of."""

    kind: CohortUpload.Kind
    ids: list[str]


@dataclass(frozen=True, slots=True)
class CohortBody:
    """The fields that were given, and the members that were sent along."""

    fields: dict[str, Any]
    person_uuids: tuple[UUID, ...] = ()
    upload: Upload | None = None


def read_csv(file: Any) -> Upload:  # noqa: ANN401 Django's uploaded file, or whatever a client sent in its place
    """Read an uploaded CSV: one column of ids with or without a header, or several with one that is known.

    Without a header the ids are distinct ids or UUIDs of persons. Raises Invalid with attr `csv`.
    """
    if not hasattr(file, "read"):
        raise Invalid("The submitted data was not a file. Check the encoding type on the form.", attr="csv")
    if file.size > MAX_BYTES:
        message = f"CSV file is larger than {MAX_BYTES} bytes."
        raise Invalid(message, code="max_length", attr="csv")
    rows = csv.reader(_lines(file))
    try:
        kind, column, rest = _plan(rows)
        ids = dict.fromkeys(_values(rest, column))
    except UnicodeDecodeError:
        raise Invalid(BAD_ENCODING, attr="csv") from None
    except csv.Error:
        raise Invalid(BAD_FORMAT, attr="csv") from None
    if not ids:
        raise Invalid(NO_IDS, attr="csv")
    return Upload(kind, list(ids))


def _lines(file: Any) -> Iterator[str]:  # noqa: ANN401 as above
    """Yield the lines of a file of ids; the csv module's own limit is one of the whole process."""
    for line in codecs.iterdecode(file, "utf-8-sig"):
        if len(line) > MAX_LINE:
            raise csv.Error
        yield line


def _plan(rows: Iterator[list[str]]) -> tuple[CohortUpload.Kind, int, Iterator[list[str]]]:
    """Say what the ids are, in which column, and where they begin."""
    first = next((row for row in rows if any(cell.strip() for cell in row)), None)
    if first is None:
        raise Invalid(EMPTY, attr="csv")
    names = [cell.strip().lower() for cell in first]
    for kind, headers in _HEADERS:
        for column, name in enumerate(names):
            if name in headers:
                return kind, column, rows
    filled = [cell.strip() for cell in first if cell.strip()]
    if len(filled) > 1:
        raise Invalid(NO_COLUMN.format(columns=", ".join(filled)[:_SHOWN_COLUMNS]), attr="csv")
    return Kind.ANY, 0, _with(first, rows)


def _with(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


def _values(rows: Iterator[list[str]], column: int) -> Iterator[str]:
    count = 0
    for row in rows:
        value = row[column].strip() if len(row) > column else ""
        if not value:
            continue
        count += 1
        if count > MAX_IDS:
            message = f"CSV file has more than {MAX_IDS} rows."
            raise Invalid(message, code="max_length", attr="csv")
        yield str(json_repaired(value))
