"""Artifacts and their JSON sidecars: identity is a digest, writes are atomic, nothing is reused by name.

An artifact `x.onnx` has a sidecar `x.onnx.json` that holds its own sha256, the digests of its parents and the
options it was made with. It is reused when those match a request, rebuilt when they do not, and refused when the
file no longer is what the sidecar says.

That guards against accidents: a damaged disk, a half-copied folder, a file that was edited, renamed or exchanged. It
does not guard against malice, because whoever can write a file can write a matching sidecar, too; so a run folder is
to be trusted as much as the person it came from. Sidecars are data in any case: whatever they hold, reading one ends
in an artifact or in an ArtifactError.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from export import __version__
from export.errors import ArtifactError
from export.sidecar_facts import require_types
from export.stored_json import Stated, json_from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SIDECAR_SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Recipe:
    """Everything that determines an artifact's content.

    Attributes:
        kind: What the artifact is, such as `onnx` or `calibration-table`.
        parents: Role -> sha256 of each input file or sample set.
        options: JSON-serializable settings, versions of the tools included.
    """

    kind: str
    parents: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The sha256 of the recipe: equal keys mean that the artifact need not be made again."""
        return sha256_of_json(
            {
                "kind": self.kind,
                "parents": dict(self.parents),
                "options": dict(self.options),
                "toolkit": __version__,
            }
        )


@dataclass(frozen=True)
class Artifact:
    """A file of the run folder together with what its sidecar says about it.

    Attributes:
        path: The file.
        sha256: Its digest.
        recipe: What it was made from.
        facts: What was measured when it was made.
        key: Key of the recipe under the toolkit version that made it.
    """

    path: Path
    sha256: str
    recipe: Recipe
    facts: Mapping[str, Any]
    key: str

    @property
    def size_bytes(self) -> int:
        """Size of the file on disk."""
        return self.path.stat().st_size


def sha256_of_file(path: Path) -> str:
    """Returns the hexadecimal sha256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_json(value: object) -> str:
    """Returns the hexadecimal sha256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder and renames it to `path` only if the block succeeds.

    The temporary name keeps the suffix, because some writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
    try:
        # Made inside the block, so that an interruption right after it leaves nothing behind.
        temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        with temporary.open("rb") as stream:
            _flush_to_disk(stream)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON atomically; NaN is refused because JSON has none."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file of the run folder.

    Raises:
        ArtifactError: The file is missing or is not JSON that `write_json` could have written.
    """
    return json_from_file(path)


def sidecar_path(path: Path) -> Path:
    """Returns where the sidecar of an artifact lies."""
    return path.with_name(path.name + ".json")


def read_artifact(path: Path) -> Artifact:
    """Reads an artifact and checks the file against its sidecar.

    Raises:
        ArtifactError: File or sidecar is missing, the sidecar is malformed, or the file was changed.
    """
    sidecar = sidecar_path(path)
    stored = read_json(sidecar)
    if not isinstance(stored, dict):
        raise ArtifactError(f"{sidecar} is not a sidecar; delete it to have {path.name} rebuilt")
    record = Stated(stored, sidecar)
    recipe = Recipe(record.text("kind"), record.texts_by_name("parents"), record.part("options"))
    recorded, facts, key = record.text("sha256"), record.part("facts"), record.text("key")
    if not _SHA256.fullmatch(recorded):
        raise ArtifactError(f"{sidecar} holds no sha256 but {recorded[:60]!r}; delete it to have {path.name} rebuilt")
    same_toolkit = record.text("toolkit") == __version__
    try:
        intact = record.text("facts_sha256") == sha256_of_json(facts) and (key == recipe.key or not same_toolkit)
    except RecursionError:
        raise ArtifactError(f"{sidecar} is nested too deep; delete it to have {path.name} rebuilt") from None
    if not intact:
        raise ArtifactError(f"{sidecar} was edited by hand; delete it to have {path.name} rebuilt")
    require_types(recipe.kind, facts, recipe.options, sidecar)
    if "file" in record and record.text("file") != path.name:
        raise ArtifactError(
            f"{sidecar} belongs to {record.text('file')[:60]!r}; give both their names back or run build-engines again"
        )
    if not path.is_file():
        raise ArtifactError(f"{path} is missing although its sidecar exists; run build-engines again")
    found = sha256_of_file(path)
    if found != recorded:
        raise ArtifactError(
            f"{path} was changed after it was made (sha256 {found[:12]}, sidecar says {recorded[:12]}); "
            "delete it and run the command that made it to have it rebuilt"
        )
    return Artifact(path, recorded, recipe, facts, key)


def reusable_artifact(path: Path, recipe: Recipe) -> Artifact | None:
    """Returns the stored artifact if it was made by exactly this recipe, None if it must be made.

    Raises:
        ArtifactError: The file was changed by hand, or its sidecar is damaged.
    """
    if not path.is_file() or not sidecar_path(path).is_file():
        return None
    artifact = read_artifact(path)
    # The stored key alone could be that of another kind of artifact, under the name of another release.
    return artifact if artifact.key == artifact.recipe.key == recipe.key else None


def make_artifact(path: Path, recipe: Recipe, write: Callable[[Path], Mapping[str, Any]]) -> Artifact:
    """Makes an artifact and its sidecar; a kill in between leaves a file without sidecar, which is remade.

    Args:
        path: Where the artifact goes.
        recipe: What it is made from; stored in the sidecar.
        write: Writes the file to the path it is given and returns facts for the sidecar.
    """
    sidecar_path(path).unlink(missing_ok=True)
    for orphan in path.parent.glob(f".{path.name}.*"):  # of a command that was killed
        orphan.unlink()
    with write_atomically(path) as temporary:
        facts = dict(write(temporary))
        digest = sha256_of_file(temporary)
    write_json(
        sidecar_path(path),
        {
            "schema": SIDECAR_SCHEMA,
            "toolkit": __version__,
            "kind": recipe.kind,
            "key": recipe.key,
            "file": path.name,
            "sha256": digest,
            "size_bytes": path.stat().st_size,
            "parents": dict(recipe.parents),
            "options": dict(recipe.options),
            "facts": facts,
            "facts_sha256": sha256_of_json(facts),
        },
    )
    return Artifact(path, digest, recipe, facts, recipe.key)


def amended_artifact(artifact: Artifact, facts: Mapping[str, Any]) -> Artifact:
    """Adds facts that became known after an artifact was made; its file, digest and recipe stay what they are.

    Whatever was made from the artifact rests on its digest and stays valid. A sidecar that says these things already is
    not written again.

    Raises:
        ArtifactError: The sidecar is damaged, or no longer that of this artifact.
    """
    sidecar = sidecar_path(artifact.path)
    stored = read_json(sidecar)
    if not isinstance(stored, dict) or (stored["sha256"], stored["key"]) != (artifact.sha256, artifact.key):
        raise ArtifactError(f"{sidecar} changed while the command ran; run it again")
    amended = {**artifact.facts, **facts}
    if stored["facts"] != amended:
        write_json(sidecar, {**stored, "facts": amended, "facts_sha256": sha256_of_json(amended)})
    return replace(artifact, facts=amended)


def _flush_to_disk(stream: IO[bytes]) -> None:
    os.fsync(stream.fileno())
