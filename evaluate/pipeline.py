"""`evaluate-engines` as one call: a run folder and a labelled test set in, scores and report out."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from calibration.celeb_df import has_test_list, samples_from_celeb_df
from calibration.int8_record import Int8Record
from calibration.loading import BatchReader
from calibration.samples import SampleSet, require_both_classes, require_disjoint
from engines.backend import Backend, backend_from_name
from engines.engine_runner import RunOptions
from engines.run_folder import RunFolder, locked
from engines.spec import RunSpec, read_spec
from engines.store import ArtifactStore
from evaluate.comparison import DEFAULT_STABLE_AUC_DROP, compared_variants
from evaluate.decoding import decoded_from_json
from evaluate.explanation import Explanation, ScoredVariant, explain_variants
from evaluate.facts import CalibrationFacts, DatasetFacts
from evaluate.metrics import DEFAULT_THRESHOLD, confusion_at, roc_auc, roc_curve
from evaluate.record import EngineFile, ReportRecord, ReportSample, VariantResult
from evaluate.report import write_report
from evaluate.score_files import read_frame_scores, read_scores, write_frame_scores, write_scores
from evaluate.scores import video_scores_from_frames
from evaluate.scoring import frame_scores_from_runner
from evaluate.selection import Outcome, most_telling
from export.errors import ArtifactError
from export.sidecar import Artifact, Recipe, read_artifact
from export.variant import DENSE, Precision
from export.versions import versions_of
from pruning.record import PruningRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from evaluate.record import PrecisionName
    from export.variant import Variant

_PRECISION_NAMES: dict[Precision, PrecisionName] = {
    Precision.FP32: "FP32",
    Precision.FP16: "FP16",
    Precision.INT8: "INT8",
    Precision.INT8_WEIGHTS: "INT8 weights",
}
_METHOD_NAMES = {
    "mse": "least mean squared error, per tensor",
    "percentile": "99.99th percentile, per tensor",
    "entropy": "least Kullback-Leibler divergence, per tensor",
    "minmax": "largest magnitude, per tensor",
}
_REPORTED_PACKAGES = ("torch", "timm", "onnx", "onnxruntime", "nncf", "tensorrt-rtx", "tensorrt", "numpy")


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate-engines` was asked for.

    Attributes:
        run: Folder that `build-engines` filled.
        test: Celeb-DF-like folder of labelled faces; with a list of test videos, those of the list are scored.
        backend: Which engines to run.
        batch_size: Images per inference.
        skip_unreadable: Goes on without images that do not decode, and says so in the report.
    """

    run: Path
    test: Path
    backend: str = "onnxruntime"
    batch_size: int = 16
    skip_unreadable: bool = False


@dataclass(frozen=True)
class _Evaluated:
    """A variant's engine, the graph it was built from, its scores and what was left out."""

    scored: ScoredVariant
    engine: Artifact
    graph: Artifact
    frames: Artifact


@dataclass(frozen=True)
class _Session:
    """What every step of one evaluation works with."""

    request: EvaluationRequest
    run: RunFolder
    spec: RunSpec
    backend: Backend
    samples: SampleSet
    store: ArtifactStore


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
    samples = _test_set(request, spec)
    with locked(run):
        session = _Session(
            request, run, spec, backend, samples, ArtifactStore(spec.contract.to_json(), announce=announce)
        )
        evaluated = [_evaluate(session, variant) for variant in spec.variants_for(backend.name)]
        explanation = explain_variants(run, spec, [e.scored for e in evaluated], samples.root, session.store)
        record = _record(session, evaluated, explanation)
        return record, write_report(run.report, record)


def _test_set(request: EvaluationRequest, spec: RunSpec) -> SampleSet:
    samples = samples_from_celeb_df(request.test, "listed" if has_test_list(request.test) else "all")
    require_both_classes(samples, "test")
    if spec.calibration is not None:
        require_disjoint(spec.calibration, samples)
    return samples


