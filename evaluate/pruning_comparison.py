"""What the records of pruned variants come to: what pruning saves, where it took weights, and what each ratio costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.int8_comparison import sentences_by_name

if TYPE_CHECKING:
    from evaluate.record import EngineFile, PrecisionName, ReportRecord, VariantResult
    from pruning.record import KindName, LayerPruning, PruningRecord

DENSE = "dense"
FEWEST_RATIOS = 3


@dataclass(frozen=True)
class PruningSaving:
    """An engine of a pruned variant against the dense variant's of the same precision, backend and GPUs.

    Attributes:
        variant: The pruned variant.
        engine: Its engine; None if none was built.
        graph_reduction: Share of the dense ONNX file's bytes that is saved; None without a dense variant.
        engine_reduction: Share of the dense engine's bytes that is saved; None without such an engine.
        download_reduction: The same of the compressed engines; None if one of them was not measured.
    """

    variant: VariantResult
    engine: EngineFile | None
    graph_reduction: float | None
    engine_reduction: float | None
    download_reduction: float | None


@dataclass(frozen=True)
class RoleLoss:
    """What the layers of one role lost.

    Attributes:
        role: The role.
        layers: Number of layers.
        untouched: Those of them that lost nothing.
        weights: Weights of the dense layers.
        removed: Weights that are gone.
        zeros: Zeros among those left.
    """

    role: str
    layers: int
    untouched: int
    weights: int
    removed: int
    zeros: int

    @property
    def mask_ratio(self) -> float:
        """Share of the weights that is gone or zero, 0 to 1."""
        return (self.removed + self.zeros) / max(self.weights, 1)


@dataclass(frozen=True)
class CurvePoint:
    """A variant on a curve.

    Attributes:
        percent: What pruning was asked for; 0 for the dense variant.
        variant: The variant.
        auc_diff: AUC minus the dense variant's; None without one.
    """

    percent: int
    variant: VariantResult
    auc_diff: float | None


@dataclass(frozen=True)
class RatioCurve:
    """Variants that differ in nothing but how much was pruned.

    Attributes:
        kind: How they were pruned.
        precision: Their precision.
        points: The dense variant, if it was evaluated, and the others by rising percentage.
        lowest_stable_auc: AUC below which a variant loses more than the report calls stable; None without a dense one.
    """

    kind: KindName
    precision: PrecisionName
    points: tuple[CurvePoint, ...]
    lowest_stable_auc: float | None


def pruned_sources(record: ReportRecord) -> tuple[tuple[str, PruningRecord], ...]:
    """Returns each pruned source model once, in the order of the variants exported from it."""
    sources: dict[str, PruningRecord] = {}
    for variant in record.variants:
        if variant.pruning is not None:
            sources.setdefault(variant.source, variant.pruning)
    return tuple(sources.items())


def pruning_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns every missed limit and every warning of the pruned sources; equal sentences name their sources once."""
    return (*missed_pruning_limits(record), *pruning_cautions(record))


def missed_pruning_limits(record: ReportRecord) -> tuple[str, ...]:
    """Returns a sentence for every limit that a source misses, with the percentage that should meet it."""
    return sentences_by_name((source, pruning.missed) for source, pruning in pruned_sources(record))


def pruning_cautions(record: ReportRecord) -> tuple[str, ...]:
    """Returns what else a reader must know about the pruned sources."""
    return sentences_by_name((source, pruning.warnings) for source, pruning in pruned_sources(record))


def pruning_savings(record: ReportRecord) -> tuple[PruningSaving, ...]:
    """Compares every engine of every pruned variant with its dense twin; a variant without engines counts once."""
    return tuple(
        _saving(variant, engine, _dense_twin(record, variant.precision))
        for variant in record.variants
        if variant.pruning is not None
        for engine in variant.engines or (None,)
    )


def role_losses(pruning: PruningRecord) -> tuple[RoleLoss, ...]:
    """Sums up the layers by role, in the order in which the roles first occur."""
    alike: dict[str, list[LayerPruning]] = {}
    for layer in pruning.layers:
        alike.setdefault(layer.role, []).append(layer)
    return tuple(
        RoleLoss(
            role=role,
            layers=len(layers),
            untouched=sum(not layer.removed + layer.zeros for layer in layers),
            weights=sum(layer.weights for layer in layers),
            removed=sum(layer.removed for layer in layers),
            zeros=sum(layer.zeros for layer in layers),
        )
        for role, layers in alike.items()
    )


def heaviest_losses(pruning: PruningRecord, count: int) -> tuple[LayerPruning, ...]:
    """Returns the layers that lost most weights, in falling order; those that lost nothing are not among them."""
    losers = [layer for layer in pruning.layers if layer.removed + layer.zeros]
    return tuple(sorted(losers, key=lambda layer: -layer.removed - layer.zeros)[:count])


def ratio_curves(record: ReportRecord) -> tuple[RatioCurve, ...]:
    """Returns a curve for each precision and kind of pruning that was evaluated at three percentages or more."""
    alike: dict[tuple[KindName, PrecisionName], dict[int, VariantResult]] = {}
    for variant in record.variants:
        if variant.pruning is not None:
            ratios = alike.setdefault((variant.pruning.kind, variant.precision), {})
            ratios.setdefault(variant.pruning.percent, variant)
    return tuple(
        _curve(kind, precision, ratios, record)
        for (kind, precision), ratios in alike.items()
        if len(ratios) >= FEWEST_RATIOS
    )


def _dense_twin(record: ReportRecord, precision: PrecisionName) -> VariantResult | None:
    return next((v for v in record.variants if v.precision == precision and v.source == DENSE), None)


def _saving(variant: VariantResult, engine: EngineFile | None, dense: VariantResult | None) -> PruningSaving:
    graph_reduction = None if dense is None else _reduction(variant.graph_bytes, dense.graph_bytes)
    twin = _engine_twin(engine, dense)
    if engine is None or twin is None:
        return PruningSaving(variant, engine, graph_reduction, None, None)
    return PruningSaving(
        variant=variant,
        engine=engine,
        graph_reduction=graph_reduction,
        engine_reduction=_reduction(engine.size_bytes, twin.size_bytes),
        download_reduction=_reduction(engine.download_bytes, twin.download_bytes),
    )


def _engine_twin(engine: EngineFile | None, dense: VariantResult | None) -> EngineFile | None:
    if engine is None or dense is None:
        return None
    alike = (each for each in dense.engines if (each.backend, each.sms) == (engine.backend, engine.sms))
    return next(alike, None)


def _reduction(pruned: int | None, dense: int | None) -> float | None:
    return None if pruned is None or not dense else 1.0 - pruned / dense


def _curve(
    kind: KindName, precision: PrecisionName, ratios: dict[int, VariantResult], record: ReportRecord
) -> RatioCurve:
    dense = _dense_twin(record, precision)
    members = sorted(ratios.items())
    if dense is None:
        points = tuple(CurvePoint(percent, variant, None) for percent, variant in members)
        return RatioCurve(kind, precision, points, None)
    members.insert(0, (0, dense))
    points = tuple(CurvePoint(percent, variant, variant.auc - dense.auc) for percent, variant in members)
    return RatioCurve(kind, precision, points, dense.auc - record.stable_auc_drop)
