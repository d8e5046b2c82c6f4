"""The report's section on pruning: how each source model was pruned, how close it stayed, and what that saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import decibel_text, diff_text, percent_text, reduction_text
from evaluate.pruning_comparison import (
    heaviest_losses,
    missed_pruning_limits,
    pruned_sources,
    pruning_cautions,
    pruning_savings,
    ratio_curves,
    role_losses,
)
from evaluate.record import BYTES_PER_MIB
from evaluate.sections.markdown_table import escaped, file_link, image_link, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.pruning_comparison import CurvePoint, PruningSaving, RatioCurve, RoleLoss
    from evaluate.record import EngineFile, ReportRecord
    from evaluate.sections.markdown_table import Alignment
    from pruning.record import KindName, LayerPruning, PruningRecord, PruningStep

CURVE_PLOT = "pruning-curve.png"
HEAVIEST_LOSSES = 12
_RIGHT: tuple[Alignment, ...] = ("right",) * 8
_KIND_NOTES: dict[KindName, str] = {
    "unstructured": (
        "TensorRT stores zeros densely, so neither file nor engine shrinks and nothing gets faster; what shrinks is "
        "the compressed download."
    ),
    "structured": "the channels are gone, so file, engine, memory and work shrink on every backend.",
    "2:4": (
        "the file keeps its size; only GPUs with sparse tensor cores (Ampere and later) can skip the zeros, and only "
        "in the layers for which TensorRT picks a sparse kernel."
    ),
}


def layer_plot(source: str) -> str:
    """Returns the name of a pruned source's plot in the report's folder."""
    return f"pruning-{source}.png"


def pruning_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no variant has a record of its pruning."""
    sources = pruned_sources(record)
    if not sources:
        return []
    lines = [f"## {number}. Pruning", *_alarms(record), *_overview_table(sources), "", *_overview_notes(sources), ""]
    lines += ["### What pruning saves", "", *_saving_lines(record, sources), ""]
    lines += ["### Repairs", "", *_step_lines(sources), ""]
    if curves := ratio_curves(record):
        lines += ["### Size against AUC", "", *_curve_lines(curves, record.stable_auc_drop)]
    for source, pruning in sources:
        lines += [f"### Layers of {escaped(source)}", "", *_layer_lines(source, pruning), ""]
    return lines


def _alarms(record: ReportRecord) -> list[str]:
    lines = [f"**Missed:** {escaped(sentence)}\n" for sentence in missed_pruning_limits(record)]
    return lines + [f"**Warning:** {escaped(sentence)}\n" for sentence in pruning_cautions(record)]


def _overview_table(sources: Sequence[tuple[str, PruningRecord]]) -> list[str]:
    header = ["Source", "Kind", "Recipe", "Weights gone or zero", "Parameters (millions)", "MACs (billions)"]
    header += ["Logit SQNR (dB)", "Flips", "AUC", "Limits"]
    alignments: tuple[Alignment, ...] = ("left", "left", "left", *_RIGHT[:6], "left")
    return markdown_table(header, alignments, [_overview_row(source, pruning) for source, pruning in sources])


def _overview_row(source: str, pruning: PruningRecord) -> list[str]:
    final, share = pruning.final, pruning.final.flipped / max(pruning.held_back_images, 1)
    flips = [percent_text(share), *_bound(pruning.max_flip_share, "limit {:.1%}")]
    auc = [diff_text(final.auc - pruning.dense.auc), *_bound(pruning.max_auc_drop, "limit -{:.4f}")]
    aim = "".join(f" ({text})" for text in _bound(pruning.min_sqnr_db, "aim {:.1f}"))
    return [
        f"**{escaped(source)}**",
        pruning.kind,
        pruning.recipe,
        percent_text(pruning.mask_ratio),
        _fall_text(pruning.parameters_before / 1e6, pruning.parameters_after / 1e6),
        _fall_text(pruning.macs_before / 1e9, pruning.macs_after / 1e9),
        decibel_text(final.sqnr_db) + aim,
        f"{final.flipped} of {pruning.held_back_images} ({', '.join(flips)})",
        f"{final.auc:.4f} ({', '.join(auc)})",
        _limits_text(pruning),
    ]


