"""What a reader must know before trusting a number: what the files of a run say against the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.variant import DENSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.spec import RunSpec
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.record import VariantResult
    from export.sidecar import Artifact


def report_warnings(
    spec: RunSpec, results: Sequence[VariantResult], evaluated: Sequence[EvaluatedVariant]
) -> tuple[str, ...]:
    """Returns one sentence per warning."""
    warnings = [
        f"{result.name}: AUC {result.auc:.4f} is below 0.5; the labels or fake_index of the model file look inverted"
        for result in results
        if result.auc < 0.5 and result.precision == "FP32" and result.source == DENSE
    ]
    for entry in evaluated:
        warnings += _warnings_of_variant(spec, entry)
    ran = dict.fromkeys(result.backend for result in results)
    if len(ran) > 1:
        warnings.append(f"the rows were not scored alike, but by {', '.join(ran)}")
    unreadable = evaluated[0].frames.facts["unreadable"]
    if unreadable:
        warnings.append(f"{len(unreadable)} images did not decode and were left out, such as {unreadable[0]}")
    return tuple(warnings)


def _warnings_of_variant(spec: RunSpec, entry: EvaluatedVariant) -> list[str]:
    name = entry.scored.variant.name
    warnings = []
    if len(entry.engines) < len(spec.backends_of(entry.scored.variant)):
        warnings.append(f"{name}: an engine of an earlier graph is left out; run build-engines for its backend")
    warnings += [
        f"{name}: the latency of an earlier engine for {backend} is left out; run evaluate-engines --latency for it"
        for backend in entry.stale_latencies
    ]
    if _by_another_release(entry.frames):
        warnings.append(f"{name}: its scores were made by another release of the toolkit")
    return warnings + [f"{name}: {note}" for note in entry.frames.facts["notes"]]


def _by_another_release(artifact: Artifact) -> bool:
    return artifact.key != artifact.recipe.key
