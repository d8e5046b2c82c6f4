"""The reference record with drawn scores of every video, all that is computed from them, and a verdict on it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evaluate.comparison import compared_variants
from evaluate.ladder import LadderStep
from evaluate.maps.cam_agreement import CamAgreement, MaskAgreement
from evaluate.metrics import confusion_at, roc_auc, roc_curve
from evaluate.record import GallerySample, ReportRecord, ValidationFacts, VariantResult, VariantStatistics, Video
from evaluate.statistics.auc_interval import AucDifference, AucEstimate
from evaluate.statistics.clusters import cluster_numbers
from evaluate.statistics.drift import drift_from_scores
from evaluate.statistics.interval import Interval
from evaluate.statistics.operating_point import operating_point
from evaluate.statistics.quality import quality_from_scores
from evaluate.statistics.slices import slices_from_scores
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import Decision, Finding, VariantVerdict, Verdict
from tests.evaluate.reference import FAKES, REALS, reference_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.statistics.drift import Drift
    from evaluate.statistics.noninferiority import Grade

CELEB_REALS = 108
FRAMES = 2
LIMITS = {"max_auc_drop": 0.0045, "max_flips": 0.06, "max_false_alarms": 0.2}
GRADES: tuple[Grade, ...] = ("FAIL", "INCONCLUSIVE", "PASS")
FROZEN, REFITTED_SHIFT = 0.47, 0.03
# Of each variant's logits against the baseline's: shift and standard deviation.
CHANGES = {"baseline": (0.0, 0.0), "q16": (0.0, 0.01), "q16-p50": (0.5, 0.3), "q32-p50": (0.5, 0.3)}
CHANGES |= {"q8": (0.9, 0.8), "q8-p50": (1.6, 1.4)}


@lru_cache
def statistics_record(validated: bool = True) -> ReportRecord:
    """Returns a record in which every part of the statistics has something to say."""
    record = reference_record(simulated=True)
    videos = _videos()
    is_fake = np.array([video.is_fake for video in videos])
    logits = _drawn_logits(is_fake, [variant.name for variant in record.variants])
    variants = [_with_statistics(variant, videos, logits, validated) for variant in record.variants]
    return replace(
        record,
        variants=compared_variants(variants),
        videos=videos,
        validation=ValidationFacts("validation", "ef" * 32, 64, 60, is_calibration_set=True) if validated else None,
        gallery=_gallery(variants[4]),
        digests={"checkpoint": "12" * 32, "test set": "ab" * 32},
    )


def short_record() -> ReportRecord:
    """Returns the baseline and one variant, which are drawn faster."""
    record = statistics_record()
    return replace(record, variants=(record.variants[0], record.variants[2]))


def verdict_on_statistics(record: ReportRecord | None = None) -> Verdict:
    """Returns a verdict with every grade, a waiver and a dominated variant."""
    record = record or statistics_record()
    entries = [_verdict_of(variant) for variant in record.variants]
    return Verdict(
        graded_utc="2026-01-02T04:05:06+00:00",
        grade="FAIL",
        variants=tuple(entries),
        limits=LimitsFile(Limits(**LIMITS), source="limits.toml"),
        decision=Decision("A. Signer", "2026-01-03T09:00:00+00:00", "for the pilot only"),
        digests={"checkpoint": "12" * 32, "engine of q8": "34" * 32},
        report_sha256="56" * 32,
    )


def _videos() -> tuple[Video, ...]:
    videos = []
    for index in range(FAKES):
        name, target = f"id{index % 50}_id{index % 7 + 51}_{index:04}.mp4", f"id{index % 50}"
        videos.append(Video(name, True, target, {"folder": "Celeb-synthesis", "identity": target}))
    for index in range(REALS):
        if index < CELEB_REALS:
            target = f"id{index % 50}"
            videos.append(
                Video(f"{target}_{index:04}.mp4", False, target, {"folder": "Celeb-real", "identity": target})
            )
        else:
            videos.append(Video(f"{index:05}.mp4", False, f"{index:05}.mp4", {"folder": "YouTube-real"}))
    return tuple(videos)


def _drawn_logits(is_fake: NDArray[np.bool_], names: list[str]) -> dict[str, NDArray[np.float64]]:
    """Returns logits of (videos, frames); variants of one source share most of their change."""
    rng = np.random.default_rng(20260102)
    base = 2.4 * rng.normal(size=(len(is_fake), 1)) + rng.normal(scale=0.4, size=(len(is_fake), FRAMES))
    base += np.where(is_fake, 2.9, -2.9)[:, None]
    change = rng.normal(size=base.shape)
    fine = rng.normal(size=(len(names), *base.shape))
    return {
        name: base + shift + scale * (change + 0.2 * own)
        for name, own in zip(names, fine, strict=True)
        for shift, scale in [CHANGES[name]]
    }


def _with_statistics(
    variant: VariantResult, videos: tuple[Video, ...], logits: dict[str, NDArray[np.float64]], validated: bool
) -> VariantResult:
    is_fake = np.array([video.is_fake for video in videos])
    clusters = cluster_numbers([video.cluster for video in videos])
    frames = 1.0 / (1.0 + np.exp(-logits[variant.name]))
    scores, baseline = frames.mean(axis=1), (1.0 / (1.0 + np.exp(-logits["baseline"]))).mean(axis=1)
    auc, is_baseline = roc_auc(is_fake, scores), variant.name == "baseline"
    threshold = FROZEN if validated else 0.5
    points = [operating_point("default", 0.5, is_fake, scores, clusters)]
    if validated:
        refitted = FROZEN + (0.0 if is_baseline else REFITTED_SHIFT * CHANGES[variant.name][0])
        points += [
            operating_point("frozen", FROZEN, is_fake, scores, clusters),
            operating_point("refitted", refitted, is_fake, scores, clusters),
        ]
    frame_labels = np.repeat(is_fake, FRAMES)
    statistics = VariantStatistics(
        scores=tuple(scores.tolist()),
        auc=AucEstimate(auc, Interval(auc - 0.018, auc + 0.017), Interval(auc - 0.021, auc + 0.016)),
        difference=None if is_baseline else _difference(auc - roc_auc(is_fake, baseline), CHANGES[variant.name][1]),
        quality=quality_from_scores(is_fake, scores),
        frame_quality=quality_from_scores(frame_labels, frames.reshape(-1)),
        operating_points=tuple(points),
        drift=None if is_baseline else _drift(variant.name, videos, baseline, scores, logits, threshold),
        slices=slices_from_scores(
            [video.attributes for video in videos],
            is_fake,
            scores,
            None if is_baseline else baseline,
            threshold,
            clusters,
        ),
    )
    return replace(
        variant,
        auc=auc,
        confusion=confusion_at(0.5, is_fake, scores),
        roc=roc_curve(is_fake, scores),
        statistics=statistics,
        ladder=_ladder(variant, auc),
        cam_agreement=None if variant.source == "dense" else _agreement(),
        digests={"engine": f"{len(variant.name):02}" * 32, "graph": "9a" * 32},
    )


def _difference(value: float, spread: float) -> AucDifference:
    """Intervals about as wide as those of the drawn scores; the bootstrap's is the wider one where much changed."""
    half = 0.0004 + 0.01 * spread
    wide = 1.2 if spread > 0.5 else 0.9
    bootstrap = Interval(value - wide * half, value + 0.9 * wide * half)
    return AucDifference(value, half / 1.96, 0.98, Interval(value - half, value + half), bootstrap)