def _evaluate(session: _Session, variant: Variant) -> _Evaluated:
    backend = session.backend
    engine = read_artifact(session.run.engine(variant.name, backend.name, backend.suffix))
    graph = read_artifact(session.run.onnx(variant.name))
    if not _is_built_from(engine, graph):
        raise ArtifactError(f"{engine.path} was built from another graph than {graph.path}; run build-engines again")
    frames = _scored_frames(session, variant, engine)
    scores = session.store.obtain(
        session.run.results(variant.name) / "scores.csv",
        Recipe("scores", {"frames": frames.sha256}, {"aggregation": "mean probability"}),
        lambda path: _write_video_scores(path, frames.path),
        30_000,
    )
    return _Evaluated(ScoredVariant(variant, read_scores(scores.path), scores.sha256), engine, graph, frames)


def _is_built_from(engine: Artifact, graph: Artifact) -> bool:
    return engine.recipe.parents["onnx"] == graph.sha256


def _scored_frames(session: _Session, variant: Variant, engine: Artifact) -> Artifact:
    request, backend, samples = session.request, session.backend, session.samples
    options = {"backend": dict(backend.versions()), "skip_unreadable": request.skip_unreadable}
    recipe = Recipe(
        "frame-scores",
        {"engine": engine.sha256, "test": samples.sha256},
        {**options, **versions_of("pillow", "numpy")},
    )

    def write(path: Path) -> Mapping[str, Any]:
        reader = BatchReader(
            samples.samples,
            session.spec.contract.input,
            request.batch_size,
            skip_unreadable=request.skip_unreadable,
        )
        with backend.runner(engine, RunOptions(request.batch_size)) as runner:
            scored = frame_scores_from_runner(runner, reader, samples.root, f"scoring {variant.name}")
        write_frame_scores(path, scored.frames)
        return {
            "unreadable": [sample.path.relative_to(samples.root).as_posix() for sample in scored.unreadable],
            "lost_videos": sorted(scored.lost_videos),
        }

    return session.store.obtain(session.run.results(variant.name) / "frames.csv", recipe, write, 100_000)


def _write_video_scores(path: Path, frames: Path) -> Mapping[str, Any]:
    scores = video_scores_from_frames(read_frame_scores(frames))
    write_scores(path, scores)
    return {"videos": len(scores.videos)}


def _record(session: _Session, evaluated: Sequence[_Evaluated], explanation: Explanation) -> ReportRecord:
    results = [_variant_result(session, entry, explanation) for entry in evaluated]
    architecture = session.spec.contract.architecture
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    return ReportRecord(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        backbone=architecture.rpartition("_")[2] if "efficientnet" in architecture else architecture,
        architecture=architecture,
        threshold=DEFAULT_THRESHOLD,
        stable_auc_drop=DEFAULT_STABLE_AUC_DROP,
        dataset=_dataset_facts(session.samples, evaluated[0]),
        calibration=_calibration_facts(session.spec),
        environment={**machine, **versions_of(*_REPORTED_PACKAGES)},
        variants=compared_variants(results),
        heatmap_limit=explanation.limit if explanation.paths else None,
        warnings=_warnings(session.spec, results, evaluated),
    )


def _variant_result(session: _Session, entry: _Evaluated, explanation: Explanation) -> VariantResult:
    backend = session.backend
    variant, scores = entry.scored.variant, entry.scored.scores
    return VariantResult(
        name=variant.name,
        precision=_PRECISION_NAMES[variant.precision],
        source=variant.source,
        file=entry.engine.path.relative_to(session.run.root).as_posix(),
        size_bytes=entry.engine.size_bytes,
        graph_bytes=entry.graph.size_bytes,
        backend=f"{backend.name} {next(iter(backend.versions().values()))} ({backend.device()})",
        simulation=backend.simulation_note(variant.precision),
        auc=roc_auc(scores.is_fake, scores.scores),
        confusion=confusion_at(DEFAULT_THRESHOLD, scores.is_fake, scores.scores),
        roc=roc_curve(scores.is_fake, scores.scores),
        samples={outcome: _report_samples(entry.scored, outcome, explanation) for outcome in Outcome},
        engines=_engine_files(session.run, session.spec, entry),
        int8=_int8_record(entry.graph),
        pruning=_pruning_record(session.run, variant),
    )


