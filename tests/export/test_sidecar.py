from __future__ import annotations

import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from export.errors import ArtifactError
from export.sidecar import (
    Recipe,
    amended_artifact,
    make_artifact,
    read_artifact,
    reusable_artifact,
    sha256_of_file,
    sha256_of_json,
    sidecar_path,
    write_atomically,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe("onnx", {"weights": "a" * 64}, {"opset": 20, "list": [1, 2]})


def write_hello(path: Path) -> dict[str, Any]:
    path.write_text("hello", encoding="utf-8")
    return {"words": 1}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "x.onnx"
    make_artifact(path, RECIPE, write_hello)
    return path


def test_made_artifact_reads_back(artifact: Path) -> None:
    read = read_artifact(artifact)
    assert read.recipe == RECIPE
    assert read.facts == {"words": 1}
    # printf hello | sha256sum
    assert read.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert read.size_bytes == 5


def test_same_recipe_is_reused(artifact: Path) -> None:
    assert reusable_artifact(artifact, Recipe("onnx", dict(RECIPE.parents), dict(RECIPE.options))) is not None


@pytest.mark.parametrize(
    "other",
    [
        Recipe("engine", RECIPE.parents, RECIPE.options),
        Recipe("onnx", {"weights": "b" * 64}, RECIPE.options),
        Recipe("onnx", RECIPE.parents, {**RECIPE.options, "opset": 19}),
    ],
)
def test_any_other_recipe_is_made_anew(artifact: Path, other: Recipe) -> None:
    assert reusable_artifact(artifact, other) is None


def test_another_version_of_the_toolkit_makes_anew(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.sidecar.__version__", "999.0")
    assert read_artifact(artifact).facts == {"words": 1}
    assert reusable_artifact(artifact, RECIPE) is None


def test_changed_file_is_refused(artifact: Path) -> None:
    artifact.write_text("hallo", encoding="utf-8")
    with pytest.raises(ArtifactError, match="was changed after it was made"):
        reusable_artifact(artifact, RECIPE)


@pytest.mark.parametrize("remove", ["file", "sidecar"])
def test_missing_half_is_made_anew(artifact: Path, remove: str) -> None:
    (artifact if remove == "file" else sidecar_path(artifact)).unlink()
    assert reusable_artifact(artifact, RECIPE) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": 1}', "null"])
def test_damaged_sidecar_is_one_error(artifact: Path, text: str) -> None:
    sidecar_path(artifact).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError):
        reusable_artifact(artifact, RECIPE)


def test_edited_sidecar_is_refused(artifact: Path) -> None:
    record = json.loads(sidecar_path(artifact).read_text(encoding="utf-8"))
    record["options"]["opset"] = 21
    write_json(sidecar_path(artifact), record)
    with pytest.raises(ArtifactError, match="edited by hand"):
        read_artifact(artifact)


def test_facts_are_added_and_everything_else_stays(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_artifact(artifact)
    stored = json.loads(sidecar_path(artifact).read_text(encoding="utf-8"))
    monkeypatch.setattr("export.sidecar.__version__", "99.0")  # a later release may add to what an earlier one made
    amended = amended_artifact(before, {"found": {"later": 0.25}})
    after = json.loads(sidecar_path(artifact).read_text(encoding="utf-8"))
    changed = {"facts": {"words": 1, "found": {"later": 0.25}}, "facts_sha256": after["facts_sha256"]}
    assert after == {**stored, **changed}
    assert read_artifact(artifact) == amended == replace(before, facts=changed["facts"])


def test_facts_that_are_there_are_not_written_again(artifact: Path) -> None:
    amended = amended_artifact(read_artifact(artifact), {"found": 1})
    written = sidecar_path(artifact).stat().st_mtime_ns, sidecar_path(artifact).stat().st_ino
    assert amended_artifact(amended, {"found": 1}) == amended
    assert (sidecar_path(artifact).stat().st_mtime_ns, sidecar_path(artifact).stat().st_ino) == written


@pytest.mark.parametrize("text", ["[]", '{"sha256": "0"}'])
def test_facts_are_not_added_to_another_sidecar(text: str, artifact: Path) -> None:
    before = read_artifact(artifact)
    sidecar_path(artifact).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"changed while the command ran|does not say 'key'"):
        amended_artifact(before, {"found": 1})
    assert sidecar_path(artifact).read_text(encoding="utf-8") == text


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> dict[str, Any]:
        path.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_artifact(tmp_path / "x.onnx", RECIPE, fail)
    assert list(tmp_path.iterdir()) == []


def test_failed_rewrite_keeps_no_stale_sidecar(artifact: Path) -> None:
    def fail(path: Path) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_artifact(artifact, Recipe("onnx", {}, {}), fail)
    assert reusable_artifact(artifact, RECIPE) is None


def test_atomic_write_keeps_suffix_and_sets_mode(tmp_path: Path) -> None:
    target = tmp_path / "plot.png"
    with write_atomically(target) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_digest_of_large_file(tmp_path: Path) -> None:
    import hashlib

    content = bytes(range(256)) * 12_345
    (tmp_path / "x").write_bytes(content)
    assert sha256_of_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"auc": float("nan")})
    assert not (tmp_path / "x.json").exists()