def _drift(
    name: str,
    videos: tuple[Video, ...],
    baseline: NDArray[np.float64],
    scores: NDArray[np.float64],
    logits: dict[str, NDArray[np.float64]],
    threshold: float,
) -> Drift:
    is_fake = np.array([video.is_fake for video in videos])
    pair = logits["baseline"].reshape(-1), logits[name].reshape(-1)
    samples, clusters = [video.sample for video in videos], cluster_numbers([video.cluster for video in videos])
    return drift_from_scores(samples, is_fake, baseline, scores, np.repeat(is_fake, FRAMES), pair, threshold, clusters)


def _ladder(variant: VariantResult, auc: float) -> tuple[LadderStep, ...]:
    if variant.name not in ("q16", "q16-p50", "q8"):
        return ()
    start = 0.9751
    pruned = start - 0.004 if variant.source == "p50" else start
    steps = [LadderStep("checkpoint", "torch 2.9 (CPU)", start, 0.0, 0, None)]
    if variant.source == "p50":
        steps.append(LadderStep("pruned", "torch 2.9 (CPU)", pruned, start - pruned, 7, 21.3))
    graph = auc + 0.0001
    return (
        *steps,
        LadderStep("ONNX", "onnxruntime 1.22 (CPU)", pruned, 0.0, 0, 118.2),
        LadderStep("graph", "onnxruntime 1.22 (CPU)", graph, pruned - graph, 12, 24.6),
        LadderStep("engine", "tensorrt-rtx 1.7", auc, graph - auc, 1, 51.0),
    )