def _int8_record(graph: Artifact) -> Int8Record | None:
    stored = graph.facts.get("int8")
    return None if stored is None else decoded_from_json(Int8Record, stored)


def _pruning_record(run: RunFolder, variant: Variant) -> PruningRecord | None:
    if variant.pruning is None:
        return None
    return decoded_from_json(PruningRecord, read_artifact(run.model(variant.source)).facts.get("pruning"))


def _report_samples(scored: ScoredVariant, outcome: Outcome, explanation: Explanation) -> tuple[ReportSample, ...]:
    cells = []
    for video in most_telling(scored.scores, outcome):
        path = explanation.paths.get((scored.variant.name, outcome, video.sample))
        cells.append(ReportSample(video.sample, video.score, f"../{path}" if path else None))
    return tuple(cells)


def _engine_files(run: RunFolder, spec: RunSpec, entry: _Evaluated) -> tuple[EngineFile, ...]:
    """Lists the engines of a variant, without those that another backend still has of an earlier graph."""
    files = []
    for name in spec.backends_of(entry.scored.variant):
        path = run.engine(entry.scored.variant.name, name, backend_from_name(name).suffix)
        artifact = read_artifact(path)
        if not _is_built_from(artifact, entry.graph):
            continue
        capabilities = artifact.facts.get("compute_capabilities", [])
        versions = artifact.recipe.options["backend"]
        sparsity = artifact.facts.get("sparsity", {})
        files.append(
            EngineFile(
                backend=f"{name} {next(iter(versions.values()))}",
                file=path.relative_to(run.root).as_posix(),
                size_bytes=artifact.size_bytes,
                sms=tuple(capabilities) if isinstance(capabilities, list) else (str(capabilities),),
                download_bytes=artifact.facts.get("download_bytes"),
                sparse_eligible=sparsity.get("eligible"),
                sparse_picked=sparsity.get("picked"),
            )
        )
    return tuple(files)


def _dataset_facts(samples: SampleSet, first: _Evaluated) -> DatasetFacts:
    facts = first.frames.facts
    fakes = int(first.scored.scores.is_fake.sum())
    return DatasetFacts(
        root=str(samples.root),
        sha256=samples.sha256,
        fake_videos=fakes,
        real_videos=len(first.scored.scores.videos) - fakes,
        frames=len(samples.samples) - len(facts["unreadable"]),
        unreadable_frames=len(facts["unreadable"]),
        lost_videos=len(facts["lost_videos"]),
    )


def _calibration_facts(spec: RunSpec) -> CalibrationFacts | None:
    calibration = spec.calibration
    if calibration is None:
        return None
    return CalibrationFacts(
        root=calibration.root,
        sha256=calibration.sha256,
        fake_images=calibration.fake,
        real_images=calibration.real,
        videos=len(calibration.videos),
        unreadable_images=calibration.unreadable,
        method=_METHOD_NAMES.get(calibration.method, calibration.method),
    )


def _warnings(spec: RunSpec, results: Sequence[VariantResult], evaluated: Sequence[_Evaluated]) -> tuple[str, ...]:
    warnings = [
        f"{result.name}: AUC {result.auc:.4f} is below 0.5; the labels or fake_index of the model file look inverted"
        for result in results
        if result.auc < 0.5 and result.precision == "FP32" and result.source == DENSE
    ]
    for result, entry in zip(results, evaluated, strict=True):
        if len(result.engines) < len(spec.backends_of(entry.scored.variant)):
            warnings.append(
                f"{result.name}: an engine of an earlier graph is left out; run build-engines for its backend"
            )
    unreadable = evaluated[0].frames.facts["unreadable"]
    if unreadable:
        warnings.append(f"{len(unreadable)} images did not decode and were left out, such as {unreadable[0]}")
    return tuple(warnings)
