"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.evaluated import evaluated_variants
from evaluate.evaluated_run import evaluated_run
from evaluate.explanation import explain_variants
from evaluate.measuring import measured_engines
from evaluate.recommended_threshold import recommend_thresholds
from evaluate.report import write_report
from evaluate.report_record import report_record
from evaluate.session import opened_session
from evaluate.stored_engines import stored_engines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.request import EvaluationRequest


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
        scored = [entry.scored for entry in run.variants]
        explanation = explain_variants(session.run, session.spec, scored, session.samples.root, session.store)
        record = report_record(session, run, explanation)
        recommend_thresholds(run)
        return record, write_report(session.run.report, record)
