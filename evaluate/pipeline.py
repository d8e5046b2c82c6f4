"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.evaluated import evaluated_variants
from evaluate.evaluated_run import evaluated_run
from evaluate.gallery import gallery_samples
from evaluate.ladder_stages import ladder_of_variants
from evaluate.measuring import measured_engines
from evaluate.recommended_threshold import recommend_thresholds
from evaluate.record import BASELINE
from evaluate.report import write_report
from evaluate.report_record import report_record
from evaluate.session import opened_session
from evaluate.stored_engines import stored_engines
from evaluate.visual_evidence import visual_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.ladder import LadderStep
    from evaluate.record import ReportRecord
    from evaluate.request import EvaluationRequest
    from evaluate.visual_evidence import VisualEvidence


def evaluate_engines(
    request: EvaluationRequest, announce: Callable[[str], None] | None = None
) -> tuple[ReportRecord, tuple[Path, ...]]:
    """Scores every engine of a run on the test set, or takes the scores that it has, and writes the report.

    Args:
        request: Run folder, test set and backend.
        announce: Gets a line per file that is made.

    Returns:
        The record that report.json holds, and the files a reader opens first.

    Raises:
        SignoffError: Anything the user can mend, such as a test set that shares people with the calibration set.
    """
    with opened_session(request, announce or (lambda _: None)) as session:
        measured = stored_engines(session) if request.from_scores else measured_engines(session)
        run = evaluated_run(evaluated_variants(session, measured), session.samples)
        ladders = ladder_of_variants(session, run.variants) if request.ladder else {}
        evidence = visual_evidence(session, run.variants, _gallery(run.variants))
        record = _with_evidence(report_record(session, run, evidence.explanation), evidence, ladders)
        recommend_thresholds(run)
        return record, write_report(session.run.report, record)


def _gallery(evaluated: Sequence[EvaluatedVariant]) -> tuple[str, ...]:
    names = [entry.scored.variant.name for entry in evaluated]
    return gallery_samples(
        [entry.scored.scores for entry in evaluated], names.index(BASELINE) if BASELINE in names else None
    )


def _with_evidence(
    record: ReportRecord, evidence: VisualEvidence, ladders: Mapping[str, tuple[LadderStep, ...]]
) -> ReportRecord:
    variants = tuple(
        replace(
            variant,
            ladder=ladders.get(variant.name, ()),
            cam_agreement=evidence.agreements.get(variant.source),
        )
        for variant in record.variants
    )
    return replace(record, variants=variants, gallery=evidence.gallery)
