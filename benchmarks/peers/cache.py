"""What is known about one method so far, each part under the key of everything that it depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.sidecar import read_json, sha256_of_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FAILURE = "failure"


class ResultFile:
    """The file `result.json` of a method; written after every part, so that a killed benchmark goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: dict[str, Any] = read_json(path) if path.is_file() else {}

    def get(self, part: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns a part that was made from equal inputs, failures included, or None."""
        found = self._parts.get(part)
        return dict(found["facts"]) if found and found["key"] == sha256_of_json(dict(inputs)) else None

    def put(self, part: str, inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Stores a part and returns its facts."""
        self._parts[part] = {"key": sha256_of_json(dict(inputs)), "inputs": dict(inputs), "facts": dict(facts)}
        write_json(self._path, self._parts)
        return dict(facts)
