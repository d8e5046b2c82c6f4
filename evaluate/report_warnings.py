"""What a reader must know before trusting a number: what the files of a run say against the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.variant import DENSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.spec import RunSpec
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.record import VariantResult
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact


def report_warnings(
    session: Session, results: Sequence[VariantResult], evaluated: Sequence[EvaluatedVariant]
) -> tuple[str, ...]:
    """Returns one sentence per warning."""
    warnings = [
        f"{result.name}: AUC {result.auc:.4f} is below 0.5; the labels or fake_index of the model file look inverted"
        for result in results
        if result.auc < 0.5 and result.precision == "FP32" and result.source == DENSE
    ]
    for entry in evaluated:
        warnings += _warnings_of_variant(session.spec, entry)
    ran = dict.fromkeys(result.backend for result in results)
    if len(ran) > 1:
        warnings.append(f"the rows were not scored alike, but by {', '.join(ran)}")
    warnings += _threshold_warnings(session, results, evaluated)
    warnings += _unreadable_warnings("", [entry.frames for entry in evaluated])
    warnings += _unreadable_warnings(
        " of the validation set", [entry.validation for entry in evaluated if entry.validation is not None]
    )
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
    if entry.left_out:
        warnings.append(
            f"{name}: {entry.left_out} videos lack scores, or scores of some images; they are left out of every row"
        )
    if _by_another_release(entry.frames):
        warnings.append(f"{name}: its scores were made by another release of the toolkit")
    return warnings + [f"{name}: {note}" for note in entry.frames.facts["notes"]]


def _threshold_warnings(
    session: Session, results: Sequence[VariantResult], evaluated: Sequence[EvaluatedVariant]
) -> list[str]:
    if evaluated[0].validation is None:
        lack = session.validation.lack or "not every engine has scores of the same validation set"
        return [f"no threshold was fitted, so decisions are compared at 0.5: {lack}"]
    return [
        f"{result.name}: no threshold decides its validation scores better than chance, so none was fitted"
        for result in results
        if result.statistics is not None and result.statistics.at("refitted") is None
    ]


def _unreadable_warnings(of_set: str, scores: Sequence[Artifact]) -> list[str]:
    """Counts the images that no engine was given; one that some engine was given is told with the others' rows."""
    lists = [artifact.facts["unreadable"] for artifact in scores]
    unreadable = [image for image in lists[0] if all(image in other for other in lists[1:])] if lists else []
    if not unreadable:
        return []
    return [f"{len(unreadable)} images{of_set} did not decode and were left out, such as {unreadable[0]}"]


def _by_another_release(artifact: Artifact) -> bool:
    return artifact.key != artifact.recipe.key
