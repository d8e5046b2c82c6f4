"""Heatmaps of a run: the most telling decisions of every variant, explained on the variant's source model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evaluate.maps.heatmap import heatmap_from_map, heatmap_path, shared_limit, write_heatmap
from evaluate.maps.source_models import source_weights
from evaluate.selection import DEFAULT_COUNT, Outcome, most_telling
from export.errors import ArtifactError
from export.preprocessing import image_from_file
from export.progress import progress_bar
from export.sidecar import Recipe, read_json, sha256_of_file, sidecar_path, write_json
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engines.run_folder import RunFolder
    from evaluate.maps.source_maps import SourceMaps
    from evaluate.scores import ScoreSet
    from evaluate.scoring.session import Session
    from export.variant import Variant


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


def explained_frames(scored: Sequence[ScoredVariant]) -> dict[str, set[str]]:
    """Returns source model -> the frames whose maps the heatmaps show."""
    frames: dict[str, set[str]] = {entry.variant.source: set() for entry in scored}
    for entry in scored:
        frames[entry.variant.source] |= {picture.frame for picture in _pictures(entry)}
    return frames


def explain_variants(session: Session, scored: Sequence[ScoredVariant], maps: SourceMaps) -> Explanation:
    """Draws the heatmaps, unless those of an earlier command are still there and still true.

    Args:
        session: Run folder and test set.
        scored: The variants.
        maps: Gives the maps of their source models.

    Raises:
        ArtifactError: The checkpoint is not the one that the run was built from.
        CamError: The network keeps no places of the image apart.
    """
    run = session.run
    record = run.root / "results" / "heatmaps.list"
    sources = sorted({entry.variant.source for entry in scored})
    recipe = Recipe(
        "heatmaps",
        {f"scores of {entry.variant.name}": entry.scores_sha256 for entry in scored}
        | {f"weights of {source}": source_weights(run, session.spec, source)[1] for source in sources},
        {"count": DEFAULT_COUNT, **versions_of("torch", "timm", "pillow", "numpy")},
    )
    if not _complete(run, record):
        sidecar_path(record).unlink(missing_ok=True)

    def write(path: Path) -> Mapping[str, Any]:
        drawn, limit = _draw(session, scored, maps)
        write_json(path, {"limit": limit, "heatmaps": drawn})
        return {"heatmaps": len(drawn)}

    artifact = session.store.obtain(record, recipe, write, 10_000)
    return _explanation(read_json(artifact.path))


def _draw(session: Session, scored: Sequence[ScoredVariant], maps: SourceMaps) -> tuple[list[dict[str, str]], float]:
    _cached_image.cache_clear()
    run, data_root = session.run, session.samples.root
    pictures = [picture for entry in scored for picture in _pictures(entry)]
    found = {source: maps.of(source, frames) for source, frames in sorted(explained_frames(scored).items())}
    limit = shared_limit(each for of_source in found.values() for each in of_source.values())
    contract = session.spec.contract.input
    for entry in scored:
        shutil.rmtree(run.results(entry.variant.name) / "result", ignore_errors=True)
    drawn = []
    for picture in progress_bar(pictures, "heatmaps", len(pictures), "picture"):
        path = heatmap_path(run.results(picture.variant.name), picture.outcome, picture.sample)
        image = _cached_image(data_root / picture.frame)
        activation_map = found[picture.variant.source][picture.frame]
        write_heatmap(path, heatmap_from_map(image, contract, activation_map, limit))
        drawn.append(_entry(run, picture, path))
    return drawn, limit


def _pictures(entry: ScoredVariant) -> list[_Picture]:
    return [
        _Picture(entry.variant, outcome, video.sample, video.path)
        for outcome in Outcome
        for video in most_telling(entry.scores, outcome)
    ]


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
