"""The rows of a manifest as they stand in the file: CSV with commas, semicolons or tabs, or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUIRED = ("path", "label")
JSON_LINES = frozenset({".jsonl", ".ndjson"})
CSV_SUFFIXES = frozenset({".csv", ".tsv"})
_DELIMITERS = (",", ";", "\t")
_EXAMPLE = "path,label,video,identity,split,frame"


@dataclass(frozen=True)
class Row:
    """One row: `FILE:LINE` for messages, and column -> value; columns are in lower case."""

    place: str
    values: dict[str, str]


def rows_of_manifest(path: Path) -> Iterator[Row]:
    """Yields the rows of a manifest in order, with all columns in each.

    Raises:
        DataError: The file is not UTF-8, no CSV or JSON Lines, lacks a required column or has one twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    yield from _json_rows(path, text) if path.suffix.lower() in JSON_LINES else _csv_rows(path, text)


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _require_columns(path, columns)
        for fields in reader:
            place = f"{path}:{reader.line_num}"
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(columns):
                raise DataError(
                    f"{place}: {len(fields)} fields; expected {len(columns)}, as many as the first line has: put "
                    f"fields with {delimiter!r} in quotes"
                )
            yield Row(place, dict(zip(columns, (field.strip() for field in fields), strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no CSV ({error}); correct the quotes") from error


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    # Only a line feed ends a line: other separators may stand within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            stated = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: no JSON ({error}); expected an object in each line") from error
        if not isinstance(stated, dict):
            raise DataError(f"{place}: expected an object with path and label")
        columns = [str(name).strip().lower() for name in stated]
        _require_columns(place, columns)
        yield Row(
            place, {name: _text(place, name, value) for name, value in zip(columns, stated.values(), strict=True)}
        )


def _text(place: str, name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "identity" and isinstance(value, list) and all(isinstance(one, str | int) for one in value):
        return ";".join(str(one).strip() for one in value)
    # Whether true means fake or real is anybody's guess.
    if isinstance(value, bool) and name == "label":
        raise DataError(f"{place}: label {str(value).lower()}; expected 1 or fake, 0 or real")
    if not isinstance(value, str | int | float):
        raise DataError(f"{place}: {name} is a list or an object; expected a text or a number")
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _require_columns(place: object, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{place} has no column {' and none '.join(missing)}; expected a first line such as {_EXAMPLE}, of which "
            "path and label are needed"
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DataError(f"{place} has the column {twice[0]!r} twice; rename one")
