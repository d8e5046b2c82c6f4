"""A CSV file as people and spreadsheets write it: with commas, semicolons or tabs, and with a byte order mark."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Row:
    """One row: `FILE:LINE` for messages, and column -> value without blanks around it."""

    place: str
    values: dict[str, str]


@dataclass(frozen=True)
class CsvTable:
    """The first line's columns, in lower case, and the rows below it, which are read as they are taken."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


def text_of_table(path: Path, content: bytes) -> str:
    """Decodes the content of a file.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


def csv_table(path: Path, text: str) -> CsvTable:
    """Reads the columns of a CSV; the delimiter is what the first line has most of, and empty lines are left out.

    Raises:
        DataError: It is no CSV, or a column is there twice; from `rows`, also that a row has another number of fields.
    """
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=first.count)
    lines = _lines(path, text, delimiter)
    _, names = next(lines, ("", []))
    columns = tuple(name.strip().lower() for name in names)
    require_distinct(path, columns)
    return CsvTable(columns, _rows(lines, columns, delimiter))


def require_distinct(place: object, columns: tuple[str, ...]) -> None:
    """Requires that every column has a name of its own.

    Raises:
        DataError: Two have the same.
    """
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError(f"{place} has the column {twice[0]!r} twice; rename one")


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for fields in reader:
            yield f"{path}:{reader.line_num}", fields
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no CSV ({error}); correct the quotes") from error


def _rows(lines: Iterator[tuple[str, list[str]]], columns: tuple[str, ...], delimiter: str) -> Iterator[Row]:
    for place, fields in lines:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(columns):
            raise DataError(
                f"{place}: {len(fields)} fields; expected {len(columns)}, as many as the first line has: put "
                f"fields with {delimiter!r} in quotes"
            )
        yield Row(place, dict(zip(columns, (field.strip() for field in fields), strict=True)))
