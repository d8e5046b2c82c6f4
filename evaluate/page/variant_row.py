"""A row of the page's table: what a reader compares before deciding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.latency_comparison import main_setting, rows_at
from evaluate.metrics import DEFAULT_THRESHOLD
from evaluate.page.difference_scale import DifferenceScale, difference_scale
from evaluate.record import BASELINE

if TYPE_CHECKING:
    from evaluate.latency_comparison import LatencyRow, Setting
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.statistics.drift import Flips
    from evaluate.statistics.operating_point import ThresholdOrigin
    from evaluate.verdict.verdict import VariantVerdict, Verdict

GRADES = ("PASS", "INCONCLUSIVE", "FAIL")


@dataclass(frozen=True)
class VariantRow:
    """One variant.

    Attributes:
        index: Its place in the report, which gives it colour, dash and marker.
        variant: What was measured.
        verdict: Its grade; None where nothing was graded.
        false_alarms: Share of the reals called fake at the table's threshold.
        latency: Its times in the setting that the table shows; None if it was not measured there.
        margin: Loss of AUC that is allowed; None where it is no candidate.
    """

    index: int
    variant: VariantResult
    verdict: VariantVerdict | None
    false_alarms: float
    latency: LatencyRow | None
    margin: float | None

    @property
    def is_candidate(self) -> bool:
        """Whether a verdict depends on it."""
        return self.verdict is not None and self.verdict.is_candidate

    @property
    def role(self) -> str:
        """What it is where the verdict does not depend on it."""
        return "reference" if self.variant.name == BASELINE else "no candidate"

    @property
    def flips(self) -> Flips | None:
        """Decisions that differ from the baseline's."""
        found = self.variant.statistics
        return found.drift.flips if found and found.drift else None

    @property
    def severity(self) -> int | None:
        """Rank of the grade, the worst last; None where the verdict does not depend on it."""
        return GRADES.index(self.verdict.grade) if self.verdict and self.is_candidate else None


@dataclass(frozen=True)
class VariantTable:
    """All rows, and what their columns are about.

    Attributes:
        rows: In the order of the report.
        threshold: Where false alarms are counted.
        origin: Where that threshold comes from.
        flip_threshold: Where flips are counted; None where nothing was compared with the baseline.
        slice_threshold: Where the errors of the parts of the test set are counted.
        setting: Where latency was measured; None if it was not.
        scale: Where the differences are drawn; None without any.
    """

    rows: tuple[VariantRow, ...]
    threshold: float
    origin: ThresholdOrigin
    flip_threshold: float | None
    slice_threshold: float
    setting: Setting | None
    scale: DifferenceScale | None


def variant_table(record: ReportRecord, verdict: Verdict | None) -> VariantTable:
    """Gathers the table's rows."""
    grades = {entry.variant: entry for entry in verdict.variants} if verdict else {}
    points = [variant.statistics.at("frozen") if variant.statistics else None for variant in record.variants]
    is_frozen = bool(points) and all(points)
    times = main_latencies(record)
    rows = tuple(
        VariantRow(
            index=index,
            variant=variant,
            verdict=grades.get(variant.name),
            false_alarms=point.false_alarms.share if is_frozen and point else variant.confusion.false_positive_rate,
            latency=times.get(variant.name),
            margin=_margin(variant, record, verdict),
        )
        for index, (variant, point) in enumerate(zip(record.variants, points, strict=True))
    )
    threshold = next((point.threshold for point in points if is_frozen and point), record.threshold)
    frozen = frozen_threshold(record)
    drifts = [variant.statistics.drift for variant in record.variants if variant.statistics]
    return VariantTable(
        rows=rows,
        threshold=threshold,
        origin="frozen" if is_frozen else "default",
        flip_threshold=next((drift.threshold for drift in drifts if drift), None),
        slice_threshold=DEFAULT_THRESHOLD if frozen is None else frozen,
        setting=main_setting(record),
        scale=difference_scale(rows),
    )


def frozen_threshold(record: ReportRecord) -> float | None:
    """Returns the threshold that was fitted to the baseline and holds for all variants, if there is one."""
    points = (v.statistics.at("frozen") for v in record.variants if v.statistics)
    return next((point.threshold for point in points if point), None)


def main_latencies(record: ReportRecord) -> dict[str, LatencyRow]:
    """Returns variant -> its times at the batch and in the setting that most variants share."""
    setting = main_setting(record)
    return {row.variant.name: row for row in rows_at(setting, setting.main_batch)} if setting else {}


def _margin(variant: VariantResult, record: ReportRecord, verdict: Verdict | None) -> float | None:
    if variant.comparison is None or variant.comparison.status == "Baseline":
        return None
    if verdict is None:
        return record.stable_auc_drop
    findings = next((entry.findings for entry in verdict.variants if entry.variant == variant.name), ())
    return next((finding.allowed for finding in findings if finding.limit == "max_auc_drop"), None)