def _bound(value: float | None, text: str) -> list[str]:
    return [] if value is None else [text.format(value)]


def _fall_text(before: float, after: float) -> str:
    return f"{before:.2f} to {after:.2f} ({reduction_text(1.0 - after / before) if before else 'N/A'})"


def _limits_text(pruning: PruningRecord) -> str:
    if pruning.missed:
        return f"**{len(pruning.missed)} missed**"
    asked = (pruning.min_sqnr_db, pruning.max_auc_drop, pruning.max_flip_share)
    return "none set" if all(limit is None for limit in asked) else "met"


def _overview_notes(sources: Sequence[tuple[str, PruningRecord]]) -> list[str]:
    lines = [
        "A source is the FP32 PyTorch model that variants of every precision are exported from. Weights gone or zero "
        "is their share of all weights of the dense model's convolutions and linear layers; MACs are per image, with "
        "multiplications by zero counted. Logit SQNR compares the fake logit with the dense model's: 10 log10 of its "
        "variance within a class over the mean squared difference. It, the flips (decisions at probability 0.5 that "
        "differ from the dense model's) and the AUC (per image; difference to the dense model's) come from calibration "
        "images that nothing was fitted to; the test set's figures are in section 1. Limits are met where the SQNR is "
        "at least the one aimed at, at which both are expected to hold: so few images are too coarse to count on.",
        "",
    ]
    return [*lines, *(_method_line(source, pruning) for source, pruning in sources)]


def _method_line(source: str, pruning: PruningRecord) -> str:
    fitted = f"fitted to {pruning.fitted_images} other images" if pruning.fitted_images else "fitted to no images"
    return f"- {escaped(source)}: {pruning.percent}% asked for; judged on {pruning.held_back_images} images, {fitted}."


def _saving_lines(record: ReportRecord, sources: Sequence[tuple[str, PruningRecord]]) -> list[str]:
    header = ["Model", "ONNX file (MiB)", "Against dense", "Backend", "Compute capability", "Engine (MiB)"]
    header += ["Against dense", "Download (MiB)", "Against dense", "2:4 layers", "Run sparse"]
    alignments: tuple[Alignment, ...] = ("left", *_RIGHT[:2], "left", "left", *_RIGHT[:6])
    rows = [_saving_row(saving) for saving in pruning_savings(record)]
    kinds = {pruning.kind for _, pruning in sources}
    return [
        *markdown_table(header, alignments, rows),
        "",
        "A file is compared with that of the dense variant of the same precision, an engine with its engine of the "
        "same backend and compute capability. Download is the engine compressed by Zstandard. 2:4 layers are those "
        "whose weights TensorRT found to have the pattern, run sparse those for which it picked a sparse kernel. N/A: "
        "there is nothing to compare with, or the backend told nothing.",
        "",
        *(f"- {kind}: {note}" for kind, note in _KIND_NOTES.items() if kind in kinds),
        "",
        "Device memory and inference time are not measured.",
    ]


def _saving_row(saving: PruningSaving) -> list[str]:
    variant = saving.variant
    return [
        f"**{escaped(variant.name)}**",
        _mib_text(variant.graph_bytes),
        _change_text(saving.graph_reduction),
        *_engine_cells(saving.engine, _change_text(saving.engine_reduction), _change_text(saving.download_reduction)),
    ]


def _engine_cells(engine: EngineFile | None, change: str, download_change: str) -> list[str]:
    if engine is None:
        return ["no engine", *["N/A"] * 7]
    return [
        escaped(engine.backend),
        escaped(", ".join(engine.sms)) or "any",
        _mib_text(engine.size_bytes),
        change,
        _mib_text(engine.download_bytes),
        download_change,
        _count_text(engine.sparse_eligible),
        _count_text(engine.sparse_picked),
    ]


def _mib_text(size_bytes: int | None) -> str:
    return "N/A" if size_bytes is None else f"{size_bytes / BYTES_PER_MIB:.2f}"


def _change_text(reduction: float | None) -> str:
    return "N/A" if reduction is None else reduction_text(reduction)


