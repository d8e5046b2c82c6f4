"""The report's section on INT8: how each such variant was made, how close it is to FP32, and what it really saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.int8_comparison import (
    EXPANDED_BELOW,
    KEPT_ABOVE,
    TELLING_BYTES,
    arithmetic_shares,
    calibration_warnings,
    engine_savings,
    int8_records,
    layer_count,
    missed_limits,
    restored_groups,
    sensitivity_of_groups,
)
from evaluate.number_text import decibel_text, diff_text, percent_text
from evaluate.record import BYTES_PER_MIB
from evaluate.sections.markdown_table import escaped, file_link, image_link, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.int8_record import ArithmeticName, GroupRecord, Int8Record
    from evaluate.int8_comparison import ArithmeticShare, EngineSaving, Handling
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment

HARMFUL_GROUPS = 12
_RIGHT: tuple[Alignment, ...] = ("right",) * 6
ARITHMETIC_TEXTS: dict[ArithmeticName, str] = {"int8": "INT8", "int8-weights": "INT8 weights", "float": "float"}
_HANDLING_TEXTS: dict[Handling | None, str] = {
    "expanded": "expands the weights",
    "partly": "keeps them partly",
    "kept": "keeps them INT8",
    None: "N/A",
}


def sensitivity_plot(variant: str) -> str:
    """Returns the name of a variant's sensitivity plot in the report's folder."""
    return f"sensitivity-{variant}.png"


def int8_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no variant has a record of its INT8 weights."""
    variants = int8_records(record)
    if not variants:
        return []
    lines = [f"## {number}. INT8", *_alarms(record), *_overview_table(variants), "", *_overview_notes(variants), ""]
    lines += ["### What each INT8 variant really saves", "", *_saving_lines(record), ""]
    lines += ["### Repairs", "", *_repair_lines(variants), ""]
    for variant, int8 in variants:
        lines += [f"### Layers of {escaped(variant.name)}", "", *_layer_lines(variant, int8), ""]
    return lines


def _alarms(record: ReportRecord) -> list[str]:
    lines = [f"**Missed:** {escaped(sentence)}\n" for sentence in missed_limits(record)]
    return lines + [f"**Warning:** {escaped(sentence)}\n" for sentence in calibration_warnings(record)]


def _overview_table(variants: Sequence[tuple[VariantResult, Int8Record]]) -> list[str]:
    header = ["Model", "Recipe", "INT8 share of MACs", "Layers INT8 / INT8 weights / float"]
    header += ["Simulated logit SQNR (dB)", "Simulated flips", "Simulated AUC diff", "Size (MiB)", "Limits"]
    alignments: tuple[Alignment, ...] = ("left", "left", *_RIGHT[:6], "left")
    return markdown_table(header, alignments, [_overview_row(variant, int8) for variant, int8 in variants])


def _overview_row(variant: VariantResult, int8: Int8Record) -> list[str]:
    return [
        f"**{escaped(variant.name)}**",
        int8.recipe,
        percent_text(int8.int8_mac_share),
        " / ".join(str(layer_count(int8, arithmetic)) for arithmetic in ARITHMETIC_TEXTS),
        decibel_text(int8.sqnr_db) + _bound(int8.min_sqnr_db, "aim {:.1f}"),
        f"{int8.flipped} of {int8.held_back_images}",
        diff_text(int8.auc_difference) + _bound(int8.max_auc_drop, "limit -{:.4f}"),
        f"{int8.size_mib:.2f}" + _bound(int8.max_size_mib, "limit {:.2f}"),
        _limits_text(int8),
    ]


def _bound(value: float | None, text: str) -> str:
    return "" if value is None else f" ({text.format(value)})"


def _limits_text(int8: Int8Record) -> str:
    if int8.missed:
        return f"**{len(int8.missed)} missed**"
    asked = (int8.max_size_mib, int8.min_sqnr_db, int8.max_auc_drop)
    return "none set" if all(limit is None for limit in asked) else "met"


