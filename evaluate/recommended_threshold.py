"""The threshold that suits an engine, in its sidecar, so that who deploys the engine has it at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.sidecar import amended_artifact

if TYPE_CHECKING:
    from evaluate.evaluated_run import EvaluatedRun

RECOMMENDED_THRESHOLD = "recommended_threshold"


def recommend_thresholds(run: EvaluatedRun) -> None:
    """Writes each variant's refitted threshold into the facts of the engine that was scored.

    A threshold is for the scores that it was fitted to, so it goes with what made those of the frames' scores.

    Without a validation set, or where no threshold was found, a sidecar keeps what it says.

    Raises:
        ArtifactError: A sidecar was changed in the meantime.
    """
    if run.validation is None:
        return
    for entry in run.variants:
        refitted = run.statistics[entry.scored.variant.name].at("refitted")
        if refitted is not None:
            recommended = {
                "value": refitted.threshold,
                "origin": refitted.origin,
                "aggregation": run.aggregation,
                "validation_sha256": run.validation.sha256,
            }
            amended_artifact(entry.engine, {RECOMMENDED_THRESHOLD: recommended})
