"""Pictures of the videos that a reader wants to see, each with its heatmap by every source model."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from evaluate.maps.heatmap import face_at, heatmap_from_map, write_heatmap
from evaluate.maps.source_models import source_weights
from evaluate.metrics import DEFAULT_THRESHOLD
from evaluate.record import GallerySample
from evaluate.selection import Outcome, most_telling
from export.errors import ArtifactError
from export.preprocessing import image_from_file
from export.progress import progress_bar
from export.sidecar import Recipe, read_json, sha256_of_file, sidecar_path, write_json
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from PIL import Image

    from evaluate.maps.source_maps import SourceMaps
    from evaluate.scores import ScoreSet
    from evaluate.scoring.session import Session

MOST_SAMPLES = 60
_FOLDER = "gallery"
_FACES = "face"
_SIDE = 224


def gallery_samples(
    scores: Sequence[ScoreSet], baseline: int | None, threshold: float = DEFAULT_THRESHOLD, most: int = MOST_SAMPLES
) -> tuple[str, ...]:
    """Chooses the videos to show: the most telling of every variant, the flipped ones and the most drifted ones.

    If these are more than `most`, the three groups take turns, each with its most extreme video first.

    Args:
        scores: The variants' scores of the same videos.
        baseline: Index of the baseline's; None without one, which leaves the most telling.
        threshold: A score of at least this is called fake.
        most: Number of videos.

    Returns:
        Their names, sorted.
    """
    ranked = [most_telling(each, outcome, threshold) for each in scores for outcome in Outcome]
    telling = [video.sample for rank in zip_longest(*ranked) for video in rank if video]
    flipped, drifted = _against_baseline(scores, baseline, threshold, most) if baseline is not None else ([], [])
    turns = chain.from_iterable(zip_longest(*map(_distinct, (telling, flipped, drifted))))
    return tuple(sorted(_distinct(sample for sample in turns if sample is not None)[:most]))


def gallery_frames(scores: ScoreSet, samples: Iterable[str]) -> dict[str, str]:
    """Returns sample -> the frame that stands for it, by the scores of the first variant.

    Raises:
        ArtifactError: There is no such video.
    """
    paths = {video.sample: video.path for video in scores.videos}
    unknown = sorted(set(samples) - paths.keys())
    if unknown:
        raise ArtifactError(f"the scores have no {unknown[0]} to show in the gallery; evaluate again")
    return {sample: paths[sample] for sample in sorted(set(samples))}


def gallery_of(
    session: Session, frames: Mapping[str, str], sources: Sequence[str], maps: SourceMaps, limit: float
) -> tuple[GallerySample, ...]:
    """Draws the gallery into the report's folder, unless that of an earlier command is still there and still true.

    Args:
        session: Run folder and test set.
        frames: Sample -> the frame that stands for it.
        sources: Source models whose heatmaps to draw.
        maps: Gives their maps.
        limit: |contribution| at which the colour saturates; that of the report's other heatmaps.

    Raises:
        CamError: A network keeps no places of the image apart.
        SignoffError: A model is gone or an image does not decode.
    """
    record = session.run.root / "results" / "gallery.list"
    recipe = Recipe(
        "gallery",
        {f"weights of {source}": source_weights(session.run, session.spec, source)[1] for source in sources},
        {
            "images": {sample: [frame, maps.digest(frame)] for sample, frame in frames.items()},
            "limit": limit,
            "side": _SIDE,
            **versions_of("torch", "timm", "pillow", "numpy"),
        },
    )
    if not _complete(session.run.report, record):
        sidecar_path(record).unlink(missing_ok=True)

    def write(path: Path) -> Mapping[str, Any]:
        entries = _draw(session, frames, {source: maps.of(source, frames.values()) for source in sources}, limit)
        _remove_others(session.run.report, entries)
        write_json(path, {"samples": entries})
        return {"samples": len(entries)}

    artifact = session.store.obtain(record, recipe, write, 10_000)
    return _gallery(read_json(artifact.path))


def _against_baseline(
    scores: Sequence[ScoreSet], baseline: int, threshold: float, most: int
) -> tuple[list[str], list[str]]:
    """Returns the flipped videos and the most drifted ones of all variants, the furthest first."""
    reference = {video.sample: video.score for video in scores[baseline].videos}
    moved = sorted(
        (-abs(video.score - reference[video.sample]), video.sample, video.score)
        for index, each in enumerate(scores)
        if index != baseline
        for video in each.videos
    )
    flipped = [sample for _, sample, score in moved if (score >= threshold) != (reference[sample] >= threshold)]
    return flipped, _distinct(sample for drift, sample, _ in moved if drift < 0)[:most]


def _draw(
    session: Session, frames: Mapping[str, str], maps: Mapping[str, Mapping[str, Any]], limit: float
) -> list[dict[str, Any]]:
    contract, folder = session.spec.contract.input, session.run.report
    entries = []
    for sample, frame in progress_bar(frames.items(), "gallery", len(frames), "video"):
        image = image_from_file(session.samples.root / frame)
        pictures = {_FACES: face_at(image, contract, _SIDE)}
        pictures |= {s: heatmap_from_map(image, contract, maps[s][frame], limit, _SIDE) for s in maps}
        paths = {name: f"{_FOLDER}/{name}/{sample}.jpg" for name in pictures}
        entries.append(
            {
                "sample": sample,
                "picture": paths[_FACES],
                "heatmaps": {name: path for name, path in paths.items() if name != _FACES},
                "sha256": {paths[name]: _written(folder / paths[name], each) for name, each in pictures.items()},
            }
        )
    return entries


def _written(path: Path, picture: Image.Image) -> str:
    write_heatmap(path, picture)
    return sha256_of_file(path)


def _remove_others(report: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Removes pictures of videos that are no longer shown."""
    kept = {report / path for entry in entries for path in entry["sha256"]}
    for path in (report / _FOLDER).rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
    for folder in sorted((report / _FOLDER).rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _complete(report: Path, record: Path) -> bool:
    """Tells whether every listed picture is there as it was drawn; they are cheap, so doubt means redrawing."""
    if not record.is_file():
        return False
    try:
        stored = read_json(record)
        _gallery(stored)
        pictures = [pair for entry in stored["samples"] for pair in entry["sha256"].items()]
    except (ArtifactError, KeyError, TypeError, ValueError, AttributeError):
        return False
    return all((report / path).is_file() and sha256_of_file(report / path) == digest for path, digest in pictures)


def _gallery(record: Any) -> tuple[GallerySample, ...]:
    return tuple(
        GallerySample(entry["sample"], entry["picture"], dict(entry["heatmaps"])) for entry in record["samples"]
    )


def _distinct(samples: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(samples))
