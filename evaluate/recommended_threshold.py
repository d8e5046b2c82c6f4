"""The threshold that suits an engine, in its sidecar, so that who deploys the engine has it at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.sidecar import amended_artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.record import ReportRecord
    from evaluate.validation_scores import ValidationScores

RECOMMENDED_THRESHOLD = "recommended_threshold"


def recommend_thresholds(
    record: ReportRecord, evaluated: Sequence[EvaluatedVariant], validation: ValidationScores | None
) -> None:
    """Writes each variant's refitted threshold into the facts of the engine that was scored.

    Without a validation set, or where no threshold was found, a sidecar keeps what it says.

    Raises:
        ArtifactError: A sidecar was changed in the meantime.
    """
    if validation is None:
        return
    for variant, entry in zip(record.variants, evaluated, strict=True):
        refitted = variant.statistics.at("refitted") if variant.statistics else None
        if refitted is not None:
            fact = {
                "value": refitted.threshold,
                "origin": refitted.origin,
                "validation_sha256": validation.sha256,
            }
            amended_artifact(entry.engine, {RECOMMENDED_THRESHOLD: fact})
