"""The report's last sections: the engines, and what all figures rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.aggregation_text import AGGREGATION_NAMES
from evaluate.faceless_text import faceless_names, faceless_text
from evaluate.lookalike_text import lookalike_lines
from evaluate.sections.markdown_table import escaped, markdown_table
from export.variant import DENSE

if TYPE_CHECKING:
    from evaluate.facts import DatasetFacts
    from evaluate.record import ReportRecord, ValidationFacts, VariantResult


def engine_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section on the engines that were built."""
    header = ["Model", "Backend", "File", "Size (MB)", "Compute capability"]
    rows = [
        [
            f"**{escaped(variant.name)}**",
            escaped(engine.backend),
            escaped(engine.file),
            f"{engine.size_mib:.2f}",
            escaped(", ".join(engine.sms)) or "any",
        ]
        for variant in record.variants
        for engine in variant.engines
    ]
    if not rows:
        return [f"## {number}. Engines", "No engines were built.", ""]
    table = markdown_table(header, ["left", "left", "left", "right", "left"], rows)
    return [f"## {number}. Engines", *table, ""]


def provenance_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section on data, method, environment and digests."""
    lines = [f"## {number}. Data and Method", *_data_lines(record)]
    lines.append(f"- Network: {escaped(record.architecture)}. Evaluated {record.created_utc}.")
    lines += [
        f"- {escaped(variant.name)}: {variant.precision} of {_source(variant)}, "
        f"{escaped(variant.file)} run by {escaped(variant.backend)}."
        for variant in record.variants
    ]
    lines += [f"- {escaped(name)}: {escaped(text)}" for name, text in record.environment.items()]
    return lines + _digest_lines(record)


def _data_lines(record: ReportRecord) -> list[str]:
    data, calibration, validation = record.dataset, record.calibration, record.validation
    lines = [
        f"- Test set: {escaped(data.root)}{_split(data)}, {data.videos} videos ({data.fake_videos} fake, "
        f"{data.real_videos} real), {_frames_text(data)}; sha256 {data.sha256[:16]}.",
        f"- Frames to video: {AGGREGATION_NAMES[record.aggregation]} ({record.aggregation}){_declared(record)}.",
        f"- Left out: {data.unreadable_frames} images that do not decode, {data.lost_videos} videos without a readable "
        "image.",
    ]
    if data.faceless:
        lines.append(f"- No face found: {faceless_text(data)}: {escaped(faceless_names(data))}.")
    lines += [f"- Note on the test set: {escaped(note)}" for note in data.notes]
    if calibration:
        lines.append(
            f"- Calibration set: {escaped(calibration.root)}, {calibration.images} images ({calibration.fake_images} "
            f"fake, {calibration.real_images} real) of {calibration.videos} videos; sha256 {calibration.sha256[:16]}."
        )
        if calibration.unreadable_images:
            lines.append(f"- Left out of it: {calibration.unreadable_images} images that do not decode.")
        lines.append(f"- Calibration method: {escaped(calibration.method)}.")
    if validation:
        lines.append(
            f"- Validation set: {escaped(validation.root)}, {validation.fake_videos + validation.real_videos} videos "
            f"({validation.fake_videos} fake, {validation.real_videos} real){_faceless(validation, record)}; sha256 "
            f"{validation.sha256[:16]}."
        )
    return lines + [f"- {escaped(line)}" for line in lookalike_lines(record.lookalikes)]


def _frames_text(data: DatasetFacts) -> str:
    return f"{data.frames} frames" + (f" with {data.faces} faces" if data.faces > data.frames else "")


def _split(data: DatasetFacts) -> str:
    return f", split {escaped(data.split)}" if data.split else ""


def _declared(record: ReportRecord) -> str:
    declared = record.declared_aggregation
    return "" if declared == record.aggregation else f"; the model file declares {declared}"


def _faceless(validation: ValidationFacts, record: ReportRecord) -> str:
    if not validation.faceless:
        return ""
    return (
        f", {validation.faceless} more without a face"
        if record.dataset.no_face != "half"
        else (f", {validation.faceless} of them without a face and scored 0.5")
    )


def _digest_lines(record: ReportRecord) -> list[str]:
    rows = [["all", escaped(name), f"`{digest}`"] for name, digest in record.digests.items()]
    rows += [
        [f"**{escaped(variant.name)}**", escaped(name), f"`{digest}`"]
        for variant in record.variants
        for name, digest in variant.digests.items()
    ]
    if not rows:
        return []
    return ["", "### Digests", "", *markdown_table(["Model", "Artifact", "sha256"], ["left"] * 3, rows)]


def _source(variant: VariantResult) -> str:
    return "the dense model" if variant.source == DENSE else f"the model pruned to {escaped(variant.source)}"