def _overview_notes(variants: Sequence[tuple[VariantResult, Int8Record]]) -> list[str]:
    lines = [
        "Logit SQNR compares the fake logit with FP32's: 10 log10 of its variance within a class over the mean squared "
        "error. It, the flips (decisions at probability 0.5 that differ from FP32's) and the AUC difference "
        "(per image) come from calibration images that nothing was fitted to, with INT8 simulated on the machine that "
        "built the variant; the test set's figures are in section 1. Size is that of the ONNX file.",
        "",
    ]
    return [*lines, *(_method_line(variant, int8) for variant, int8 in variants)]


def _method_line(variant: VariantResult, int8: Int8Record) -> str:
    ranges = ", ".join(f"{escaped(name)} for {count}" for name, count in sorted(int8.range_methods.items()))
    fitted = f"fitted to {int8.fitted_images} other images" if int8.fitted_images else "fitted to no images"
    return (
        f"- {escaped(variant.name)}: judged on {int8.held_back_images} images, {fitted}; "
        f"ranges of activations: {ranges or 'none'}; {int8.equalized_tensors} tensors equalized."
    )


def _saving_lines(record: ReportRecord) -> list[str]:
    savings = engine_savings(record)
    header = ["Model", "Backend", "Compute capability", "ONNX file (MiB)", "Engine (MiB)"]
    header += ["Engine against FP16's (MiB)", "ONNX file against FP16's (MiB)", "Realised", "By its size, the backend"]
    alignments: tuple[Alignment, ...] = ("left", "left", "left", *_RIGHT[:5], "left")
    table = markdown_table(header, alignments, [_saving_row(saving) for saving in savings])
    notes = [
        "Realised is the share of what the ONNX file saves against FP16 that the engine saves too, at equal pruning, "
        f"backend and compute capability: below {percent_text(EXPANDED_BELOW)} the backend expands INT8 weights to a "
        f"wider type, above {percent_text(KEPT_ABOVE)} it keeps them. N/A: there is no such FP16 engine, or the ONNX "
        f"file saves less than {TELLING_BYTES // BYTES_PER_MIB} MiB, so that compiled kernels hide what became of the "
        "weights. An engine of ONNX Runtime is the ONNX file itself.",
        "",
        _time_and_memory_note(record),
    ]
    return [*(table if savings else ["No engines were built."]), "", *notes]


def _time_and_memory_note(record: ReportRecord) -> str:
    if any(variant.latency for variant in record.variants):
        return "What INT8 saves in time and device memory is in the section on latency."
    return "Inference time and device memory were not measured; evaluate-engines --latency does that."


def _saving_row(saving: EngineSaving) -> list[str]:
    engine, realised = saving.engine, saving.realised
    return [
        f"**{escaped(saving.variant.name)}**",
        escaped(engine.backend),
        escaped(", ".join(engine.sms)) or "any",
        f"{saving.variant.graph_bytes / BYTES_PER_MIB:.2f}",
        f"{engine.size_mib:.2f}",
        _change_text(saving.saved_bytes),
        _change_text(saving.promised_bytes),
        "N/A" if realised is None else percent_text(realised),
        _HANDLING_TEXTS[saving.handling],
    ]


def _change_text(saved_bytes: int | None) -> str:
    return "N/A" if saved_bytes is None else f"{round(-saved_bytes / BYTES_PER_MIB, 2) + 0.0:+.2f}"


def _repair_lines(variants: Sequence[tuple[VariantResult, Int8Record]]) -> list[str]:
    rows = [
        [
            f"**{escaped(variant.name)}**",
            escaped(repair.step),
            decibel_text(repair.sqnr_before_db),
            decibel_text(repair.sqnr_after_db),
            "yes" if repair.kept else "no",
        ]
        for variant, int8 in variants
        for repair in int8.repairs
    ]
    if not rows:
        return ["No repair was tried."]
    header = ["Model", "Step", "SQNR before (dB)", "SQNR after (dB)", "Kept"]
    return [
        *markdown_table(header, ["left", "left", "right", "right", "left"], rows),
        "",
        "A step is kept only if it raises the logit SQNR of images that it was not fitted to.",
    ]


