"""Files that no command of ours wrote are told in one line, whatever they hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from export.errors import ArtifactError
from export.stored_json import Stated, json_from_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = {
    "empty": b"",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "BOM": b"\xef\xbb\xbf{}",
    "NaN": b'{"a": NaN}',
    "infinity": b"[-Infinity]",
    "overflowing": b'{"a": 1e999}',
    "key twice": b'{"a": 1, "a": 2}',
    "key twice, deep": b'[{"b": {"a": 1, "a": 1}}]',
    "nested lists": b"[" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "endless number": b"[" + b"9" * 10_000 + b"]",
    "two values": b"{}{}",
    "comment": b"{} // no",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.json is not valid JSON .*; delete it to have it made again") as caught:
        json_from_file(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), os.mkfifo], ids=["gone", "dir", "pipe"])
def test_what_is_no_file_is_one_line(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x.json")
    with pytest.raises(ArtifactError, match=r"is missing|is not a file"):
        json_from_file(tmp_path / "x.json")


def test_what_python_reads_from_the_same_text_is_read(tmp_path: Path) -> None:
    value = {"text": "é\n\u2028", "numbers": [0, -3, 0.1, 1e-300, 10**30], "nested": {"none": None, "flag": True}}
    (tmp_path / "x.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    assert json_from_file(tmp_path / "x.json") == value


def test_a_missing_key_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": {"b": 1}}', encoding="utf-8")
    read = json_from_file(tmp_path / "x.json")
    with pytest.raises(ArtifactError, match=r"x\.json does not say 'c'"):
        read["a"]["c"]
    assert read["a"].get("c") is None
    assert "c" not in read["a"]


READERS: dict[str, Callable[[Stated], object]] = {
    "text": lambda stated: stated.text("key"),
    "texts": lambda stated: stated.texts("key"),
    "texts by name": lambda stated: stated.texts_by_name("key"),
    "whole number": lambda stated: stated.whole_number("key"),
    "flag": lambda stated: stated.flag("key"),
    "part": lambda stated: stated.part("key"),
}
ACCEPTED: dict[str, list[Any]] = {
    "text": ["", "a", "\udcff"],
    "texts": [[], ["a"]],
    "texts by name": [{}, {"a": "b"}],
    "whole number": [0, 7],
    "flag": [True, False],
    "part": [{}, {"a": "b"}, {"a": 1}],
}
VALUES = [
    "",
    "a",
    "a\0b",
    "\ud800",
    [],
    ["a"],
    ["a\0"],
    [1],
    {},
    {"a": "b"},
    {"a": 1},
    0,
    7,
    -1,
    0.5,
    True,
    False,
    None,
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_only_the_stated_type_is_read(reader: str, value: Any) -> None:
    wanted = any(type(value) is type(good) and value == good for good in ACCEPTED[reader])
    if wanted:
        assert READERS[reader](Stated({"key": value}, "x.json")) in (
            value,
            tuple(value) if value == ["a"] else value,
            (),
        )
    else:
        with pytest.raises(ArtifactError, match=r"x\.json says 'key' = .*; expected .*: delete it"):
            READERS[reader](Stated({"key": value}, "x.json"))


def test_keys_of_a_file_cannot_break_the_line() -> None:
    with pytest.raises(ArtifactError, match=r"says 'a\\nb' = ") as caught:
        Stated({"a\nb": 1}, "x.json").text("a\nb")
    assert "\n" not in str(caught.value)


def test_deep_values_are_refused_without_being_shown() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ArtifactError, match="'key' = a list; expected text"):
        Stated({"key": deep}, "x.json").text("key")
