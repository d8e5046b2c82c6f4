"""What the record of a made INT8 variant says of its layers: measured alone, measured in reverse, and the frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.int8_choices import frontier
from calibration.int8_record import FrontierPoint, GroupRecord
from calibration.logit_noise import noise_in_db
from calibration.placement import Arithmetic
from export.progress import progress_bar

if TYPE_CHECKING:
    from calibration.int8_attempt import Attempt
    from calibration.int8_workshop import Int8Workshop
    from calibration.layer_groups import LayerGroup
    from calibration.sensitivity import Measurement

_RESTORED_GROUPS = 8


def frontier_of_attempt(workshop: Int8Workshop, attempt: Attempt) -> tuple[FrontierPoint, ...]:
    """Returns the best compromises, as predicted from single groups; none if nothing was searched."""
    if attempt.settlement is None:
        return ()
    base = workshop.float_bytes - sum(2 * group.weights for group in workshop.groups)
    total = sum(group.macs for group in workshop.groups)
    return frontier(attempt.settlement, base, workshop.signal_variance, total)


def group_records(workshop: Int8Workshop, attempt: Attempt, measurement: Measurement | None) -> tuple[GroupRecord, ...]:
    """Returns what is known of every group, in graph order."""
    restored = _restored(workshop, attempt, measurement) if measurement else {}

    def decibels(group: LayerGroup, arithmetic: Arithmetic) -> float | None:
        noise = measurement.noise(group.name, arithmetic) if measurement else None
        return None if noise is None else noise_in_db(workshop.signal_variance, noise)

    return tuple(
        GroupRecord(
            name=group.name,
            role=group.role.value,
            layers=tuple(layer.name for layer in group.layers),
            weights=group.weights,
            macs=group.macs,
            int8_sqnr_db=decibels(group, Arithmetic.INT8),
            weights_sqnr_db=decibels(group, Arithmetic.INT8_WEIGHTS),
            restored_sqnr_db=restored.get(group.name),
            arithmetic=attempt.choices[group.layers[0].name].arithmetic.value,
            reason=attempt.choices[group.layers[0].name].reason,
        )
        for group in workshop.groups
    )


def _restored(workshop: Int8Workshop, attempt: Attempt, measurement: Measurement) -> dict[str, float]:
    """Measures the reverse for the most harmful groups: the variant with one of them put back to floating point."""
    quantized = [
        (measurement.noise(group.name, Arithmetic.INT8) or 0.0, group.name, group)
        for group in workshop.groups
        if attempt.choices[group.layers[0].name].arithmetic is Arithmetic.INT8
    ]
    worst = [group for _, _, group in sorted(quantized, reverse=True, key=lambda entry: entry[:2])[:_RESTORED_GROUPS]]
    own = workshop.narrowed(attempt.quantized)
    found = {}
    for group in progress_bar(worst, "restoring layers", unit="group"):
        names = {layer.name for layer in group.layers}
        logits = own.simulated_logits(attempt.placement, attempt.repaired, names)
        found[group.name] = own.verdict_of_logits(logits).sqnr_db
    return found
