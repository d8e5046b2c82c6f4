"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.evaluated import evaluated_variants
from evaluate.evaluated_run import evaluated_run
from evaluate.ladder_stages import ladder_of_variants
from evaluate.maps.gallery import gallery_samples
from evaluate.maps.visual_evidence import visual_evidence
from evaluate.recommended_threshold import recommend_thresholds
from evaluate.record import BASELINE, write_record
from evaluate.report_record import report_record
from evaluate.scoring.measuring import measured_engines
from evaluate.scoring.session import opened_session
from evaluate.scoring.stored_engines import stored_engines
from evaluate.verdict.grading import require_known_variants
from evaluate.verdict.regrading import GradeRequest, grade_report, limits_of_request, reported_without_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.ladder import LadderStep
    from evaluate.maps.visual_evidence import VisualEvidence
    from evaluate.record import ReportRecord
    from evaluate.scoring.request import EvaluationRequest
    from evaluate.scoring.session import Session
    from evaluate.verdict.regrading import Reported


def evaluate_engines(request: EvaluationRequest, announce: Callable[[str], None] | None = None) -> Reported:
    """Scores every engine of a run on the test set, or takes the scores that it has, and writes a report and a verdict.

    Args:
        request: Run folder, test set and backend.
        announce: Gets a line per file that is made.

    Returns:
        The report, the verdict and the files a reader opens first.

    Raises:
        SignoffError: Anything the user can mend, such as a test set that shares people with the calibration set.
    """
    # A mistake in the limits is told before any engine runs.
    limits = limits_of_request(request.limits, request.limit_changes)
    with opened_session(request, announce or (lambda _: None)) as session:
        require_known_variants(limits, [variant.name for variant in session.spec.variants_for(session.backend.name)])
        measured = stored_engines(session) if request.from_scores else measured_engines(session)
        run = evaluated_run(evaluated_variants(session, measured), session.samples)
        ladders = ladder_of_variants(session, run.variants) if request.ladder else {}
        evidence = visual_evidence(session, run.variants, _gallery(run.variants))
        record = _with_evidence(report_record(session, run, evidence.explanation), evidence, ladders)
        recommend_thresholds(run)
        return _reported(session, record)


def _reported(session: Session, record: ReportRecord) -> Reported:
    if [variant.name for variant in record.variants] == [BASELINE]:
        return reported_without_verdict(session.run.report, record)
    write_record(session.run.report / "report.json", record)
    return grade_report(
        GradeRequest(session.run.root, limits=session.request.limits, changes=session.request.limit_changes)
    )


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
