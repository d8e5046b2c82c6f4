"""Makes an INT8 variant: settles the layers, repairs, writes and judges.

Ranges, measurements and corrections see three quarters of the calibration videos; the others judge. Judging includes
picking: they decide which repairs stay and which attempt is kept, so their figures are a little optimistic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.bias_correction import local_corrections
from calibration.fake_quantization import with_added_biases
from calibration.int8_attempt import Attempt, attempted
from calibration.int8_choices import (
    MIB,
    arithmetics_of,
    require_known_patterns,
    settled,
)
from calibration.int8_images import BATCH_SIZE, costly_pass_image_count
from calibration.int8_record import Int8Record
from calibration.int8_recording import frontier_of_attempt, group_records
from calibration.int8_workshop import Int8Workshop, image_auc
from calibration.logit_noise import power_from_db, sqnr_for_auc, sqnr_for_decisions
from calibration.placement import (
    Arithmetic,
    Choice,
    Placement,
    choices_from_policy,
    first_match,
)
from calibration.sensitivity import Candidate, Measurement, measured_sensitivity
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx

    from calibration.int8_recipe import Int8Recipe

# What the decisions of an INT8 engine deserve even where the calibration set would tolerate more noise.
SMALLEST_AIM_DB = 25.0
_ATTEMPTS = 4
# A little more than the aim is aimed at, and this much more is close enough.
_MARGIN_DB = 0.5
_CLOSE_DB = 1.5
# Rounded weights disturb the logit so little that a rough figure will do.
_WEIGHT_BATCHES = 1


@dataclass(frozen=True)
class MadeInt8:
    """A variant's graph and how it came about."""

    model: onnx.ModelProto
    placement: Placement
    record: Int8Record


def measure_sensitivity(
    workshop: Int8Workshop, recipe: Int8Recipe, done: Measurement, save: Callable[[Measurement], None]
) -> Measurement:
    """Measures every group that the search may settle, rounded alone; see `calibration.sensitivity`.

    Args:
        workshop: Graph and images.
        recipe: Says what may become INT8.
        done: What an interrupted measurement had found.
        save: Gets the state after each batch.

    Raises:
        QuantizationError: A pattern matches no layer, or pins contradict each other.
    """
    require_known_patterns(workshop.groups, recipe)
    batches = workshop.images.fitted.first(costly_pass_image_count(workshop.images.fitted.batches[0].shape[-1]))
    # Layers that round their weights only read inputs that are not equalized, and so do here.
    plain = workshop.narrowed(())
    weights = measured_sensitivity(
        plain.graph,
        _candidates(plain, recipe, Arithmetic.INT8_WEIGHTS),
        batches[:_WEIGHT_BATCHES],
        Measurement(),
        lambda _: None,
    )
    found = measured_sensitivity(workshop.graph, _candidates(workshop, recipe, Arithmetic.INT8), batches, done, save)
    return Measurement(found.logits, {**found.errors, **weights.errors})


def make_int8(
    workshop: Int8Workshop, recipe: Int8Recipe, measurement: Measurement | None, warnings: tuple[str, ...]
) -> MadeInt8:
    """Makes the variant that a recipe asks for.

    Args:
        workshop: Graph, ranges and images.
        recipe: What was asked for.
        measurement: What `measure_sensitivity` found; None for recipes that do not search.
        warnings: What is wrong with the calibration images.

    Raises:
        QuantizationError: The graph cannot be quantized as asked, or TensorRT would refuse the result.
    """
    logits, is_fake = workshop.all_logits
    auc = image_auc(logits, is_fake)
    aim = sqnr_for_auc(auc, recipe.max_auc_drop)
    if recipe.searches:
        aim = max(SMALLEST_AIM_DB, aim, sqnr_for_decisions(logits, is_fake))
    if recipe.searches and measurement is not None:
        attempt = _best_attempt(workshop, recipe, _noises(workshop, recipe, measurement), aim)
    else:
        choices = _choices_by_policy(workshop, recipe)
        attempt = attempted(workshop, recipe, choices, None)
    points = frontier_of_attempt(workshop, attempt)
    record = Int8Record(
        recipe=recipe.name,
        groups=group_records(workshop, attempt, measurement),
        frontier=points,
        repairs=attempt.repaired.steps,
        size_mib=attempt.size_mib,
        max_size_mib=recipe.max_size_mib if recipe.searches else None,
        sqnr_db=attempt.verdict.sqnr_db,
        min_sqnr_db=aim if recipe.repairs else None,
        flipped=attempt.verdict.flipped,
        auc_difference=attempt.verdict.auc_difference,
        max_auc_drop=recipe.max_auc_drop if recipe.repairs else None,
        fitted_images=len(workshop.images.fitted.is_fake),
        held_back_images=len(workshop.images.judging.is_fake),
        range_methods=dict(Counter(workshop.range_methods[tensor] for tensor in attempt.placement.tensors)),
        equalized_tensors=attempt.equalized_tensors,
        warnings=warnings,
    )
    return MadeInt8(attempt.model, attempt.placement, replace(record, missed=missed_limits(record)))


