"""What the report says, put together from scores, sidecars and heatmaps."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from calibration.int8_record import Int8Record
from engines.backend import backend_from_name
from evaluate.comparison import DEFAULT_STABLE_AUC_DROP, compared_variants
from evaluate.decoding import decoded_from_json
from evaluate.facts import CalibrationFacts, DatasetFacts
from evaluate.measuring import MeasuredEngine, is_built_from
from evaluate.metrics import DEFAULT_THRESHOLD, confusion_at, roc_auc, roc_curve
from evaluate.record import EngineFile, ReportRecord, ReportSample, VariantResult
from evaluate.selection import Outcome, most_telling
from export.sidecar import read_artifact
from export.variant import DENSE, Precision
from export.versions import versions_of
from pruning.record import PruningRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.samples import SampleSet
    from engines.run_folder import RunFolder
    from engines.spec import RunSpec
    from evaluate.explanation import Explanation, ScoredVariant
    from evaluate.measuring import Session
    from evaluate.record import PrecisionName
    from export.sidecar import Artifact
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
class EvaluatedVariant:
    """What was measured of a variant, and the scores of the videos."""

    scored: ScoredVariant
    measured: MeasuredEngine


def report_record(session: Session, evaluated: Sequence[EvaluatedVariant], explanation: Explanation) -> ReportRecord:
    """Returns the record that report.json holds."""
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


def _variant_result(session: Session, entry: EvaluatedVariant, explanation: Explanation) -> VariantResult:
    backend = session.backend
    variant, scores = entry.scored.variant, entry.scored.scores
    return VariantResult(
        name=variant.name,
        precision=_PRECISION_NAMES[variant.precision],
        source=variant.source,
        file=entry.measured.engine.path.relative_to(session.run.root).as_posix(),
        size_bytes=entry.measured.engine.size_bytes,
        graph_bytes=entry.measured.graph.size_bytes,
        backend=f"{backend.name} {next(iter(backend.versions().values()))} ({backend.device()})",
        simulation=backend.simulation_note(variant.precision),
        auc=roc_auc(scores.is_fake, scores.scores),
        confusion=confusion_at(DEFAULT_THRESHOLD, scores.is_fake, scores.scores),
        roc=roc_curve(scores.is_fake, scores.scores),
        samples={outcome: _report_samples(entry.scored, outcome, explanation) for outcome in Outcome},
        engines=_engine_files(session.run, session.spec, entry),
        int8=_int8_record(entry.measured.graph),
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


def _engine_files(run: RunFolder, spec: RunSpec, entry: EvaluatedVariant) -> tuple[EngineFile, ...]:
    """Lists the engines of a variant, without those that another backend still has of an earlier graph."""
    files = []
    for name in spec.backends_of(entry.scored.variant):
        path = run.engine(entry.scored.variant.name, name, backend_from_name(name).suffix)
        artifact = read_artifact(path)
        if not is_built_from(artifact, entry.measured.graph):
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


def _dataset_facts(samples: SampleSet, first: EvaluatedVariant) -> DatasetFacts:
    facts = first.measured.frames.facts
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


def _warnings(
    spec: RunSpec, results: Sequence[VariantResult], evaluated: Sequence[EvaluatedVariant]
) -> tuple[str, ...]:
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
    unreadable = evaluated[0].measured.frames.facts["unreadable"]
    if unreadable:
        warnings.append(f"{len(unreadable)} images did not decode and were left out, such as {unreadable[0]}")
    return tuple(warnings)