def _layer_lines(variant: VariantResult, int8: Int8Record) -> list[str]:
    shares = arithmetic_shares(int8)
    lines = [*_share_table(shares), "", _share_note(int8), ""]
    sensitivity = sensitivity_of_groups(int8)
    if sensitivity is None:
        return [*lines, f"No group was measured alone (recipe {int8.recipe}); all of them are in report/report.json."]
    plot = sensitivity_plot(variant.name)
    worst = sensitivity.worst(HARMFUL_GROUPS)
    return [
        *lines,
        image_link("Sensitivity", plot),
        "",
        *_frontier_lines(int8),
        f"The {len(worst)} of {len(int8.groups)} groups that harm most, by the logit SQNR with one of them in INT8, or "
        "with its weights in INT8 where INT8 arithmetic was not an option:",
        "",
        *_group_table([int8.groups[index] for index in worst]),
        "",
        _others_line(len(int8.groups) - len(worst), len(sensitivity.unmeasured), plot),
        *_restored_lines(int8),
    ]


def _frontier_lines(int8: Int8Record) -> list[str]:
    if not int8.frontier:
        return []
    return [
        "The curves are the least noise at each size, as predicted from single groups. The chosen point may lie below "
        "them: it is settled for the most INT8 arithmetic within the limits, not for the least noise.",
        "",
    ]


def _restored_lines(int8: Int8Record) -> list[str]:
    restored = [f"{escaped(name)} to {decibel_text(sqnr)}" for name, sqnr in restored_groups(int8)]
    if not restored:
        return []
    before = decibel_text(int8.sqnr_db)
    return ["", f"Put back to float, each alone would take the variant's {before} dB: {', '.join(restored)}."]


def _share_table(shares: Sequence[ArithmeticShare]) -> list[str]:
    header = ["Ends up as", "Why not INT8", "Groups", "Layers", "Weights", "MiB", "Share of MACs"]
    alignments: tuple[Alignment, ...] = ("left", "left", *_RIGHT[:5])
    macs = max(sum(share.macs for share in shares), 1)
    rows = [
        [
            ARITHMETIC_TEXTS[share.arithmetic],
            escaped(share.reason),
            f"{share.groups}",
            f"{share.layers}",
            f"{share.weights:,}",
            f"{share.weight_bytes / BYTES_PER_MIB:.2f}",
            percent_text(share.macs / macs),
        ]
        for share in shares
    ]
    return markdown_table(header, alignments, rows)


def _share_note(int8: Int8Record) -> str:
    note = (
        "A group is settled as one: a layer, or the two of a squeeze-and-excitation gate. MiB is that of the weights "
    )
    note += "alone: one byte each in INT8, two in float, which is FP16, and four in a float classifier, which is FP32."
    predicted = next((point.sqnr_db for point in int8.frontier if point.chosen), None)
    if predicted is None:
        return note
    return (
        f"{note} Logit SQNR predicted from single groups: {decibel_text(predicted)} dB; measured when all was done: "
        f"{decibel_text(int8.sqnr_db)} dB."
    )


def _group_table(groups: Sequence[GroupRecord]) -> list[str]:
    header = ["Group", "Role", "Layers", "Weights", "Million MACs", "In INT8 (dB)", "Its weights in INT8 (dB)"]
    header += ["Ends up as", "Why not INT8"]
    alignments: tuple[Alignment, ...] = ("left", "left", *_RIGHT[:5], "left", "left")
    return markdown_table(header, alignments, [_group_row(group) for group in groups])


def _group_row(group: GroupRecord) -> list[str]:
    return [
        escaped(group.name),
        escaped(group.role),
        f"{len(group.layers)}",
        f"{group.weights:,}",
        f"{group.macs / 1e6:.1f}",
        decibel_text(group.int8_sqnr_db),
        decibel_text(group.weights_sqnr_db),
        ARITHMETIC_TEXTS[group.arithmetic],
        escaped(group.reason),
    ]


def _others_line(others: int, unmeasured: int, plot: str) -> str:
    left_out = f" ({unmeasured} of them not measured)" if unmeasured else ""
    numbers = plot.removesuffix(".png") + ".json"
    return f"{others} other groups{left_out}; all groups are in {file_link(f'report/{numbers}', numbers)}."