def missed_limits(record: Int8Record) -> tuple[str, ...]:
    """Says of each limit that is not met by how much it is missed and what would meet it."""
    missed = []
    if record.max_size_mib is not None and record.size_mib > record.max_size_mib:
        excess = record.size_mib - record.max_size_mib
        missed.append(
            f"the file has {record.size_mib:.2f} MiB, {excess:.2f} more than the limit of {record.max_size_mib:g}; no "
            f"smaller choice of layers was found: allow {np.ceil(10 * record.size_mib) / 10:.1f} MiB, or prune"
        )
    if record.min_sqnr_db is not None and record.sqnr_db < record.min_sqnr_db:
        lacking, kept = record.min_sqnr_db - record.sqnr_db, "AUC and decisions" if record.frontier else "the AUC"
        missed.append(
            f"the logit SQNR is {record.sqnr_db:.1f} dB, {lacking:.1f} dB short of the {record.min_sqnr_db:.1f} that "
            f"keep {kept}; {_what_would_meet(record)}"
        )
    return tuple(missed)


def _what_would_meet(record: Int8Record) -> str:
    enough = [p.size_mib for p in record.frontier if p.sqnr_db >= (record.min_sqnr_db or 0.0)]
    if not enough or record.max_size_mib is None:
        return "q8w or q16 would" if record.recipe == "accurate" else "the recipe accurate, q8w or q16 would"
    if min(enough) > record.max_size_mib:
        return f"a limit of {np.ceil(10 * min(enough)) / 10:.1f} MiB is predicted to meet it"
    return "fewer INT8 layers would: pin the most harmful ones of the sensitivity table with --keep-float"


def _candidates(workshop: Int8Workshop, recipe: Int8Recipe, arithmetic: Arithmetic) -> tuple[Candidate, ...]:
    """Prepares the groups that may take an arithmetic, each with the bias corrections that it needs by itself."""
    groups = [group for group in workshop.groups if arithmetic in arithmetics_of(group, recipe)]
    layers = [layer for group in groups for layer in group.layers]
    rounding = {layer.name: workshop.quantizer.layer_overrides(layer, arithmetic, workshop.amax) for layer in layers}
    corrections = local_corrections(
        workshop.graph,
        rounding,
        [layer for layer in layers if layer.name in workshop.biases],
        workshop.images.fitted.first(2 * BATCH_SIZE),
    )
    candidates = []
    for group in groups:
        own = [layer.name for layer in group.layers]
        overrides = {key: value for name in own for key, value in rounding[name].items()}
        added = {name: corrections[name] for name in own if name in corrections}
        overrides.update(with_added_biases(workshop.graph, added, workshop.biases))
        candidates.append(Candidate(group.name, arithmetic, overrides, own[0]))
    return tuple(candidates)


def _noises(
    workshop: Int8Workshop, recipe: Int8Recipe, measurement: Measurement
) -> dict[tuple[str, Arithmetic], float]:
    found = {
        (group.name, arithmetic): measurement.noise(group.name, arithmetic)
        for group in workshop.groups
        for arithmetic in arithmetics_of(group, recipe)
    }
    return {key: noise for key, noise in found.items() if noise is not None}


def _choices_by_policy(workshop: Int8Workshop, recipe: Int8Recipe) -> dict[str, Choice]:
    """Settles the layers by their kind and the pins of the command line."""
    require_known_patterns(workshop.groups, recipe)
    choices = choices_from_policy(workshop.layers, recipe.policy)
    for group in workshop.groups:
        offered = arithmetics_of(group, recipe)
        if any(first_match(layer.name, (*recipe.keep_float, *recipe.quantize)) for layer in group.layers):
            reason = "kept float by --keep-float" if offered[0] is Arithmetic.FLOAT else ""
            choices.update({layer.name: Choice(offered[0], reason) for layer in group.layers})
    return choices


def _best_attempt(
    workshop: Int8Workshop, recipe: Int8Recipe, noises: Mapping[tuple[str, Arithmetic], float], aim: float
) -> Attempt:
    """Settles, builds and judges, tightening and loosening until the aim is met and little more than met.

    Noise adds up only roughly, and repairs take away more of it where there is more, so that takes a few rounds.
    """
    group_weights = sum(2 * group.weights for group in workshop.groups)
    base = workshop.float_bytes - group_weights
    predicted_aim, byte_limit = aim, recipe.max_size_mib * MIB - base
    best: Attempt | None = None
    tried: list[Mapping[str, Choice]] = []
    for _ in progress_bar(range(_ATTEMPTS), "settling layers", unit="attempt"):
        power = power_from_db(workshop.signal_variance, predicted_aim)
        settlement = settled(workshop.groups, noises, recipe, power, byte_limit)
        if settlement.choices in tried:
            break
        tried.append(settlement.choices)
        attempt = attempted(workshop, recipe, settlement.choices, settlement)
        surplus = attempt.verdict.sqnr_db - aim
        excess = attempt.model.ByteSize() - recipe.max_size_mib * MIB
        if best is None or _merit(attempt, recipe, aim) > _merit(best, recipe, aim):
            best = attempt
        if 0 <= surplus <= _CLOSE_DB and excess <= 0:
            break
        predicted_aim -= surplus - _MARGIN_DB
        byte_limit -= max(excess, 0)
    if best is None:
        raise RuntimeError("no attempt was made")
    return best


def _merit(attempt: Attempt, recipe: Int8Recipe, aim: float) -> tuple[bool, float, float]:
    """Ranks attempts: within the size limit, close to the aim, much of the work in INT8."""
    float_macs = attempt.settlement.assignment.float_macs if attempt.settlement else 0
    return attempt.size_mib <= recipe.max_size_mib, min(attempt.verdict.sqnr_db, aim), -float_macs
