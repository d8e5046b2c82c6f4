"""What the page's scripts compute with, as JSON that is safe inside HTML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evaluate.page.variant_row import frozen_threshold, main_latencies
from evaluate.selection import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evaluate.latency_comparison import LatencyRow
    from evaluate.page.embedded_image import EmbeddedImages
    from evaluate.record import GallerySample, ReportRecord, VariantResult
    from evaluate.statistics.operating_point import ThresholdOrigin

# An HTML parser ends a script at `</script` and hides one behind `<!--`, whatever the script holds.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def embedded_json(value: object) -> str:
    """Returns JSON that may stand inside `<script type="application/json">`."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def page_data(record: ReportRecord, images: EmbeddedImages) -> dict[str, Any]:
    """Returns the figures that the scripts draw and recompute; pictures are named by their keys in `images`."""
    names, labels = _videos(record)
    row_of = {name: row for row, name in enumerate(names)}
    times = main_latencies(record)
    return {
        "threshold": record.threshold,
        "frozen": frozen_threshold(record),
        "videos": names,
        "fake": [int(label) for label in labels],
        "variants": [_variant(variant, row_of, times.get(variant.name)) for variant in record.variants],
        "gallery": [
            {"video": row_of[sample], "picture": picture, "heatmaps": heatmaps}
            for sample, picture, heatmaps in _pictures(record, images)
            if sample in row_of
        ],
    }


def _videos(record: ReportRecord) -> tuple[list[str], list[bool]]:
    if record.videos:
        return [video.sample for video in record.videos], [video.is_fake for video in record.videos]
    # A record without all scores still has the most telling ones.
    labels = {
        sample.sample: outcome.is_fake
        for variant in record.variants
        for outcome in Outcome
        for sample in variant.samples.get(outcome, ())
    }
    return list(labels), list(labels.values())


def _variant(variant: VariantResult, row_of: Mapping[str, int], latency: LatencyRow | None) -> dict[str, Any]:
    found, counts = variant.statistics, variant.confusion
    bins = found.quality.reliability if found else ()
    interval = found.auc.quoted if found else None
    return {
        "name": variant.name,
        "source": variant.source,
        "simulated": variant.is_simulation,
        "size": variant.size_mib,
        "latency": latency.measured.latency.median if latency else None,
        "auc": variant.auc,
        "interval": [interval.low, interval.high] if interval else None,
        "roc": [variant.roc.false_positive_rates, variant.roc.true_positive_rates],
        "counts": [counts.tp, counts.tn, counts.fp, counts.fn],
        "refitted": _threshold(variant, "refitted"),
        "scores": _scores(variant, row_of),
        "complete": found is not None and len(found.scores) == len(row_of),
        "reliability": [[each.low, each.high, each.count, each.mean_score, each.fake_share] for each in bins],
    }


def _threshold(variant: VariantResult, origin: ThresholdOrigin) -> float | None:
    point = variant.statistics.at(origin) if variant.statistics else None
    return point.threshold if point else None


def _scores(variant: VariantResult, row_of: Mapping[str, int]) -> list[float | None]:
    if variant.statistics and len(variant.statistics.scores) == len(row_of):
        return list(variant.statistics.scores)
    scores: list[float | None] = [None] * len(row_of)
    for outcome in Outcome:
        for sample in variant.samples.get(outcome, ()):
            if sample.sample in row_of:
                scores[row_of[sample.sample]] = sample.score
    return scores


def _pictures(record: ReportRecord, images: EmbeddedImages) -> Iterable[tuple[str, str | None, list[tuple[str, str]]]]:
    if record.gallery:
        return [(each.sample, images.key_of(each.picture), _heatmaps(each, images)) for each in record.gallery]
    return [(sample, None, heatmaps) for sample, heatmaps in _sample_heatmaps(record, images).items()]


def _heatmaps(sample: GallerySample, images: EmbeddedImages) -> list[tuple[str, str]]:
    keys = ((source, images.key_of(path)) for source, path in sample.heatmaps.items())
    return [(source, key) for source, key in keys if key]


def _sample_heatmaps(record: ReportRecord, images: EmbeddedImages) -> dict[str, list[tuple[str, str]]]:
    """Returns the heatmaps of the most telling samples, one per video and source model."""
    found: dict[str, dict[str, str]] = {}
    for variant in record.variants:
        for outcome in Outcome:
            for sample in variant.samples.get(outcome, ()):
                key = images.key_of(sample.heatmap) if sample.heatmap else None
                if key:
                    found.setdefault(sample.sample, {}).setdefault(variant.source, key)
    return {name: list(heatmaps.items()) for name, heatmaps in found.items()}
