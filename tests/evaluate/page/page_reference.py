"""A record with the reference's rows, drawn scores and everything that the page can show, and a verdict on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from evaluate.cam_agreement import CamAgreement, MaskAgreement
from evaluate.comparison import compared_variants
from evaluate.ladder import LadderStep
from evaluate.metrics import confusion_at, roc_auc, roc_curve
from evaluate.record import BASELINE, GallerySample, ValidationFacts, VariantResult, VariantStatistics, Video
from evaluate.selection import Outcome
from evaluate.statistics.auc_interval import AucDifference, AucEstimate
from evaluate.statistics.drift import Drift, DriftedVideo, Flips
from evaluate.statistics.interval import Interval
from evaluate.statistics.operating_point import OperatingPoint
from evaluate.statistics.proportion import Proportion
from evaluate.statistics.quality import Quality, RecallAtRate, ReliabilityBin
from evaluate.statistics.slices import Slice
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import Decision, Finding, VariantVerdict, Verdict
from tests.evaluate.latency_reference import GPU_TIMES, gpu_latency
from tests.evaluate.reference import FAKES, MIB, REALS, reference_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluate.record import ReportRecord
    from evaluate.statistics.operating_point import ThresholdOrigin

FROZEN = 0.4375
HOSTILE = "<script>alert(1)</script>"
HOSTILE_NAMES = (HOSTILE, "</script>", "<!--<script>", '"><img src=x onerror=alert(1)>', "a&amp;b\u2028\u2029c", "\u202ecod")

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


def page_record(
    fakes: int = FAKES, reals: int = REALS, names: Sequence[str] = (), seed: int = 5, variants: int = len(ROWS)
) -> ReportRecord:
    """Returns a record with statistics; `names` are given to its first videos."""
    rng = np.random.default_rng(seed)
    is_fake = np.arange(fakes + reals) < fakes
    logits = np.where(is_fake, rng.normal(1.9, 1.6, is_fake.size), rng.normal(-1.6, 1.2, is_fake.size))
    videos = _videos(is_fake, names)
    drawn = [(row, _sigmoid(logits + rng.normal(size=is_fake.size) * row[4] + row[5])) for row in ROWS[:variants]]
    baseline = drawn[0][1]
    results = [_variant(row, videos, is_fake, scores, baseline) for row, scores in drawn]
    return replace(
        reference_record(),
        variants=compared_variants(results),
        videos=videos,
        validation=ValidationFacts("Celeb-DF-v2/validation", "ef" * 32, 60, 60, is_calibration_set=False),
        digests={"checkpoint": "12" * 32, "test set": "ab" * 32, "calibration set": "cd" * 32},
    )


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


def page_verdict(record: ReportRecord) -> Verdict:
    """Grades by hand: enough for a page, no rule of the real verdict."""
    limits = Limits(max_size_mib=60.0, max_auc_drop=0.01, max_flips=0.05, max_latency_ms=8.0)
    variants = tuple(_graded(variant, limits) for variant in record.variants)
    grades = {entry.grade for entry in variants if entry.is_candidate}
    return Verdict(
        graded_utc="2026-01-02T04:05:06Z",
        grade="FAIL" if "FAIL" in grades else "INCONCLUSIVE" if "INCONCLUSIVE" in grades else "PASS",
        variants=variants,
        limits=LimitsFile(common=limits, of_variant={"q8": Limits(max_flips=0.1)}, source="limits.toml"),
        decision=Decision("R. Miller", "2026-01-03T09:00:00Z", "Only q16 goes to the field <now>."),
        digests={"checkpoint": "12" * 32, **{f"engine of {v.name}": f"{i:02d}" * 32 for i, v in enumerate(record.variants)}},
        report_sha256="34" * 32,
    )


def _graded(variant: VariantResult, limits: Limits) -> VariantVerdict:
    found = variant.statistics
    assert found is not None
    findings = [_size_finding(variant, limits.max_size_mib or 0.0)]
    if found.difference and found.drift:
        low, high = found.difference.quoted.low, found.difference.quoted.high
        grade = "PASS" if low > -0.01 else "FAIL" if high < -0.01 else "INCONCLUSIVE"
        reason = f"AUC lost {-found.difference.value:.4f}; its interval reaches {-low:.4f} of 0.0100 allowed"
        step = {"PASS": "", "FAIL": "keep more layers in FP16 with --min-sqnr-db 30"}.get(grade, "score 1,900 videos")
        findings.append(Finding("max_auc_drop", 0.01, found.difference.value, low, grade, reason, step))  # type: ignore[arg-type]
        share = found.drift.flips.share.share
        over = share > 0.05
        findings.append(
            Finding(
                "max_flips",
                0.05,
                share,
                None,
                "FAIL" if over else "PASS",
                f"{100 * share:.1f}% of the decisions differ; 5% allowed",
                "refit the threshold" if over else "",
                waived="the flips are repairs" if over and variant.name == "q16-s50" else "",
            )
        )
    findings.append(Finding("max_latency_ms", 8.0, None, None, "INCONCLUSIVE", "was not measured", "measure it"))
    if variant.latency:
        p95 = variant.latency[0].batches[0].latency.p95
        findings[-1] = Finding("max_latency_ms", 8.0, p95, None, "PASS", f"p95 is {p95:.3f} ms of 8 ms allowed")
    grades = [finding.grade for finding in findings if not finding.waived]
    worst = next(grade for grade in ("FAIL", "INCONCLUSIVE", "PASS") if grade in grades)
    is_baseline = variant.name == BASELINE
    dominated = "q16" if variant.name == "q16-p50" else ""
    return VariantVerdict(variant.name, worst, tuple(findings), not is_baseline, dominated)  # type: ignore[arg-type]


def _size_finding(variant: VariantResult, allowed: float) -> Finding:
    size, fits = variant.size_mib, variant.size_mib <= allowed
    step = "" if fits else "choose FP16 or INT8"
    reason = f"{size:.2f} MiB of {allowed:g} MiB allowed"
    return Finding("max_size_mib", allowed, size, None, "PASS" if fits else "FAIL", reason, step)


def _videos(is_fake: NDArray[np.bool_], names: Sequence[str]) -> tuple[Video, ...]:
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
    videos: tuple[Video, ...],
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64],
) -> VariantResult:
    name, precision, source, mib, _, _ = row
    size = round(mib * MIB)
    is_baseline = name == BASELINE
    return VariantResult(
        name=name,
        precision=precision,  # type: ignore[arg-type]  # the table above holds plain strings
        source=source,
        file=f"engines/{name}.tensorrt.plan",
        size_bytes=size,
        graph_bytes=size,
        backend="tensorrt 10.13.0",
        simulation="",
        auc=roc_auc(is_fake, scores),
        confusion=confusion_at(0.5, is_fake, scores),
        roc=roc_curve(is_fake, scores),
        samples={outcome: () for outcome in Outcome},
        latency=(gpu_latency(name),) if name in GPU_TIMES else (),
        statistics=_statistics(videos, is_fake, scores, None if is_baseline else baseline),
        ladder=() if is_baseline else _ladder(source, roc_auc(is_fake, baseline), roc_auc(is_fake, scores)),
        cam_agreement=None if source == "dense" else _agreement(),
        digests={"engine": f"{len(name):02d}" * 32, "graph": f"{len(name) + 10:02d}" * 32},
    )


def _statistics(
    videos: tuple[Video, ...], is_fake: NDArray[np.bool_], scores: NDArray[np.float64], base: NDArray[np.float64] | None
) -> VariantStatistics:
    auc = roc_auc(is_fake, scores)
    error = float(np.sqrt(auc * (1 - auc) / is_fake.size)) + 1e-4
    quality = _quality(is_fake, scores)
    refitted = float(np.median(scores))
    points: tuple[tuple[ThresholdOrigin, float], ...] = (("default", 0.5), ("frozen", FROZEN), ("refitted", refitted))
    return VariantStatistics(
        scores=tuple(scores.tolist()),
        auc=AucEstimate(auc, _around(auc, error), _around(auc, 1.1 * error)),
        difference=None if base is None else _difference(auc - roc_auc(is_fake, base), scores, base),
        quality=quality,
        frame_quality=replace(quality, samples=32 * quality.samples),
        operating_points=tuple(_operating_point(*point, is_fake, scores) for point in points),
        drift=None if base is None else _drift(videos, is_fake, scores, base),
        slices=(Slice("folder", "YouTube-real", 0, 89, auc, -0.002, _proportion(0, 0), _proportion(5, 89)),),
    )


def _difference(value: float, scores: NDArray[np.float64], base: NDArray[np.float64]) -> AucDifference:
    error = float(np.abs(scores - base).mean()) / 20
    around = Interval(value - 1.96 * error, value + 1.96 * error)
    return AucDifference(value, error, 0.9, around, Interval(around.low - 0.1 * error, around.high))


def _operating_point(
    origin: ThresholdOrigin, threshold: float, is_fake: NDArray[np.bool_], scores: NDArray[np.float64]
) -> OperatingPoint:
    counts = confusion_at(threshold, is_fake, scores)
    missed, alarms = _proportion(counts.fn, counts.fn + counts.tp), _proportion(counts.fp, counts.fp + counts.tn)
    return OperatingPoint(origin, threshold, counts, missed, alarms)


def _drift(
    videos: tuple[Video, ...], is_fake: NDArray[np.bool_], scores: NDArray[np.float64], base: NDArray[np.float64]
) -> Drift:
    right, was_right = (scores >= FROZEN) == is_fake, (base >= FROZEN) == is_fake
    flipped = right != was_right
    furthest = np.argsort(-np.abs(scores - base), kind="stable")[:20].tolist()
    return Drift(
        threshold=FROZEN,
        pearson=float(np.corrcoef(scores, base)[0, 1]),
        spearman=0.99,
        ks_statistic=0.03,
        sqnr_db=31.5,
        mean_difference=float((scores - base).mean()),
        mean_absolute=float(np.abs(scores - base).mean()),
        largest_absolute=float(np.abs(scores - base).max()),
        flips=Flips(
            int((flipped & right).sum()), int((flipped & was_right).sum()), _proportion(int(flipped.sum()), right.size), 0.5
        ),
        worst=tuple(
            DriftedVideo(videos[i].sample, videos[i].is_fake, float(base[i]), float(scores[i]), bool(flipped[i]))
            for i in furthest
        ),
    )


def _quality(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> Quality:
    bins = []
    for low in np.arange(10) / 10:
        inside = (scores >= low) & ((scores < low + 0.1) | (low == 0.9))
        count = int(inside.sum())
        mean, share = (float(scores[inside].mean()), float(is_fake[inside].mean())) if count else (0.0, 0.0)
        bins.append(ReliabilityBin(float(low), float(low) + 0.1, count, mean, share))
    error = sum(each.count * abs(each.mean_score - each.fake_share) for each in bins) / is_fake.size
    recalls = tuple(RecallAtRate(rate, 0.5) for rate in (0.01, 0.05, 0.10))
    brier = float(((scores - is_fake) ** 2).mean())
    return Quality(is_fake.size, roc_auc(is_fake, scores), 0.97, 0.11, recalls, 0.32, brier, error, tuple(bins))


def _ladder(source: str, dense: float, last: float) -> tuple[LadderStep, ...]:
    steps = [LadderStep("checkpoint", "torch 2.9 (CPU)", dense, 0.0, 0, None)]
    if source != "dense":
        steps.append(LadderStep("pruned", "torch 2.9 (CPU)", dense - 0.001, 0.001, 4, 21.0))
    steps.append(LadderStep("engine", "tensorrt 10.13.0", last, steps[-1].auc - last, 9, 28.5))
    return tuple(steps)


def _agreement() -> CamAgreement:
    masks = MaskAgreement(40, 0.83, 0.61, 0.27)
    return CamAgreement(120, 0.91, Interval(0.89, 0.93), 0.31, 0.74, Interval(0.71, 0.77), 0.22, masks)


def _proportion(count: int, total: int) -> Proportion:
    share = count / total if total else 0.0
    return Proportion(count, total, Interval(max(0.0, share - 0.03), min(1.0, share + 0.03)))


def _around(value: float, error: float) -> Interval:
    return Interval(max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-logits))