def _count_text(count: int | None) -> str:
    return "N/A" if count is None else f"{count}"


def _step_lines(sources: Sequence[tuple[str, PruningRecord]]) -> list[str]:
    rows = [_step_row(source, step) for source, pruning in sources for step in pruning.steps]
    if not rows:
        return ["No step was measured."]
    header = ["Source", "Step", "Logit SQNR (dB)", "AUC", "Flips", "Kept"]
    return [
        *markdown_table(header, ["left", "left", *_RIGHT[:3], "left"], rows),
        "",
        "Pruning itself is always kept, a repair only if it raises the logit SQNR. Each figure is from before to after "
        "the step; the AUC is per image, on calibration images that nothing was fitted to.",
    ]


def _step_row(source: str, step: PruningStep) -> list[str]:
    before, after = step.before, step.after
    return [
        f"**{escaped(source)}**",
        escaped(step.name),
        f"{decibel_text(before.sqnr_db)} to {decibel_text(after.sqnr_db)}",
        f"{before.auc:.4f} to {after.auc:.4f}",
        f"{before.flipped} to {after.flipped}",
        "yes" if step.kept else "no",
    ]


def _curve_lines(curves: Sequence[RatioCurve], stable_auc_drop: float) -> list[str]:
    lines = [image_link("Size against AUC", CURVE_PLOT), ""]
    for curve in curves:
        header = ["Model", f"Pruned ({curve.kind}, {curve.precision})", "Size (MiB)", "AUC", "Diff to dense"]
        lines += [*markdown_table(header, ["left", *_RIGHT[:4]], map(_curve_row, curve.points)), ""]
    note = "Size is that of the file whose scores are shown. AUC is per video, on the test set"
    if any(curve.lowest_stable_auc is not None for curve in curves):
        note += f"; the dashed line is {stable_auc_drop:g} below the dense variant of the same precision"
    return [*lines, f"{note}.", ""]


def _curve_row(point: CurvePoint) -> list[str]:
    variant = point.variant
    return [
        f"**{escaped(variant.name)}**",
        f"{point.percent}%",
        f"{variant.size_mib:.2f}",
        f"{variant.auc:.4f}" + (" (simulated)" if variant.is_simulation else ""),
        "N/A" if point.auc_diff is None else diff_text(point.auc_diff),
    ]


def _layer_lines(source: str, pruning: PruningRecord) -> list[str]:
    plot = layer_plot(source)
    numbers = plot.removesuffix(".png") + ".json"
    heaviest = heaviest_losses(pruning, HEAVIEST_LOSSES)
    lines = [*_role_table(role_losses(pruning)), "", image_link(f"Layers of {escaped(source)}", plot), ""]
    if heaviest:
        lines += [f"The {len(heaviest)} of {len(pruning.layers)} layers that lost most weights:", ""]
        lines += [*_layer_table(heaviest), ""]
    return [*lines, f"All layers are in {file_link(f'report/{numbers}', numbers)}."]


def _role_table(losses: Sequence[RoleLoss]) -> list[str]:
    header = ["Role", "Layers", "Untouched", "Weights", "Gone", "Zero", "Gone or zero"]
    rows = [
        [
            escaped(loss.role),
            f"{loss.layers}",
            f"{loss.untouched}",
            f"{loss.weights:,}",
            f"{loss.removed:,}",
            f"{loss.zeros:,}",
            percent_text(loss.mask_ratio),
        ]
        for loss in losses
    ]
    return markdown_table(header, ["left", *_RIGHT[:6]], rows)


def _layer_table(layers: Sequence[LayerPruning]) -> list[str]:
    header = ["Layer", "Role", "Weights", "Gone", "Zero", "Gone or zero"]
    rows = [
        [
            escaped(layer.name),
            escaped(layer.role),
            f"{layer.weights:,}",
            f"{layer.removed:,}",
            f"{layer.zeros:,}",
            percent_text(layer.mask_ratio),
        ]
        for layer in layers
    ]
    return markdown_table(header, ["left", "left", *_RIGHT[:4]], rows)