def _agreement() -> CamAgreement:
    masks, dense = MaskAgreement(340, 0.41, 0.2231, 0.0875), MaskAgreement(340, 0.47, 0.2514, 0.0875)
    return CamAgreement(518, 0.913, Interval(0.902, 0.923), 0.214, 0.702, Interval(0.688, 0.716), 0.231, masks, dense)


def _gallery(variant: VariantResult) -> tuple[GallerySample, ...]:
    assert variant.statistics is not None
    assert variant.statistics.drift is not None
    names = [video.sample for video in variant.statistics.drift.worst[:2]]
    return tuple(
        GallerySample(
            name,
            f"gallery/{name}.jpg",
            {"dense": f"gallery/dense/{name}.jpg", "p50": f"gallery/p50/{name}.jpg"},
        )
        for name in names
    )


def _verdict_of(variant: VariantResult) -> VariantVerdict:
    """Grades as a person would, by the intervals of the record."""
    name, statistics = variant.name, variant.statistics
    assert statistics is not None
    if statistics.difference is None or statistics.drift is None:
        return VariantVerdict(name, "PASS", (), is_candidate=False)
    difference, flips, alarms = statistics.difference, statistics.drift.flips.share, statistics.at("frozen")
    assert alarms is not None
    findings = (
        _finding("max_auc_drop", -difference.value, -difference.quoted.high, -difference.quoted.low),
        _finding("max_flips", flips.share, flips.share, flips.share),
        _finding(
            "max_false_alarms",
            alarms.false_alarms.share,
            alarms.false_alarms.interval.low,
            alarms.false_alarms.interval.high,
        ),
    )
    if name == "q32-p50":
        findings = (*findings[:2], replace(findings[2], waived="FP32 is not shipped."))
    counted: set[Grade] = {finding.grade for finding in findings if not finding.waived}
    grade = next(grade for grade in GRADES if grade in counted)
    return VariantVerdict(name, grade, findings, True, "q8" if name == "q8-p50" else "", variant.simulation)


def _finding(limit: str, measured: float, low: float, high: float) -> Finding:
    allowed = LIMITS[limit]
    grade: Grade = "PASS" if high <= allowed else "FAIL" if low > allowed else "INCONCLUSIVE"
    step = {"PASS": "", "FAIL": f"mend <{limit}>", "INCONCLUSIVE": "score more | other videos"}[grade]
    bound = None if low == high else (low if grade == "FAIL" else high)
    return Finding(limit, allowed, measured, bound, grade, f"{measured:.4f} of {allowed:g}", step)
