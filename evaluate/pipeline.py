"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.backend import backend_from_name
from engines.run_folder import RunFolder, locked
from engines.spec import read_spec
from engines.store import ArtifactStore
from evaluate.explanation import ScoredVariant, explain_variants
from evaluate.measuring import MeasuredEngine, Session, measured_engine, samples_of_request
from evaluate.report import write_report
from evaluate.report_record import EvaluatedVariant, report_record
from evaluate.score_files import read_frame_scores, read_scores, write_scores
from evaluate.scores import video_scores_from_frames
from export.sidecar import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.request import EvaluationRequest


def evaluate_engines(
    request: EvaluationRequest, announce: Callable[[str], None] | None = None
) -> tuple[ReportRecord, tuple[Path, ...]]:
    """Scores every engine of a run on the test set and writes the report.

    Args:
        request: Run folder, test set and backend.
        announce: Gets a line per file that is made.

    Returns:
        The record that report.json holds, and the files a reader opens first.

    Raises:
        SignoffError: Anything the user can mend, such as a test set that shares people with the calibration set.
    """
    run = RunFolder(request.run)
    spec = read_spec(run)
    backend = backend_from_name(request.backend)
    backend.versions()  # a missing package is told before anything else is done
    samples = samples_of_request(request, spec)
    with locked(run):
        session = Session(
            request, run, spec, backend, samples, ArtifactStore(spec.contract.to_json(), announce=announce)
        )
        evaluated = [
            _evaluated(session, measured_engine(session, variant)) for variant in spec.variants_for(backend.name)
        ]
        explanation = explain_variants(run, spec, [e.scored for e in evaluated], samples.root, session.store)
        record = report_record(session, evaluated, explanation)
        return record, write_report(run.report, record)


def _evaluated(session: Session, measured: MeasuredEngine) -> EvaluatedVariant:
    variant, frames = measured.variant, measured.frames
    scores = session.store.obtain(
        session.run.results(variant.name) / "scores.csv",
        Recipe("scores", {"frames": frames.sha256}, {"aggregation": "mean probability"}),
        lambda path: _write_video_scores(path, frames.path),
        30_000,
    )
    return EvaluatedVariant(ScoredVariant(variant, read_scores(scores.path), scores.sha256), measured)


def _write_video_scores(path: Path, frames: Path) -> Mapping[str, Any]:
    scores = video_scores_from_frames(read_frame_scores(frames))
    write_scores(path, scores)
    return {"videos": len(scores.videos)}
