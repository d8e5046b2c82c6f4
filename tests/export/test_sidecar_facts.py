"""Facts of the wrong type are told when a sidecar is read, not by a traceback in whoever uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.errors import ArtifactError
from export.sidecar_facts import require_types

ENGINE: dict[str, Any] = {
    "input": "uint8",
    "batch": [1, 8, 32],
    "compute_capabilities": ["8.6"],
    "device": {"name": "Orin"},
    "cuda_major": 13,
    "precisions": {"source": "graph", "layers": {"INT8": 3}},
    "weights_bytes": 3,
    "download_bytes": 3,
    "build_seconds": 0.5,
    "warnings": [],
    "version_compatible": False,
    "hardware_compatible": True,
    "sparsity": {"eligible": None, "picked": 3},
    "recommended_threshold": {"value": 0.4, "origin": "refitted", "validation_sha256": "0" * 64},
}
FRAMES: dict[str, Any] = {
    "unreadable": ["a.png"],
    "lost_videos": [],
    "notes": [],
    "backend": "onnxruntime 1",
    "device": "CPU",
    "simulation": "",
    "batch_size": 16,
    "conditions": {"provider": "CPU"},
    "python": "3",
    "machine": "x86_64",
    "root": "data/validation",
}
WRONG = [None, -1, 0.5, True, "text", ["a"], [1], [[]], {"a": "b"}, {"a": []}, {"eligible": "a"}, [1, 2, "3"]]
ALSO_RIGHT = {
    "input": ["text"],
    "backend": ["text"],
    "device": ["text"],
    "simulation": ["text"],
    "python": ["text"],
    "machine": ["text"],
    "root": ["text"],
    "compute_capabilities": ["text", ["a"]],
    "weights_bytes": [None],
    "download_bytes": [None],
    "build_seconds": [-1, 0.5],
    "warnings": [["a"]],
    "unreadable": [["a"]],
    "lost_videos": [["a"]],
    "notes": [["a"]],
    "version_compatible": [True],
    "hardware_compatible": [True],
    "conditions": [{"a": "b"}],
    "sparsity": [{"a": "b"}, {"a": []}],
}
SIDECAR = Path("x.json")


@pytest.mark.parametrize(("kind", "facts"), [("engine", ENGINE), ("frame-scores", FRAMES)])
def test_what_commands_write_passes(kind: str, facts: dict[str, Any]) -> None:
    require_types(kind, facts, {"backend": {"tensorrt": "10"}, "device": {}}, SIDECAR)
    require_types(kind, {}, {}, SIDECAR)
    require_types(kind, {**facts, "compute_capabilities": "portable default"}, {}, SIDECAR)
    require_types(kind, {"a later release's": object()}, {}, SIDECAR)


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize(
    ("kind", "key"), [*(("engine", key) for key in ENGINE), *(("frame-scores", key) for key in FRAMES)]
)
def test_wrong_types_are_told(kind: str, key: str, wrong: Any) -> None:
    right = ALSO_RIGHT.get(key, [])
    if (kind, key) == ("engine", "device"):
        right = [{"a": "b"}, {"eligible": "a"}]
    if key == "conditions":
        right = [{"a": "b"}, {"eligible": "a"}]
    if any(type(wrong) is type(value) and wrong == value for value in right):
        require_types(kind, {key: wrong}, {}, SIDECAR)
        return
    with pytest.raises(ArtifactError, match=key):
        require_types(kind, {key: wrong}, {}, SIDECAR)


def test_an_engine_has_a_backend() -> None:
    with pytest.raises(ArtifactError, match="backend"):
        require_types("engine", {}, {"backend": {}}, SIDECAR)


@pytest.mark.parametrize("key", ["backend", "device"])
@pytest.mark.parametrize("wrong", [None, "1.7", ["1.7"], {"tensorrt": 10}], ids=repr)
def test_wrong_options_are_told(key: str, wrong: Any) -> None:
    with pytest.raises(ArtifactError, match=key):
        require_types("engine", {}, {key: wrong}, SIDECAR)
