"""The numbers of the reference report as a record, with drawn score sets where it gives no scores."""

from __future__ import annotations

import math

import numpy as np

from evaluate.comparison import DEFAULT_STABLE_AUC_DROP, compared_variants
from evaluate.facts import CalibrationFacts, DatasetFacts
from evaluate.metrics import ConfusionCounts, RocCurve, roc_curve
from evaluate.record import (
    EngineFile,
    ReportRecord,
    ReportSample,
    VariantResult,
)
from evaluate.selection import Outcome

FAKES, REALS = 340, 178
MIB = 1 << 20

# name, precision, source, MiB, AUC, (TP, TN, FP, FN); AUCs carry a fifth digit that gives the reference's Diff.
ROWS = (
    ("baseline", "FP32", "dense", 108.79, 0.95487, (292, 163, 15, 48)),
    ("q16", "FP16", "dense", 54.60, 0.95480, (291, 163, 15, 49)),
    ("q16-p50", "FP16", "p50", 54.60, 0.93340, (339, 50, 128, 1)),
    ("q32-p50", "FP32", "p50", 108.99, 0.93324, (339, 49, 129, 1)),
    ("q8", "INT8", "dense", 27.80, 0.75884, (339, 2, 176, 1)),
    ("q8-p50", "INT8", "p50", 27.80, 0.71194, (340, 0, 178, 0)),
)

NAMES = {
    Outcome.TRUE_POSITIVE: {
        "baseline": ["id37_id3_0004", "id46_id41_0000", "id43_id40_0005", "id1_id2_0007", "id17_id16_0000"],
        "q8": ["id46_id41_0000", "id2_id0_0008", "id1_id2_0002", "id1_id3_0003", "id57_id53_0006"],
    },
    Outcome.FALSE_NEGATIVE: {
        "baseline": ["id29_id32_0000", "id30_id6_0007", "id33_id32_0006", "id30_id23_0007", "id9_id3_0009"],
        "q8": ["id10_id11_0001"],
        "q8-p50": [],
    },
    Outcome.FALSE_POSITIVE: {
        "baseline": ["00047", "id51_0001", "00170", "id31_0003", "id21_0009"],
        "q8": ["00119", "00236", "id37_0004", "00252", "00264"],
    },
    Outcome.TRUE_NEGATIVE: {
        "baseline": ["id32_0008", "id27_0009", "id4_0004", "id36_0008", "id44_0003"],
        "q8": ["00207", "id35_0003"],
        "q8-p50": [],
    },
}
SCORES = {
    Outcome.TRUE_POSITIVE: [0.9999, 0.9999, 0.9999, 0.9999, 0.9998],
    Outcome.FALSE_NEGATIVE: [0.0304, 0.1034, 0.1215, 0.1218, 0.1294],
    Outcome.FALSE_POSITIVE: [0.9808, 0.8435, 0.8011, 0.7185, 0.6559],
    Outcome.TRUE_NEGATIVE: [0.0020, 0.0026, 0.0027, 0.0033, 0.0035],
}


def reference_record(simulated: bool = False) -> ReportRecord:
    return ReportRecord(
        created_utc="2026-01-02T03:04:05Z",
        backbone="b5",
        architecture="tf_efficientnet_b5",
        threshold=0.5,
        stable_auc_drop=DEFAULT_STABLE_AUC_DROP,
        dataset=DatasetFacts("Celeb-DF-v2", "ab" * 32, FAKES, REALS, 16570, unreadable_frames=6),
        calibration=CalibrationFacts("Celeb-DF-v2", "cd" * 32, 256, 256, 512, "99.99th percentile per tensor"),
        environment={"python": "3.11.9", "onnxruntime": "1.22.0"},
        variants=compared_variants([_variant(row, simulated) for row in ROWS]),
        heatmap_limit=4.25,
        warnings=("6 images did not decode",),
    )


def drawn_roc(name: str, auc: float) -> RocCurve:
    """Binormal scores of about this AUC (equal variances), one seed per source so that twins nearly coincide."""
    rng = np.random.default_rng(len(name.partition("-")[2]) + 7)
    # Phi(d / sqrt 2) = AUC, inverted by bisection of math.erf.
    low, high = 0.0, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * (1 + math.erf(middle / 2)) < auc else (low, middle)
    is_fake = np.arange(FAKES + REALS) < FAKES
    return roc_curve(is_fake, rng.normal(size=FAKES + REALS) + low * is_fake)


def _variant(row: tuple[str, str, str, float, float, tuple[int, int, int, int]], simulated: bool) -> VariantResult:
    name, precision, source, mib, auc, (tp, tn, fp, fn) = row
    backend = "onnxruntime 1.22.0 (CPU)" if simulated else "tensorrt-rtx 1.7"
    reason = {
        "INT8": "INT8 is simulated by ONNX Runtime on the CPU",
        "FP16": "FP16 is computed in FP32 by ONNX Runtime on the CPU",
        "FP32": "",
    }[precision]
    size = round(mib * MIB)
    return VariantResult(
        name=name,
        precision=precision,  # type: ignore[arg-type]  # the table above holds plain strings
        source=source,
        file=f"onnx/{name}.onnx",
        size_bytes=size,
        graph_bytes=size,
        backend=backend,
        simulation=reason if simulated else "",
        auc=auc,
        confusion=ConfusionCounts(tp, tn, fp, fn),
        roc=drawn_roc(name, auc),
        samples={outcome: _samples(name, outcome) for outcome in Outcome},
        engines=(EngineFile("tensorrt-rtx 1.7", f"engines/{name}.tensorrt-rtx.plan", size + 4096, ("8.6", "8.9")),),
    )


def _samples(variant: str, outcome: Outcome) -> tuple[ReportSample, ...]:
    names = NAMES[outcome].get(variant, NAMES[outcome]["baseline"])
    folder = f"../results/{variant}/result/{outcome.value}/heatmap"
    return tuple(
        ReportSample(f"{name}.mp4", score, f"{folder}/{name}.mp4.jpg")
        for name, score in zip(names, SCORES[outcome], strict=False)
    )
