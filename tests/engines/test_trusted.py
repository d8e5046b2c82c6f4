"""Only the very bytes that were built reach the one who runs them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from engines.trusted import require_plan, trusted_bytes
from export.errors import ArtifactError
from export.sidecar import Recipe, make_artifact, read_artifact

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from export.sidecar import Artifact

CONTENT = b"vtrt" + bytes(range(256))


@pytest.fixture
def engine(tmp_path: Path) -> Artifact:
    def write(path: Path) -> dict[str, object]:
        path.write_bytes(CONTENT)
        return {}

    return make_artifact(tmp_path / "x.plan", Recipe("engine", {}, {"backend": {"tensorrt_rtx": "1"}}), write)


def test_bytes_are_those_of_the_sidecar(engine: Artifact) -> None:
    assert trusted_bytes(engine) == CONTENT
    assert hashlib.sha256(trusted_bytes(engine)).hexdigest() == engine.sha256


def test_a_file_exchanged_after_it_was_checked_is_refused(engine: Artifact) -> None:
    checked = read_artifact(engine.path)
    engine.path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ArtifactError, match=r"changed after it was made .* delete it and run the command"):
        trusted_bytes(checked)


def test_a_file_is_opened_once(engine: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads twice can be shown two files."""
    opened = []
    really = os.open

    def counted(path: object, *rest: int) -> int:
        opened.append(path)
        return really(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", counted)
    trusted_bytes(engine)
    assert opened == [engine.path]


def test_a_link_is_judged_by_what_it_leads_to(engine: Artifact, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    engine.path.rename(elsewhere)
    engine.path.symlink_to(elsewhere)
    assert trusted_bytes(engine) == CONTENT
    elsewhere.write_bytes(b"vtrt" + b"!" * 99)
    with pytest.raises(ArtifactError, match="was changed"):
        trusted_bytes(engine)


@pytest.mark.parametrize("what", ["nothing", "pipe", "device", "folder", "loop"])
def test_what_is_no_file_is_refused_at_once(engine: Artifact, what: str) -> None:
    engine.path.unlink()
    if what == "pipe":
        os.mkfifo(engine.path)
    elif what == "device":
        engine.path.symlink_to("/dev/zero")
    elif what == "folder":
        engine.path.mkdir()
    elif what == "loop":
        engine.path.symlink_to(engine.path.name)
    with pytest.raises(ArtifactError, match="run build-engines again"):
        trusted_bytes(engine)


def plan(magic: bytes) -> bytes:
    return magic + bytes(100)


@pytest.mark.parametrize(
    ("package", "magic"), [("tensorrt_rtx", b"vtrt"), ("tensorrt", b"ftrt"), ("tensorrt", b"gtrt")]
)
def test_plans_pass(package: str, magic: bytes) -> None:
    require_plan(plan(magic), package)


@pytest.mark.parametrize(
    ("package", "blob", "told"),
    [
        ("tensorrt_rtx", b"", "x.plan is empty; .*--backend tensorrt-rtx again"),
        ("tensorrt", b"", "x.plan is empty; .*--backend tensorrt again"),
        ("tensorrt_rtx", b"vtr", "has only 3 bytes"),
        ("tensorrt_rtx", plan(b"vtrt")[:63], "has only 63 bytes, less than the header"),
        ("tensorrt", plan(b"ftrt")[:63], "has only 63 bytes, less than the header"),
        ("tensorrt", bytes(1000), "is full of zeros"),
        (
            "tensorrt_rtx",
            plan(b"ftrt"),
            "is a plan of classic TensorRT, which TensorRT for RTX cannot read; .*--backend",
        ),
        (
            "tensorrt",
            plan(b"vtrt"),
            "is a plan of TensorRT for RTX, which classic TensorRT cannot .*--backend tensorrt-rtx",
        ),
        ("tensorrt", b"vtrt", "is a plan of TensorRT for RTX"),
        ("tensorrt_rtx", plan(b"gtrt"), "does not start as a plan of TensorRT for RTX does"),
        ("tensorrt", plan(b"\x28\xb5\x2f\xfd"), "is compressed with zstd"),
        ("tensorrt", (20).to_bytes(4, "little") + b'{"stride": 32, "x":1}' + plan(b"ftrt"), "as Ultralytics writes"),
    ],
)
def test_what_is_no_plan_is_told_apart(package: str, blob: bytes, told: str) -> None:
    with pytest.raises(ArtifactError, match=told):
        require_plan(blob, package, "x.plan")


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx"])
def test_a_renamed_graph_is_told(package: str, fp32_model: onnx.ModelProto) -> None:
    with pytest.raises(ArtifactError, match=r"is an ONNX graph, not a plain TensorRT plan; .*run build-engines"):
        require_plan(fp32_model.SerializeToString(), package)
