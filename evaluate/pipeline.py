"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.evaluated import evaluated_variants
from evaluate.evaluated_run import evaluated_run
from evaluate.ladder_stages import ladder_of_variants
from evaluate.lookalikes import lookalikes, with_unchecked
from evaluate.maps.gallery import gallery_samples
from evaluate.maps.visual_evidence import visual_evidence
from evaluate.recommended_threshold import recommend_thresholds
from evaluate.record import BASELINE, read_record, write_record
from evaluate.report_record import report_record
from evaluate.scoring.measuring import measured_engines
from evaluate.scoring.session import opened_session
from evaluate.scoring.stored_engines import stored_engines
from evaluate.verdict.grading import candidates_of
from evaluate.verdict.regrading import GradeRequest, criteria_of, regraded, reported_without_verdict
from evaluate.verdict.report_folder import stored_report
from export.errors import ArtifactError, DataError
from export.versions import require_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.ladder import LadderStep
    from evaluate.maps.visual_evidence import VisualEvidence
    from evaluate.record import ReportRecord
    from evaluate.scoring.request import EvaluationRequest
    from evaluate.scoring.session import Session
    from evaluate.verdict.regrading import Criteria, Reported


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
    # They load only where a map or a stage is computed, perhaps after hours of scoring; a missing one is told now.
    require_installed("torch", "timm", "safetensors")
    with opened_session(request, announce or (lambda _: None)) as session:
        criteria = _criteria(session)  # a mistake in the limits is told before any engine runs
        alike = lookalikes(session)
        measured = stored_engines(session) if request.from_scores else measured_engines(session)
        run = evaluated_run(session, evaluated_variants(session, measured))
        ladders = ladder_of_variants(session, run) if request.ladder else {}
        evidence = visual_evidence(session, run.variants, _gallery(run.variants))
        record = _with_evidence(
            report_record(session, run, evidence.explanation, with_unchecked(alike, session, run.validation)),
            evidence,
            ladders,
        )
        recommend_thresholds(run)
        return _reported(session, record, criteria)


def _criteria(session: Session) -> Criteria | None:
    """Returns what to judge by; None where there is nothing to judge: a baseline alone, and no limits for it."""
    request = session.request
    criteria = criteria_of(session.run.report, request.limits, request.limit_changes)
    names = [variant.name for variant in session.spec.variants_for(session.backend.name)]
    if names == [BASELINE] and not criteria.is_stated and not criteria.limits.candidates:
        return None
    try:
        candidates_of(criteria.limits, names)
    except DataError as error:
        if criteria.is_stated or criteria.before is None:
            raise
        kept = session.run.report / "verdict.json"
        raise DataError(f"{error}; the limits are those of {kept}: pass --limits FILE, or delete it") from error
    return criteria


def _reported(session: Session, record: ReportRecord, criteria: Criteria | None) -> Reported:
    folder = session.run.report
    record = _with_stored_time(folder / "report.json", record)
    if criteria is None:
        return reported_without_verdict(folder, record)
    write_record(folder / "report.json", record)
    return regraded(stored_report(folder, afresh=True), criteria, GradeRequest(folder))


def _with_stored_time(path: Path, record: ReportRecord) -> ReportRecord:
    """Returns the report that is there if it differs by its time alone, so that its waivers and signature stay."""
    try:
        stored = read_record(path)
    except ArtifactError:
        return record
    return stored if replace(stored, created_utc=record.created_utc) == record else record


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
    return replace(
        record,
        variants=variants,
        gallery=evidence.gallery,
        heatmap_method=evidence.method,
        heatmap_obstacle=evidence.obstacle,
    )
