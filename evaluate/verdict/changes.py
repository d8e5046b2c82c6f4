"""What differs between two sign-offs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.faceless_text import faceless_text
from evaluate.number_text import milliseconds_text, percent_text
from evaluate.record import BASELINE
from evaluate.verdict.exact_grading import deciding_latency
from evaluate.verdict.share_grading import deciding_point
from evaluate.verdict.verdict_lines import finding_text, grade_text

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.verdict.report_folder import StoredReport
    from evaluate.verdict.verdict import Verdict

ABSENT = "-"
_DIGITS_OF_DIGEST = 12


@dataclass(frozen=True)
class Change:
    """One thing that two reports say differently.

    Attributes:
        place: What it belongs to, such as `test set` or `q8`.
        name: What it is, such as `AUC`.
        before: What the first report says; `-` if nothing.
        after: What the second one says, likewise.
    """

    place: str
    name: str
    before: str
    after: str


def changes_between(one: StoredReport, other: StoredReport) -> tuple[Change, ...]:
    """Returns everything that differs, as printed: the decision first, then what was measured, then what made it."""
    before, after = _everything(one), _everything(other)
    places = list(dict.fromkeys([*before, *after]))
    return tuple(
        Change(place, name, before.get(place, {}).get(name, ABSENT), after.get(place, {}).get(name, ABSENT))
        for place in places
        for name in dict.fromkeys([*before.get(place, {}), *after.get(place, {})])
        if before.get(place, {}).get(name, ABSENT) != after.get(place, {}).get(name, ABSENT)
    )


def cautions_between(one: StoredReport, other: StoredReport) -> tuple[str, ...]:
    """Returns what a reader must know before comparing figures, one sentence each."""
    cautions = []
    if one.record.dataset.sha256 != other.record.dataset.sha256:
        cautions.append("the test sets differ, so differences of their figures say little about the engines")
    if one.record.aggregation != other.record.aggregation:
        cautions.append(
            f"a video's score is {one.record.aggregation} in A and {other.record.aggregation} in B, so differences of "
            "their figures are not those of the engines alone"
        )
    for report in (one, other):
        if report.verdict is None and any(variant.name != BASELINE for variant in report.record.variants):
            cautions.append(f"{report.folder} was never graded: run grade-report")
        elif report.is_outdated:
            cautions.append(f"{report.folder}: report.json changed since it was graded: run grade-report again")
    return tuple(cautions)


def _everything(report: StoredReport) -> dict[str, dict[str, str]]:
    record, verdict = report.record, report.verdict
    said = {"verdict": _of_verdict(verdict), "limits": _of_limits(verdict), "test set": _of_test_set(record)}
    for variant in record.variants:
        said[variant.name] = {**_grades(verdict, variant.name), **_figures(variant), **_digests(variant.digests)}
    said["sources"] = _digests(record.digests)
    if record.calibration is not None:
        said["sources"] |= _digests({"calibration set": record.calibration.sha256})
    if record.validation is not None:
        said["sources"] |= _digests({"validation set": record.validation.sha256})
    said["environment"] = record.environment
    return said


def _of_verdict(verdict: Verdict | None) -> dict[str, str]:
    if verdict is None:
        return {}
    decision = verdict.decision
    said = {"grade": verdict.grade, "signed by": decision.signed_by or "nobody"}
    return {**said, "note": decision.note} if decision.note else said


def _of_limits(verdict: Verdict | None) -> dict[str, str]:
    if verdict is None:
        return {}
    limits = verdict.limits
    said = {name: f"{value:g}" for name, value in limits.common.stated.items()}
    for variant, own in limits.of_variant.items():
        said |= {f"{variant}.{name}": f"{value:g}" for name, value in own.stated.items()}
    said["candidates"] = ", ".join(entry.variant for entry in verdict.variants if entry.is_candidate)
    return {**said, "confidence": f"{limits.confidence:g}"}


def _of_test_set(record: ReportRecord) -> dict[str, str]:
    dataset = record.dataset
    return {
        "videos": f"{dataset.fake_videos:,} fake, {dataset.real_videos:,} real",
        "frames": f"{dataset.frames:,}",
        "unreadable frames": f"{dataset.unreadable_frames:,}",
        "frames to video": record.aggregation,
        "videos without a face": faceless_text(dataset) or "none",
        "split": dataset.split or "for testing",
        "partial data": "yes" if record.is_partial else "no",
        **_digests({"contents": dataset.sha256}),
    }


def _grades(verdict: Verdict | None, name: str) -> dict[str, str]:
    entry = next((entry for entry in verdict.variants if entry.variant == name), None) if verdict else None
    if entry is None:
        return {}
    said = {"grade": grade_text(entry), "dominated by": entry.dominated_by or "none"}
    for finding in entry.findings:
        said[finding.limit] = finding_text(finding).removeprefix(f"{finding.limit}=")
        if finding.waived:
            said[f"waiver of {finding.limit}"] = finding.waived
    return said


def _figures(variant: VariantResult) -> dict[str, str]:
    confusion = variant.confusion
    said = {
        "AUC": f"{variant.auc:.4f}",
        "TP, TN, FP, FN": f"{confusion.tp}, {confusion.tn}, {confusion.fp}, {confusion.fn}",
        "size": f"{variant.size_mib:.2f} MiB",
        "backend": variant.backend,
        "simulated": "yes" if variant.is_simulation else "no",
    }
    if (point := deciding_point(variant)) is not None:
        said[f"{point.origin} threshold"] = f"{point.threshold:.4f}"
        said["false alarms"] = percent_text(point.false_alarms.share)
        said["missed fakes"] = percent_text(point.missed_fakes.share)
    if variant.statistics is not None and (refitted := variant.statistics.at("refitted")) is not None:
        said["refitted threshold"] = f"{refitted.threshold:.4f}"
    if variant.statistics is not None and (drift := variant.statistics.drift) is not None:
        said["turned decisions"] = str(drift.flips.share.count)
    if (deciding := deciding_latency(variant)) is not None:
        latency, batch = deciding
        said[f"p95 at batch {batch.batch} on {latency.device}"] = f"{milliseconds_text(batch.latency.p95)} ms"
    if variant.cam_agreement is not None:
        said["CAM drift"] = f"{variant.cam_agreement.drift:.4f}"
    return said


def _digests(digests: dict[str, str]) -> dict[str, str]:
    return {f"{name} sha256": sha256[:_DIGITS_OF_DIGEST] for name, sha256 in digests.items()}