def resealed(path: Path, **changes: Any) -> None:
    """Edits a sidecar and recomputes its digests, as whoever means harm would."""
    record = {**json.loads(sidecar_path(path).read_text(encoding="utf-8")), **changes}
    record["facts_sha256"] = sha256_of_json(record["facts"])
    if isinstance(record["parents"], dict) and isinstance(record["options"], dict):
        record["key"] = Recipe(record["kind"], record["parents"], record["options"]).key
    sidecar_path(path).write_text(json.dumps(record), encoding="utf-8")


WRONG = [None, 3, 0.5, True, "text", [], ["a"], {"a": 1}, {"a": None}]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("key", ["kind", "parents", "options", "facts", "sha256", "toolkit", "file"])
def test_resealed_sidecars_of_the_wrong_types_are_one_error(artifact: Path, key: str, wrong: Any) -> None:
    resealed(artifact, **{key: wrong})
    harmless = {
        "kind": ["text"],
        "options": [{"a": 1}, {"a": None}],
        "facts": [{"a": 1}, {"a": None}],
        "toolkit": ["text"],
    }
    if wrong in harmless.get(key, []) and not isinstance(wrong, bool):
        assert read_artifact(artifact).path == artifact
        return
    with pytest.raises(ArtifactError, match=r"x\.onnx") as caught:
        read_artifact(artifact)
    assert "\n" not in str(caught.value)


def test_deeply_nested_facts_are_one_error(artifact: Path) -> None:
    """Deep enough for the parser to pass and for whoever walks the value afterwards to fail."""
    text = sidecar_path(artifact).read_text(encoding="utf-8")
    for depth in range(100, 1100, 50):
        nested = '{"a":' * depth + "1" + "}" * depth
        sidecar_path(artifact).write_text(text.replace('"words": 1', f'"words": {nested}'), encoding="utf-8")
        with pytest.raises(ArtifactError):
            read_artifact(artifact)


def test_an_artifact_under_another_name_is_refused(artifact: Path) -> None:
    other = artifact.with_name("y.onnx")
    artifact.rename(other)
    sidecar_path(artifact).rename(sidecar_path(other))
    with pytest.raises(ArtifactError, match=r"belongs to 'x\.onnx'"):
        read_artifact(other)


def test_a_key_alone_is_no_proof_of_the_recipe(artifact: Path) -> None:
    """Under the name of another release the key is not recomputed, so it could be copied from anywhere."""
    record = json.loads(sidecar_path(artifact).read_text(encoding="utf-8"))
    write_json(sidecar_path(artifact), {**record, "toolkit": "another", "kind": "engine"})
    assert read_artifact(artifact).key == RECIPE.key
    assert reusable_artifact(artifact, RECIPE) is None


def test_facts_that_are_missing_are_one_error(artifact: Path) -> None:
    read = read_artifact(artifact)
    with pytest.raises(ArtifactError, match=r"x\.onnx\.json does not say 'unreadable'"):
        read.facts["unreadable"]
    with pytest.raises(ArtifactError, match=r"x\.onnx\.json does not say 'onnx'"):
        read.recipe.parents["onnx"]
