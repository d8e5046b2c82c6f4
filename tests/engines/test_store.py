from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from engines.run_folder import RunFolder, locked
from engines.store import PENDING, ArtifactStore
from export.errors import ArtifactError
from export.sidecar import Recipe, sidecar_path

if TYPE_CHECKING:
    from pathlib import Path


CONTRACT = "{}"


class Writer:
    """Writes a text and counts how often it was asked to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0

    def __call__(self, path: Path) -> dict[str, Any]:
        self.calls += 1
        path.write_text(self.text, encoding="utf-8")
        return {}


def recipe(parent: str) -> Recipe:
    return Recipe("onnx", {"weights": parent})


def test_second_command_reuses(tmp_path: Path) -> None:
    writer = Writer("x")
    for _ in range(2):
        ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), writer, 1)
    assert writer.calls == 1


def test_changed_parent_makes_anew(tmp_path: Path) -> None:
    writer = Writer("x")
    store = ArtifactStore(CONTRACT)
    for parent in ("a", "b", "b"):
        store.obtain(tmp_path / "x", recipe(parent), writer, 1)
    assert writer.calls == 2


def test_dry_run_writes_nothing_and_follows_dependence(tmp_path: Path) -> None:
    made = ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), Writer("x"), 1)
    ArtifactStore(CONTRACT).obtain(tmp_path / "y", recipe(made.sha256), Writer("y"), 1)
    before = sorted(path.name for path in tmp_path.iterdir())
    store = ArtifactStore(CONTRACT, dry_run=True)
    changed = store.obtain(tmp_path / "x", recipe("b"), Writer("z"), 100)
    child = store.obtain(tmp_path / "y", recipe(changed.sha256), Writer("z"), 200)
    assert (changed.sha256, child.sha256) == (PENDING, PENDING)
    assert [(step.path.name, step.reused, step.size_bytes) for step in store.steps] == [
        ("x", False, 100),
        ("y", False, 200),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_dry_run_tells_what_is_reused(tmp_path: Path) -> None:
    ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), Writer("four"), 1)
    store = ArtifactStore(CONTRACT, dry_run=True)
    store.obtain(tmp_path / "x", recipe("a"), Writer("other"), 999)
    assert [(step.reused, step.size_bytes) for step in store.steps] == [(True, 4)]


def test_edited_artifact_stops_the_command(tmp_path: Path) -> None:
    ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), Writer("x"), 1)
    (tmp_path / "x").write_text("edited", encoding="utf-8")
    with pytest.raises(ArtifactError, match="delete it and run the command that made it"):
        ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), Writer("x"), 1)


def test_deleting_either_half_heals(tmp_path: Path) -> None:
    writer = Writer("x")
    for doomed in (tmp_path / "x", sidecar_path(tmp_path / "x")):
        ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), writer, 1)
        doomed.unlink()
    assert (
        ArtifactStore(CONTRACT).obtain(tmp_path / "x", recipe("a"), writer, 1).path.read_text(encoding="utf-8") == "x"
    )
    assert writer.calls == 3


def test_second_command_on_one_folder_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with locked(run), pytest.raises(ArtifactError, match="another command works on"), locked(run):
        pass
    with locked(run):
        pass


def test_another_contract_makes_anew(tmp_path: Path) -> None:
    writer = Writer("x")
    for contract in ("{}", '{"fake_index":0}'):
        ArtifactStore(contract).obtain(tmp_path / "x", recipe("a"), writer, 1)
    assert writer.calls == 2
