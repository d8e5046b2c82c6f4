"""A record with drawn scores and everything that the page can show, and the verdict on it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from evaluate.aggregation import scores_from_logits
from evaluate.comparison import compared_variants
from evaluate.facts import DatasetFacts
from evaluate.ladder import LadderStep
from evaluate.maps.cam_agreement import CamAgreement, MaskAgreement
from evaluate.metrics import confusion_at, roc_auc, roc_curve
from evaluate.record import BASELINE, GallerySample, ValidationFacts, VariantResult, Video
from evaluate.selection import Outcome
from evaluate.statistics.interval import Interval
from evaluate.variant_statistics import ScoreTable, VariantScores, statistics_of_variants
from evaluate.verdict.decision import graded, waived
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import Decision
from tests.evaluate.latency_reference import GPU_TIMES, gpu_latency
from tests.evaluate.reference import FAKES, MIB, REALS, reference_record

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluate.record import ReportRecord, VariantStatistics
    from evaluate.verdict.verdict import Verdict

HOSTILE = "<script>alert(1)</script>"
HOSTILE_NAMES = (
    HOSTILE,
    "</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "a&amp;b\u2028\u2029c",
    "\u202ecod.exe",
    "{{ 7 * 7 }}",
)

# name, precision, source, MiB, noise of the logit and its shift.
ROWS = (
    ("baseline", "FP32", "dense", 108.79, 0.0, 0.0),
    ("q16", "FP16", "dense", 54.6, 0.01, 0.0),
    ("q16-p50", "FP16", "p50", 54.6, 0.35, 0.1),
    ("q32-p50", "FP32", "p50", 108.99, 0.34, 0.1),
    ("q16-s50", "FP16", "s50", 27.3, 0.9, -0.2),
    ("q8", "INT8", "dense", 27.8, 0.3, 0.05),
    ("q8w", "INT8 weights", "dense", 30.0, 0.05, 0.0),
    ("q8-p50", "INT8", "p50", 27.9, 2.2, 1.8),
)
LIMITS = LimitsFile(
    common=Limits(max_size_mib=60.0, max_auc_drop=0.01, max_flips=0.05, max_latency_ms=8.0, max_cam_drift=0.2),
    of_variant={"q8": Limits(max_flips=0.1)},
    source="limits.toml",
)
VALIDATION = 120
FRAMES = 2


@lru_cache(maxsize=8)
def page_record(
    fakes: int = FAKES, reals: int = REALS, names: tuple[str, ...] = (), seed: int = 5, variants: int = len(ROWS)
) -> ReportRecord:
    """Returns a record with statistics; `names` are given to its first videos."""
    rng = np.random.default_rng(seed)
    is_fake, logits = _drawn_logits(rng, fakes, reals)
    validation_is_fake, validation_logits = _drawn_logits(rng, VALIDATION // 2, VALIDATION // 2)
    videos = _videos(is_fake, names)
    drawn = []
    for name, _, _, _, noise, shift in ROWS[:variants]:
        frames = logits + noise * rng.normal(size=logits.shape) + shift
        validation = validation_logits + noise * rng.normal(size=validation_logits.shape) + shift
        scores = scores_from_logits(frames).mean(axis=1)
        drawn.append(VariantScores(name, scores, frames.ravel(), scores_from_logits(validation).mean(axis=1)))
    table = ScoreTable(videos, np.repeat(is_fake, FRAMES), tuple(drawn), validation_is_fake)
    found = statistics_of_variants(table)
    aucs = [roc_auc(is_fake, entry.videos) for entry in drawn]
    results = [
        _variant(row, is_fake, entry.videos, found[entry.name], aucs[0])
        for row, entry in zip(ROWS, drawn, strict=False)
    ]
    return replace(
        reference_record(),
        variants=compared_variants(results),
        videos=videos,
        dataset=DatasetFacts("Celeb-DF-v2", "ab" * 32, fakes, reals, FRAMES * (fakes + reals), unreadable_frames=6),
        validation=ValidationFacts("Celeb-DF-v2/validation", "ef" * 32, 60, 60, is_calibration_set=False),
        digests={"checkpoint": "12" * 32, "test set": "ab" * 32, "calibration set": "cd" * 32},
    )


def page_verdict(record: ReportRecord, limits: LimitsFile = LIMITS) -> Verdict:
    """Returns the verdict of the fixture's limits, with a waiver and signed."""
    names = {variant.name for variant in record.variants}
    own = {name: value for name, value in limits.of_variant.items() if name in names}
    verdict = graded(record, replace(limits, of_variant=own), "34" * 32)
    waivers = {("q16-s50", "max_flips"): "the <flips> are repairs"} if "q16-s50" in names else {}
    missed = {(e.variant, f.limit) for e in verdict.variants for f in e.findings if f.grade != "PASS"}
    decision = Decision("R. Miller", "2026-01-03T09:00:00Z", "Only q16 goes to the field <now>.")
    return replace(waived(verdict, {key: why for key, why in waivers.items() if key in missed}), decision=decision)


