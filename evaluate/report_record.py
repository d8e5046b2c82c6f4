"""What the report says, put together from scores, sidecars and heatmaps."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from calibration.int8_record import Int8Record
from evaluate.comparison import DEFAULT_STABLE_AUC_DROP, compared_variants
from evaluate.data_facts import calibration_facts, dataset_facts, shared_digests, validation_facts
from evaluate.environment import environment_of_report
from evaluate.metrics import DEFAULT_THRESHOLD, confusion_at, roc_auc, roc_curve
from evaluate.record import EngineFile, ReportRecord, ReportSample, VariantResult
from evaluate.report_warnings import report_warnings
from evaluate.selection import Outcome, most_telling
from export.decoding import decoded_from_json
from export.sidecar import read_artifact
from export.variant import Precision
from pruning.record import PruningRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.run_folder import RunFolder
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.evaluated_run import EvaluatedRun
    from evaluate.facts import LookalikeFacts
    from evaluate.maps.explanation import Explanation, ScoredVariant
    from evaluate.record import PrecisionName, VariantStatistics
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact
    from export.variant import Variant

_PRECISION_NAMES: dict[Precision, PrecisionName] = {
    Precision.FP32: "FP32",
    Precision.FP16: "FP16",
    Precision.INT8: "INT8",
    Precision.INT8_WEIGHTS: "INT8 weights",
}


def report_record(
    session: Session, run: EvaluatedRun, explanation: Explanation, lookalikes: tuple[LookalikeFacts, ...] = ()
) -> ReportRecord:
    """Returns the record that report.json holds."""
    results = [_variant_result(session, entry, run.statistics, explanation) for entry in run.variants]
    architecture = session.spec.contract.architecture
    return ReportRecord(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        backbone=architecture.rpartition("_")[2] if "efficientnet" in architecture else architecture,
        architecture=architecture,
        threshold=DEFAULT_THRESHOLD,
        stable_auc_drop=DEFAULT_STABLE_AUC_DROP,
        dataset=dataset_facts(session, run.variants),
        calibration=calibration_facts(session.spec),
        environment=environment_of_report(entry.frames for entry in run.variants),
        variants=compared_variants(results),
        heatmap_limit=explanation.limit if explanation.paths else None,
        warnings=report_warnings(session, results, run.variants),
        videos=run.videos,
        validation=validation_facts(session.spec, run.validation),
        is_partial=any(entry.left_out for entry in run.variants),
        digests=shared_digests(session.spec, session.samples, run.validation),
        aggregation=session.aggregation,
        declared_aggregation=session.spec.contract.video.aggregation,
        lookalikes=lookalikes,
    )


def _variant_result(
    session: Session, entry: EvaluatedVariant, statistics: Mapping[str, VariantStatistics], explanation: Explanation
) -> VariantResult:
    variant, scores, frames = entry.scored.variant, entry.scored.scores, entry.frames.facts
    return VariantResult(
        name=variant.name,
        precision=_PRECISION_NAMES[variant.precision],
        source=variant.source,
        file=entry.engine.path.relative_to(session.run.root).as_posix(),
        size_bytes=entry.engine.size_bytes,
        graph_bytes=entry.graph.size_bytes,
        backend=f"{frames['backend']} ({frames['device']})",
        simulation=frames["simulation"],
        auc=roc_auc(scores.is_fake, scores.scores),
        confusion=confusion_at(DEFAULT_THRESHOLD, scores.is_fake, scores.scores),
        roc=roc_curve(scores.is_fake, scores.scores),
        samples={outcome: _report_samples(entry.scored, outcome, explanation) for outcome in Outcome},
        engines=_engine_files(session.run, entry),
        int8=_int8_record(entry.graph),
        pruning=_pruning_record(session.run, variant),
        latency=entry.latencies,
        statistics=statistics[variant.name],
        digests={"graph": entry.graph.sha256, "engine": entry.engine.sha256, "scores": entry.scores.sha256},
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


def _engine_files(run: RunFolder, entry: EvaluatedVariant) -> tuple[EngineFile, ...]:
    return tuple(_engine_file(run, backend, engine) for backend, engine in entry.engines.items())


def _engine_file(run: RunFolder, backend: str, engine: Artifact) -> EngineFile:
    capabilities = engine.facts.get("compute_capabilities", [])
    versions = engine.recipe.options["backend"]
    sparsity = engine.facts.get("sparsity", {})
    return EngineFile(
        backend=f"{backend} {next(iter(versions.values()))}",
        file=engine.path.relative_to(run.root).as_posix(),
        size_bytes=engine.size_bytes,
        sms=tuple(capabilities) if isinstance(capabilities, list) else (str(capabilities),),
        download_bytes=engine.facts.get("download_bytes"),
        sparse_eligible=sparsity.get("eligible"),
        sparse_picked=sparsity.get("picked"),
    )
