"""The report's section on drift: how far scores moved from the baseline's, and which decisions that turned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import correlation_text, decibel_text, diff_text, p_value_text, proportion_text
from evaluate.sections.interval_section import with_statistics
from evaluate.sections.markdown_table import escaped, image_link, markdown_table

if TYPE_CHECKING:
    from evaluate.record import GallerySample, ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.drift import Drift, DriftedVideo

SCATTER_PLOT = "score_scatter.png"
_RIGHT: tuple[Alignment, ...] = ("right",) * 10
_UNMOVED = 5e-5


def drift_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no variant was compared with the baseline."""
    drifted, baseline = with_drift(record), record.baseline
    if not drifted or baseline is None:
        return []
    lines = [f"## {number}. Score Drift", *_overview(drifted), "", *_notes(drifted), ""]
    lines += [image_link("Scores against the baseline's", SCATTER_PLOT), ""]
    for variant, drift in drifted:
        lines += [
            f"### Videos of {escaped(variant.name)} That Moved Furthest",
            "",
            *_worst(record, baseline, variant, drift),
            "",
        ]
    return lines


def with_drift(record: ReportRecord) -> list[tuple[VariantResult, Drift]]:
    """Returns the variants whose scores were compared with the baseline's, with the comparison."""
    return [(variant, stats.drift) for variant, stats in with_statistics(record) if stats.drift]


def _overview(drifted: list[tuple[VariantResult, Drift]]) -> list[str]:
    header = ["Model", "Spearman", "KS", "Logit SQNR (dB)", "Mean change", "Mean absolute change", "Largest"]
    header += ["Flips", "Repaired", "Broken", "McNemar p"]
    return markdown_table(header, ("left", *_RIGHT), [_overview_row(variant, drift) for variant, drift in drifted])


def _overview_row(variant: VariantResult, drift: Drift) -> list[str]:
    flips = drift.flips
    return [
        f"**{escaped(variant.name)}**",
        correlation_text(drift.spearman),
        f"{drift.ks_statistic:.4f}",
        "no difference" if drift.sqnr_db is None else decibel_text(drift.sqnr_db),
        diff_text(drift.mean_difference),
        f"{drift.mean_absolute:.4f}",
        f"{drift.largest_absolute:.4f}",
        f"{flips.share.count}: {proportion_text(flips.share)}",
        str(flips.repaired),
        str(flips.broken),
        p_value_text(flips.p_value),
    ]


def _notes(drifted: list[tuple[VariantResult, Drift]]) -> list[str]:
    return [
        "Every figure compares a model's scores with the baseline's on the same videos. Spearman: whether their "
        "order is kept (1 is best). KS: largest gap between the two distributions of scores (0 is best). Logit "
        "SQNR: variance of the frames' logits within a class over their mean squared change; 6 dB more halve the "
        "change. Change: score minus the baseline's; a mean change without a lost AUC asks for another threshold, "
        "not for another engine.",
        "",
        f"A flip is a decision at the threshold {drifted[0][1].threshold:.4g} that differs from the baseline's: "
        "repaired if it was wrong, broken if it was right. Equal AUC with many flips is another detector, not the "
        "same one smaller. McNemar p: how likely so uneven a split is if repairs and breaks are equally likely, where "
        "the videos of one person count together; a large one does not show that they are.",
    ]


def _worst(record: ReportRecord, baseline: VariantResult, variant: VariantResult, drift: Drift) -> list[str]:
    moved = [video for video in drift.worst if abs(video.score - video.baseline) >= _UNMOVED]
    if not moved:
        return ["No score moved by as much as 0.0001."]
    gallery = {sample.sample: sample for sample in record.gallery}
    shown = any(video.sample in gallery for video in moved)
    header = ["Rank", "Video", "Label", "Baseline", "Model", "Change", "Decision"]
    alignments: tuple[Alignment, ...] = ("right", "left", "left", "right", "right", "right", "left")
    if shown:
        header += ["Picture", "Heatmap of the baseline", "Heatmap of the model"]
        alignments += ("center", "center", "center")
    rows = []
    for rank, video in enumerate(moved, start=1):
        pictures = _pictures(baseline, variant, gallery.get(video.sample)) if shown else []
        rows.append([str(rank), *_worst_row(video, drift.threshold), *pictures])
    return markdown_table(header, alignments, rows)


def _worst_row(video: DriftedVideo, threshold: float) -> list[str]:
    return [
        escaped(video.sample),
        "fake" if video.is_fake else "real",
        f"{video.baseline:.4f}",
        f"{video.score:.4f}",
        diff_text(video.score - video.baseline),
        _decision(video, threshold),
    ]


def _decision(video: DriftedVideo, threshold: float) -> str:
    is_right = (video.score >= threshold) == video.is_fake
    if video.flipped:
        return "**repaired**" if is_right else "**broken**"
    return "right by both" if is_right else "wrong by both"


def _pictures(baseline: VariantResult, variant: VariantResult, sample: GallerySample | None) -> list[str]:
    if sample is None:
        return ["-"] * 3
    heatmaps = [sample.heatmaps.get(source) for source in (baseline.source, variant.source)]
    return [image_link("face", sample.picture), *(image_link("heatmap", path) if path else "-" for path in heatmaps)]
