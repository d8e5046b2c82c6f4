"""Reads JSON that lay on a disk, strictly: whatever no command of ours writes is one line, never a traceback."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

from export.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LARGEST = 1e300


class StoredObject(dict[str, Any]):
    """A JSON object of a file; a key that it lacks is an error of the file, not of the program."""

    source = "a file"

    def __missing__(self, key: str) -> NoReturn:
        raise ArtifactError(f"{self.source} does not say {key!r}; delete it to have it made again")


def json_from_file(path: Path) -> Any:
    """Parses a JSON file; its objects become `StoredObject`.

    Raises:
        ArtifactError: The file is missing, is no regular file, or holds something that `write_json` never writes: text
            that is not UTF-8 or not JSON, a key twice, NaN, infinity, or lists nested beyond all reason.
    """

    def stored_object(pairs: list[tuple[str, Any]]) -> StoredObject:
        stored = StoredObject(pairs)
        stored.source = str(path)
        if len(stored) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice[:60]!r} is there twice")
        return stored

    if not path.exists():
        raise ArtifactError(f"{path} is missing; run the command that writes it again")
    if not path.is_file():
        raise ArtifactError(f"{path} is not a file; delete it to have it made again")
    try:
        return json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=stored_object,
            parse_float=_finite_number,
            parse_constant=_finite_number,
        )
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; run the command that writes it again") from None
    except RecursionError:
        raise ArtifactError(f"{path} is not valid JSON (nested too deep); delete it to have it made again") from None
    except ValueError as error:  # that of a JSON, UTF-8 or number error, too
        raise ArtifactError(f"{path} is not valid JSON ({error}); delete it to have it made again") from error


class Stated:
    """Typed access to what a file states; a value of another kind than expected is one line.

    Args:
        values: A parsed JSON object.
        source: The file, for messages.
        remedy: What to do about it, likewise.
    """

    def __init__(
        self, values: Mapping[str, Any], source: object, remedy: str = "delete it to have it made again"
    ) -> None:
        self._values = values
        self._source = source
        self._remedy = remedy

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def is_null(self, key: str) -> bool:
        """Tells whether a key is there and says nothing."""
        return key in self._values and self._values[key] is None

    def is_list(self, key: str) -> bool:
        """Tells whether a key is there and holds a list."""
        return isinstance(self._values.get(key), list | tuple)

    def is_exactly(self, key: str, text: str) -> bool:
        """Tells whether a key is there and says just that."""
        value = self._values.get(key)
        return isinstance(value, str) and value == text

    def text(self, key: str) -> str:
        """Returns a text."""
        value = self._value(key)
        return value if _is_text(value) else self._refuse(key, value, "text")

    def texts(self, key: str) -> tuple[str, ...]:
        """Returns a list of texts."""
        value = self._value(key)
        if not isinstance(value, list | tuple) or not all(map(_is_text, value)):
            self._refuse(key, value, "a list of texts")
        return tuple(value)

    def texts_by_name(self, key: str) -> dict[str, str]:
        """Returns an object whose values are texts."""
        value: dict[str, str] = self._value(key)
        if not isinstance(value, dict) or not all(map(_is_text, (*value, *value.values()))):
            self._refuse(key, value, "an object of texts")
        return value  # not a copy, so that a missing key stays an error of the file

    def whole_number(self, key: str) -> int:
        """Returns a whole number from 0 on."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._refuse(key, value, "a whole number from 0 on")
        return int(value)

    def three_whole_numbers(self, key: str) -> tuple[int, int, int]:
        """Returns a list of three whole numbers from 0 on."""
        value = self._value(key)
        if not isinstance(value, list | tuple) or len(value) != 3:
            self._refuse(key, value, "three whole numbers")
        parts = Stated({f"{key}[{index}]": number for index, number in enumerate(value)}, self._source, self._remedy)
        first, second, third = map(parts.whole_number, parts)
        return first, second, third

    def number(self, key: str) -> float:
        """Returns a finite number."""
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not -_LARGEST <= value <= _LARGEST:
            self._refuse(key, value, "a number")
        return float(value)

    def flag(self, key: str) -> bool:
        """Returns true or false; a flag that is not stated is not set."""
        value = self._values.get(key, False)
        return value if isinstance(value, bool) else self._refuse(key, value, "true or false")

    def part(self, key: str) -> dict[str, Any]:
        """Returns an object."""
        value = self._value(key)
        return value if isinstance(value, dict) else self._refuse(key, value, "an object")

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raises the error of a value that is of the right type but still not what its reader expects."""
        self._refuse(key, self._value(key), expected)

    def inner(self, key: str) -> Stated:
        """Returns typed access to an object within."""
        return Stated(self.part(key), f"{self._source}, {key},", self._remedy)

    def _value(self, key: str) -> Any:
        if key not in self._values:
            raise ArtifactError(f"{self._source} does not say {key!r}; {self._remedy}")
        return self._values[key]

    def _refuse(self, key: str, value: object, expected: str) -> NoReturn:
        # Of a list or an object only that it is one: it may be too large, or nested too deep, to be shown.
        shown = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else repr(value)[:60]
        raise ArtifactError(f"{self._source} says {key[:60]!r} = {shown}; expected {expected}: {self._remedy}")


def _is_text(value: object) -> TypeGuard[str]:
    # The system refuses NUL and half a character in paths, except those that stand for bytes that are not UTF-8.
    return isinstance(value, str) and not any(letter == "\0" or "\ud800" <= letter < "\udc80" for letter in value)


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:60]} is not finite")
    return number
