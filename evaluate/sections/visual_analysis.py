"""Section 5 of the report: heatmaps of the most telling samples of each outcome, one row per variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.aggregation_text import AGGREGATION_NAMES, representative_text
from evaluate.record import BASELINE
from evaluate.sections.markdown_table import escaped, image_link, markdown_table
from evaluate.selection import DEFAULT_COUNT, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluate.maps.cam_method import CamMethod
    from evaluate.record import ReportRecord, ReportSample
    from evaluate.sections.markdown_table import Alignment

HEADINGS = {
    Outcome.TRUE_POSITIVE: "Resolved Fakes (True Positives)",
    Outcome.FALSE_NEGATIVE: "Missed Fakes (False Negatives)",
    Outcome.FALSE_POSITIVE: "False Positives (Real labeled Fake)",
    Outcome.TRUE_NEGATIVE: "Confirmed Reals (True Negatives)",
}
_ALIGNMENTS: tuple[Alignment, ...] = ("left", "center", "center", "center", "center", "center")
_LONGEST_NAME = 12
_SHORTENED_NAME = 10


def visual_analysis_lines(record: ReportRecord, legend: str | None) -> list[str]:
    """Returns the section's lines.

    Args:
        record: The record of the evaluation.
        legend: Path of the colour bar relative to the report's folder; None where no heatmap was drawn.
    """
    lines = ["## 5. Visual Analysis"]
    for outcome, heading in HEADINGS.items():
        lines += [f"### {heading}", "", *_outcome_table(record, outcome), ""]
    return [*lines, *_explanation(record, legend)]


def shortened_name(name: str) -> str:
    """Returns a video's name without folder, cut to ten characters and `..` where it has more than twelve."""
    last = name.rsplit("/", 1)[-1]
    return last if len(last) <= _LONGEST_NAME else f"{last[:_SHORTENED_NAME]}.."


def _outcome_table(record: ReportRecord, outcome: Outcome) -> list[str]:
    rows = [
        [
            f"**{'Baseline' if variant.name == BASELINE else escaped(variant.name)}**",
            *(_cell(variant.samples.get(outcome, ()), rank) for rank in range(DEFAULT_COUNT)),
        ]
        for variant in record.variants
    ]
    header = ["Model", *(f"Rank {rank + 1}" for rank in range(DEFAULT_COUNT))]
    return markdown_table(header, _ALIGNMENTS, rows)


def _cell(samples: Sequence[ReportSample], rank: int) -> str:
    if rank >= len(samples):
        return "N/A"
    sample = samples[rank]
    image = f"{image_link('img', sample.heatmap)}<br>" if sample.heatmap else ""
    return f"{image}`{sample.score:.4f}`<br>_{escaped(shortened_name(sample.sample))}_"


MEANING: Mapping[CamMethod, str] = {
    "additive": "The map splits the logit exactly: its mean plus the classifier's bias is the logit.",
    "hirescam": "The map is a HiResCAM, the gradient of the logit times the last activation that has places, because "
    "this network has more than pooling and one linear layer behind it. It says to first order what raises and what "
    "lowers the logit, and does not split it: contributions need not add up.",
}


def _explanation(record: ReportRecord, legend: str | None) -> list[str]:
    lines = [
        f"Samples are videos. The score under an image is {AGGREGATION_NAMES[record.aggregation]}; "
        f"{record.threshold:g} and above is called fake. Resolved fakes and false positives are ranked from the "
        "highest score, missed fakes and confirmed reals from the lowest, ties by name. "
        "N/A: the variant has no further sample of that outcome.",
    ]
    if record.heatmap_limit is not None:
        lines += [
            "",
            f"Each image is {representative_text(record)}, under the class-activation map of the PyTorch network that "
            f"the engine was made from. {MEANING[record.heatmap_method]} Red adds to fake, blue to real, and the bare "
            "face to neither. All heatmaps share one scale, saturated at a contribution of "
            f"±{record.heatmap_limit:.3g}.",
        ]
    if record.heatmap_obstacle:
        lines += ["", f"There are no heatmaps: {escaped(record.heatmap_obstacle)}."]
    if legend:
        lines += ["", image_link("Colour scale of the heatmaps", legend)]
    return [*lines, ""]
