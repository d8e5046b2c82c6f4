"""The rows of a manifest as they stand in the file: CSV with commas, semicolons or tabs, or JSON Lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from calibration.datasets.csv_table import Row, csv_table, require_distinct, text_of_table
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUIRED = ("path", "label")
JSON_LINES = frozenset({".jsonl", ".ndjson"})
CSV_SUFFIXES = frozenset({".csv", ".tsv"})
_EXAMPLE = "path,label,video,identity,split,frame"


def rows_of_manifest(path: Path) -> Iterator[Row]:
    """Yields the rows of a manifest in order, with all columns in each.

    Raises:
        DataError: The file is not UTF-8, no CSV or JSON Lines, lacks a required column or has one twice.
    """
    text = text_of_table(path, path.read_bytes())
    if path.suffix.lower() in JSON_LINES:
        yield from _json_rows(path, text)
        return
    table = csv_table(path, text)
    _require_needed(path, table.columns)
    yield from table.rows


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
        columns = tuple(str(name).strip().lower() for name in stated)
        _require_needed(place, columns)
        require_distinct(place, columns)
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


def _require_needed(place: object, columns: tuple[str, ...]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"{place} has no column {' and none '.join(missing)}; expected a first line such as {_EXAMPLE}, of which "
            "path and label are needed"
        )
