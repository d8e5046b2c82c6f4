"""What `evaluate-engines --scores-only` prints when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import milliseconds_text, rate_text
from evaluate.scoring.latency_files import read_latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.latency import BatchLatency
    from evaluate.scoring.measuring import MeasuredEngine
    from evaluate.scoring.request import EvaluationRequest
    from export.sidecar import Artifact


def summary_from_measured(request: EvaluationRequest, measured: Sequence[MeasuredEngine]) -> str:
    """Returns plain text: the files that hold scores and latency, the latency itself, and what to do next."""
    lines = []
    for entry in measured:
        facts = entry.frames.facts
        lines.append(f"{entry.variant.name}: {facts['backend']} ({facts['device']}), scores in {entry.frames.path}")
        if entry.validation is not None:
            lines.append(f"  scores of the validation set in {entry.validation.path}")
        if facts["unreadable"]:
            lines.append(f"  warning: {len(facts['unreadable'])} images did not decode and were left out")
        lines += [f"  warning: {note}" for note in facts["notes"]]
        if entry.latency is not None:
            lines += _latency_lines(entry.latency)
    split = f" --test-split {request.test_split}" if request.test_split else ""
    lines += [
        "",
        f"The report is made where torch, timm and matplotlib are: copy {request.run / 'results'} back and run there",
        f"  evaluate-engines {request.run} --test {request.test}{split} --backend {request.backend} --from-scores",
    ]
    return "\n".join(lines)


def _latency_lines(artifact: Artifact) -> list[str]:
    record = read_latency(artifact)
    lines = [f"  {_of_batch(batch)}" for batch in record.batches]
    return [*lines, *(f"  warning: {warning}" for warning in record.warnings)]


def _of_batch(batch: BatchLatency) -> str:
    spread = batch.latency
    return (
        f"batch {batch.batch}: median {milliseconds_text(spread.median)} ms, p99 {milliseconds_text(spread.p99)} ms, "
        f"{rate_text(batch.images_per_second)} images/s"
    )