def with_gallery(record: ReportRecord, folder: Path, count: int, side: int = 224) -> ReportRecord:
    """Draws pictures and heatmaps beside the report's folder for the first videos and lists them in the record."""
    sources = list(dict.fromkeys(variant.source for variant in record.variants))
    gallery = []
    for index, video in enumerate(record.videos[:count]):
        picture = f"gallery/{index}.jpg"
        heatmaps = {source: f"gallery/{index}.{source}.jpg" for source in sources}
        for shift, path in enumerate((picture, *heatmaps.values())):
            draw_face(folder / path, index, shift, side)
        gallery.append(GallerySample(video.sample, picture, heatmaps))
    return replace(record, gallery=tuple(gallery))


def draw_face(path: Path, seed: int, tint: int, side: int = 224) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    face = np.exp(-((columns * 1.3) ** 2 + (rows - 0.1) ** 2) * 2.5)
    skin = np.array([200 + seed * 7 % 40, 150 + seed * 3 % 40, 130 + seed * 5 % 30])
    pixels = 60 + (skin - 60) * face[..., None]
    if tint:
        spot = np.exp(-((columns - 0.4 * np.sin(seed + tint)) ** 2 + (rows - 0.3 * np.cos(seed)) ** 2) * 9)[..., None]
        colour = np.array([202, 0, 32] if seed % 2 else [5, 113, 176])
        pixels = pixels * (1 - 0.7 * spot) + colour * 0.7 * spot
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=88)


def labels_of(record: ReportRecord) -> NDArray[np.bool_]:
    return np.array([video.is_fake for video in record.videos], np.bool_)


def scores_of(record: ReportRecord, name: str) -> NDArray[np.float64]:
    found = next(variant.statistics for variant in record.variants if variant.name == name)
    assert found is not None
    return np.array(found.scores)


def _drawn_logits(rng: np.random.Generator, fakes: int, reals: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    is_fake = np.arange(fakes + reals) < fakes
    videos = np.where(is_fake, rng.normal(1.9, 1.6, is_fake.size), rng.normal(-1.6, 1.2, is_fake.size))
    return is_fake, videos[:, None] + 0.3 * rng.normal(size=(is_fake.size, FRAMES))


def _videos(is_fake: NDArray[np.bool_], names: tuple[str, ...]) -> tuple[Video, ...]:
    found = []
    for index, fake in enumerate(is_fake.tolist()):
        identity = f"id{index * 7 % 59}"
        name = f"{identity}_id{index * 3 % 61}_{index:04d}.mp4" if fake else f"{identity}_{index:04d}.mp4"
        name = names[index] if index < len(names) else name
        folder = "Celeb-synthesis" if fake else ("Celeb-real", "YouTube-real")[index % 2]
        found.append(Video(name, fake, identity, {"folder": folder, "identity": identity}))
    return tuple(found)


def _variant(
    row: tuple[str, str, str, float, float, float],
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    statistics: VariantStatistics,
    baseline_auc: float,
) -> VariantResult:
    name, precision, source, mib, _, _ = row
    size, auc = round(mib * MIB), roc_auc(is_fake, scores)
    return VariantResult(
        name=name,
        precision=precision,  # type: ignore[arg-type]  # the table above holds plain strings
        source=source,
        file=f"engines/{name}.tensorrt.plan",
        size_bytes=size,
        graph_bytes=size,
        backend="tensorrt 10.13.0",
        simulation="INT8 is simulated by ONNX Runtime on the CPU" if name == "q8w" else "",
        auc=auc,
        confusion=confusion_at(0.5, is_fake, scores),
        roc=roc_curve(is_fake, scores),
        samples=dict.fromkeys(Outcome, ()),
        latency=(gpu_latency(name),) if name in GPU_TIMES else (),
        statistics=statistics,
        ladder=() if name == BASELINE else _ladder(source, baseline_auc, auc),
        cam_agreement=None if source == "dense" else _agreement(),
        digests={"engine": f"{len(name):02d}" * 32, "graph": f"{len(name) + 10:02d}" * 32},
    )


def _ladder(source: str, dense: float, last: float) -> tuple[LadderStep, ...]:
    steps = [LadderStep("checkpoint", "torch 2.9 (CPU)", dense, 0.0, 0, None)]
    if source != "dense":
        steps.append(LadderStep("pruned", "torch 2.9 (CPU)", dense - 0.001, 0.001, 4, 21.0))
    steps.append(LadderStep("engine", "tensorrt 10.13.0", last, steps[-1].auc - last, 9, 28.5))
    return tuple(steps)


def _agreement() -> CamAgreement:
    masks, dense = MaskAgreement(40, 0.83, 0.61, 0.27), MaskAgreement(40, 0.9, 0.66, 0.27)
    return CamAgreement(120, 0.91, Interval(0.89, 0.93), 0.31, 0.74, Interval(0.71, 0.77), 0.22, masks, dense)
