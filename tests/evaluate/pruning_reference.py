"""Records of pruned sources with the layers of an EfficientNet-B5, and a report that holds them; nothing is drawn."""

from __future__ import annotations

from dataclasses import replace

from evaluate.comparison import compared_variants
from evaluate.facts import DatasetFacts
from evaluate.metrics import ConfusionCounts
from evaluate.record import EngineFile, ReportRecord, VariantResult
from evaluate.selection import Outcome
from pruning.record import Closeness, KindName, LayerPruning, PruningRecord, PruningStep
from tests.evaluate.int8_reference import b5_layers
from tests.evaluate.reference import MIB, drawn_roc

MISSED = "it loses 0.0051 AUC, 0.0031 more than the limit of 0.002 | allow it; s38 is predicted to meet it"
WARNING = "only 12 videos were calibrated on; what pruning costs may differ for others"
PARAMETERS, MACS = 28_342_833, 10_266_000_000
DENSE = Closeness(100.0, 0.9871, 0)

# name, precision, source, MiB of the ONNX file, of the plan and of the compressed plan, AUC.
ROWS = (
    ("baseline", "FP32", "dense", 108.79, 112.0, 100.0, 0.9549),
    ("q16", "FP16", "dense", 54.6, 58.0, 50.0, 0.9548),
    ("q8", "INT8", "dense", 27.8, 40.0, 25.0, 0.9526),
    ("q16-p50", "FP16", "p50", 54.6, 58.0, 31.0, 0.9531),
    ("q16-s50", "FP16", "s50", 27.3, 29.0, 24.0, 0.9423),
    ("q8-s50", "INT8", "s50", 14.456, 22.0, 12.5, 0.9401),
    ("q16-n24", "FP16", "n24", 54.6, 60.9, 33.5, 0.9507),
)
CURVE_ROWS = (
    ("q16-s20", "FP16", "s20", 43.9, 46.4, 40.0, 0.9546),
    ("q16-s30", "FP16", "s30", 38.3, 41.0, 35.0, 0.9529),
    ("q16-s40", "FP16", "s40", 32.8, 35.0, 30.0, 0.9489),
)


def b5_pruning(kind: KindName, percent: int) -> PruningRecord:
    """Returns what a source has lost, by a rule that tells roles and stages apart."""
    layers = tuple(
        _layer(index, name, role, weights, kind, percent)
        for index, (name, role, weights) in enumerate(_single_layers())
    )
    left = 100 - percent if kind == "structured" else 100
    return PruningRecord(
        kind=kind,
        percent=percent,
        recipe="accurate",
        layers=layers,
        parameters_before=PARAMETERS,
        parameters_after=PARAMETERS * left // 100,
        macs_before=MACS,
        macs_after=MACS * left // 100,
        dense=DENSE,
        steps=(
            PruningStep(f"{kind} pruning", DENSE, Closeness(11.04, 0.9702, 19), kept=True),
            PruningStep("reconstruction | weights", Closeness(11.04, 0.9702, 19), Closeness(17.2, 0.986, 5), kept=True),
            PruningStep("alignment", Closeness(17.2, 0.986, 5), Closeness(17.15, 0.986, 6), kept=False),
        ),
        final=Closeness(17.2, 0.986, 5),
        fitted_images=384,
        held_back_images=128,
        min_sqnr_db=15.0,
        max_auc_drop=0.002,
        max_flip_share=0.05,
        warnings=(WARNING,) if kind != "2:4" else (),
    )


def pruning_reference_record(curve: bool = False) -> ReportRecord:
    """Returns a report with three pruned sources; with `curve` the structured one at four percentages."""
    prunings = {"p50": b5_pruning("unstructured", 50), "n24": b5_pruning("2:4", 50)}
    prunings |= {f"s{percent}": b5_pruning("structured", percent) for percent in (20, 30, 40, 50)}
    lossy = Closeness(12.9, 0.982, 9)
    prunings["s50"] = replace(prunings["s50"], final=lossy, nearest_percent=38, missed=(MISSED,))
    unlimited = replace(prunings["n24"], min_sqnr_db=None, max_auc_drop=None, max_flip_share=None)
    prunings["n24"] = replace(unlimited, recipe="magnitude", fitted_images=0)
    rows = (*ROWS, *CURVE_ROWS) if curve else ROWS
    return ReportRecord(
        created_utc="2026-01-02T03:04:05Z",
        backbone="b5",
        architecture="tf_efficientnet_b5",
        threshold=0.5,
        stable_auc_drop=0.01,
        dataset=DatasetFacts("Celeb-DF-v2", "ab" * 32, 340, 178, 16570, unreadable_frames=0),
        calibration=None,
        environment={"python": "3.11.9"},
        variants=compared_variants([_variant(row, prunings.get(row[2])) for row in rows]),
    )


def _single_layers() -> list[tuple[str, str, int]]:
    single = []
    for _, role, names, weights, _ in b5_layers():
        single += [(name, role, weights // len(names)) for name in names]
    return single


def _layer(index: int, name: str, role: str, weights: int, kind: KindName, percent: int) -> LayerPruning:
    if role in ("stem", "classifier"):
        return LayerPruning(name, role, weights, 0, 0)
    if kind == "2:4":
        return LayerPruning(name, role, weights, 0, weights // 2 if role in ("convolution", "head") else 0)
    # Between three and nine eighths of the percentage, the later the more, and every seventh layer less.
    share = percent / 100 * (3 + 6 * index / 195) / 8 * (0.5 if index % 7 == 0 else 1.0)
    lost = round(weights * share * (0.4 if role == "depthwise" else 1.0))
    return LayerPruning(name, role, weights, *((lost, 0) if kind == "structured" else (0, lost)))


def _variant(row: tuple[str, str, str, float, float, float, float], pruning: PruningRecord | None) -> VariantResult:
    name, precision, source, onnx_mib, plan_mib, download_mib, auc = row
    graph_bytes = round(onnx_mib * MIB)
    is_sparse = source == "n24"
    engines = (
        EngineFile("onnxruntime 1.22.0", f"engines/{name}.onnxruntime.onnx", graph_bytes),
        EngineFile(
            backend="tensorrt 10.9",
            file=f"engines/{name}.tensorrt.plan",
            size_bytes=round(plan_mib * MIB),
            sms=("8.6",),
            download_bytes=round(download_mib * MIB),
            sparse_eligible=113 if is_sparse else None,
            sparse_picked=41 if is_sparse else None,
        ),
    )
    return VariantResult(
        name=name,
        precision=precision,  # type: ignore[arg-type]  # the table above holds plain strings
        source=source,
        file=f"onnx/{name}.onnx",
        size_bytes=graph_bytes,
        graph_bytes=graph_bytes,
        backend="onnxruntime 1.22.0 (CPU)",
        simulation="INT8 is simulated by ONNX Runtime on the CPU" if precision == "INT8" else "",
        auc=auc,
        confusion=ConfusionCounts(300, 160, 18, 40),
        roc=drawn_roc(name, auc),
        samples=dict.fromkeys(Outcome, ()),
        engines=engines,
        pruning=pruning,
    )
