"""Heatmaps of a run: the most telling decisions of every variant, explained on the variant's source model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluate.cam import class_activation_maps
from evaluate.heatmap import heatmap_from_map, heatmap_path, shared_limit, write_heatmap
from evaluate.selection import DEFAULT_COUNT, Outcome, most_telling
from export.checkpoint import Detector, canonical_contract, detector_from_checkpoint
from export.errors import ArtifactError
from export.preprocessing import array_from_image, image_from_file
from export.progress import progress_bar
from export.sidecar import Recipe, read_artifact, read_json, sha256_of_file, sidecar_path, write_json
from export.variant import DENSE, Variant
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from engines.store import ArtifactStore
    from evaluate.scores import ScoreSet

_BATCH = 8


@dataclass(frozen=True)
class ScoredVariant:
    """A variant with its scores and the digest of their file."""

    variant: Variant
    scores: ScoreSet
    scores_sha256: str


@dataclass(frozen=True)
class Explanation:
    """The heatmaps that were drawn.

    Attributes:
        limit: |contribution| at which the colour saturates, the same in all of them.
        paths: (variant, outcome, sample) -> heatmap, relative to the run folder.
    """

    limit: float
    paths: Mapping[tuple[str, Outcome, str], str]


@dataclass(frozen=True)
class _Picture:
    """One heatmap to be drawn."""

    variant: Variant
    outcome: Outcome
    sample: str
    frame: str


def explain_variants(
    run: RunFolder, spec: RunSpec, scored: Sequence[ScoredVariant], data_root: Path, store: ArtifactStore
) -> Explanation:
    """Draws the heatmaps, unless those of an earlier command are still there and still true.

    Raises:
        ArtifactError: The checkpoint is not the one that the run was built from.
        CamError: The network has no class-activation map, or a map does not add up to its logit.
    """
    record = run.root / "results" / "heatmaps.list"
    sources = sorted({entry.variant.source for entry in scored})
    recipe = Recipe(
        "heatmaps",
        {f"scores of {entry.variant.name}": entry.scores_sha256 for entry in scored}
        | {f"weights of {source}": _weights(run, spec, source)[1] for source in sources},
        {"count": DEFAULT_COUNT, **versions_of("torch", "timm", "pillow", "numpy")},
    )
    if not _complete(run, record):
        sidecar_path(record).unlink(missing_ok=True)

    def write(path: Path) -> Mapping[str, Any]:
        drawn, limit = _draw(run, spec, scored, data_root)
        write_json(path, {"limit": limit, "heatmaps": drawn})
        return {"heatmaps": len(drawn)}

    artifact = store.obtain(record, recipe, write, 10_000)
    return _explanation(read_json(artifact.path))


def _draw(
    run: RunFolder, spec: RunSpec, scored: Sequence[ScoredVariant], data_root: Path
) -> tuple[list[dict[str, str]], float]:
    _cached_image.cache_clear()
    pictures = [picture for entry in scored for picture in _pictures(entry)]
    maps: dict[tuple[str, str], NDArray[np.float32]] = {}
    for source in sorted({picture.variant.source for picture in pictures}):
        frames = sorted({p.frame for p in pictures if p.variant.source == source})
        maps.update({(source, frame): m for frame, m in _maps(run, spec, source, frames, data_root).items()})
    limit = shared_limit(maps.values())
    contract = canonical_contract(spec.contract).input
    for entry in scored:
        shutil.rmtree(run.results(entry.variant.name) / "result", ignore_errors=True)
    drawn = []
    for picture in progress_bar(pictures, "heatmaps", len(pictures), "picture"):
        path = heatmap_path(run.results(picture.variant.name), picture.outcome, picture.sample)
        image = _cached_image(data_root / picture.frame)
        activation_map = maps[picture.variant.source, picture.frame]
        write_heatmap(path, heatmap_from_map(image, contract, activation_map, limit))
        drawn.append(_entry(run, picture, path))
    return drawn, limit


def _pictures(entry: ScoredVariant) -> list[_Picture]:
    return [
        _Picture(entry.variant, outcome, video.sample, video.path)
        for outcome in Outcome
        for video in most_telling(entry.scores, outcome)
    ]


def _maps(
    run: RunFolder, spec: RunSpec, source: str, frames: Sequence[str], data_root: Path
) -> dict[str, NDArray[np.float32]]:
    detector = _source(run, spec, source)
    maps: dict[str, NDArray[np.float32]] = {}
    batches = [frames[start : start + _BATCH] for start in range(0, len(frames), _BATCH)]
    for batch in progress_bar(batches, "class-activation maps", len(batches), "batch"):
        images = np.stack(
            [array_from_image(_cached_image(data_root / frame), detector.contract.input) for frame in batch]
        )
        maps.update(zip(batch, class_activation_maps(detector.module, images).maps, strict=True))
    return maps


def _source(run: RunFolder, spec: RunSpec, source: str) -> Detector:
    path, _ = _weights(run, spec, source)
    if source == DENSE:
        return detector_from_checkpoint(path, spec.contract)
    return detector_from_checkpoint(path, canonical_contract(spec.contract), narrowed=True)


def _weights(run: RunFolder, spec: RunSpec, source: str) -> tuple[Path, str]:
    """Returns the file of a source model and its digest, checked."""
    if source != DENSE:
        artifact = read_artifact(run.model(source))
        return artifact.path, artifact.sha256
    checkpoint = spec.checkpoint_path(run)
    if not checkpoint.is_file():
        raise ArtifactError(f"the checkpoint {checkpoint} is gone; class-activation maps need it, put it back")
    if sha256_of_file(checkpoint) != spec.checkpoint_sha256:
        raise ArtifactError(f"{checkpoint} is not the checkpoint this run was built from; run build-engines again")
    return checkpoint, spec.checkpoint_sha256


@lru_cache(maxsize=256)
def _cached_image(path: Path) -> Any:
    return image_from_file(path)


def _entry(run: RunFolder, picture: _Picture, path: Path) -> dict[str, str]:
    return {
        "variant": picture.variant.name,
        "outcome": picture.outcome.value,
        "sample": picture.sample,
        "path": path.relative_to(run.root).as_posix(),
        "sha256": sha256_of_file(path),
    }


def _complete(run: RunFolder, record: Path) -> bool:
    """Tells whether every listed heatmap is there as it was drawn; they are cheap, so doubt means redrawing."""
    if not record.is_file():
        return False
    try:
        stored = read_json(record)
        _explanation(stored)
        return all(_is_intact(run.root / entry["path"], entry["sha256"]) for entry in stored["heatmaps"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        return False


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of_file(path) == digest


def _explanation(record: Any) -> Explanation:
    paths = {(e["variant"], Outcome(e["outcome"]), e["sample"]): e["path"] for e in record["heatmaps"]}
    return Explanation(float(record["limit"]), paths)
