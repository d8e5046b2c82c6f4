"""Settles which groups become INT8: options from what was measured, pins from the command line, one exact solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.assignment import Assignment, Option, fewest_float_macs, least_noise
from calibration.errors import QuantizationError
from calibration.int8_record import FrontierPoint
from calibration.layers import Role
from calibration.placement import Arithmetic, Choice, first_match, require_matches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.int8_recipe import Int8Recipe
    from calibration.layer_groups import LayerGroup

MIB = 1 << 20
CLASSIFIER_REASON = "the classifier decides and weighs nothing"
# Scales, zero points, names and nodes that a group needs besides its weights, in bytes.
_PER_CHANNEL = 3
_PER_LAYER = 900
_FRONTIER_POINTS = 12
# These gain nothing from INT8 arithmetic: depthwise layers are bound by memory, gates are a thousandth of the work.
_NOT_WORTH_INT8 = frozenset({Role.STEM, Role.DEPTHWISE, Role.SQUEEZE_EXCITE})


@dataclass(frozen=True)
class Settlement:
    """What the search settled.

    Attributes:
        choices: Layer -> how it is stored and computed, and why.
        assignment: The solution.
        options: The options of each group, which the solution indexes.
    """

    choices: Mapping[str, Choice]
    assignment: Assignment
    options: tuple[tuple[Option, ...], ...]


def arithmetics_of(group: LayerGroup, recipe: Int8Recipe) -> tuple[Arithmetic, ...]:
    """Returns the arithmetics that the search may choose from for a group.

    Raises:
        QuantizationError: A group is both to be kept float and to be quantized.
    """
    pinned_float = any(first_match(layer.name, recipe.keep_float) for layer in group.layers)
    pinned_int8 = any(first_match(layer.name, recipe.quantize) for layer in group.layers)
    if pinned_float and pinned_int8:
        raise QuantizationError(f"{group.name} matches both --keep-float and --quantize; narrow one of the patterns")
    if pinned_float:
        return (Arithmetic.FLOAT,)
    if pinned_int8:
        return (Arithmetic.INT8,)
    if group.role is Role.CLASSIFIER:
        return (Arithmetic.FLOAT,)
    if group.role in _NOT_WORTH_INT8:
        return (Arithmetic.INT8_WEIGHTS, Arithmetic.FLOAT)
    return (Arithmetic.INT8, Arithmetic.INT8_WEIGHTS, Arithmetic.FLOAT)


def require_known_patterns(groups: Sequence[LayerGroup], recipe: Int8Recipe) -> None:
    """Refuses patterns of the command line that match no layer.

    Raises:
        QuantizationError: A pattern matches nothing.
    """
    layers = tuple(layer for group in groups for layer in group.layers)
    require_matches((*recipe.keep_float, *recipe.quantize), layers)


def settled(
    groups: Sequence[LayerGroup],
    noises: Mapping[tuple[str, Arithmetic], float],
    recipe: Int8Recipe,
    max_noise: float,
    max_bytes: float,
) -> Settlement:
    """Chooses the arithmetic of every group.

    Args:
        groups: All groups, in graph order.
        noises: (group, arithmetic) -> noise power on the logit; missing for what is pinned or float.
        recipe: Pins.
        max_noise: Largest noise power of all together.
        max_bytes: Most bytes of all groups together.
    """
    options = tuple(_options(group, arithmetics_of(group, recipe), noises) for group in groups)
    assignment = fewest_float_macs(options, max_noise, max_bytes)
    choices: dict[str, Choice] = {}
    for group, offered, index in zip(groups, options, assignment.chosen, strict=True):
        choice = Choice(offered[index].arithmetic, _reason(group, offered, index, recipe))
        choices.update({layer.name: choice for layer in group.layers})
    return Settlement(choices, assignment, options)


def frontier(
    settlement: Settlement, base_bytes: int, signal_variance: float, total_macs: int
) -> tuple[FrontierPoint, ...]:
    """Returns the best predicted accuracy at sizes from the smallest to the largest, with the settled one marked.

    Args:
        settlement: What was settled, with every group's options.
        base_bytes: Bytes of the file that belong to no group.
        signal_variance: Within-class variance of the FP32 logit.
        total_macs: Operations per image.
    """
    points = []
    for weight_only in (True, False):
        options = [
            [o for o in group if weight_only or o.arithmetic is not Arithmetic.INT8_WEIGHTS or len(group) == 1]
            for group in settlement.options
        ]
        smallest = sum(min(option.size_bytes for option in group) for group in options)
        largest = sum(max(option.size_bytes for option in group) for group in options)
        for limit in np.unique(np.linspace(smallest, largest, _FRONTIER_POINTS).astype(int)):
            best = least_noise(options, float(limit))
            if best is not None:
                points.append(_point(best, base_bytes, signal_variance, total_macs, weight_only))
    chosen = _point(settlement.assignment, base_bytes, signal_variance, total_macs, weight_only=True)
    return (*dict.fromkeys(points), FrontierPoint(**{**vars(chosen), "chosen": True}))


def _point(
    assignment: Assignment, base_bytes: int, signal_variance: float, total_macs: int, weight_only: bool
) -> FrontierPoint:
    sqnr = 10 * np.log10(signal_variance / max(assignment.noise, 1e-10 * signal_variance))
    return FrontierPoint(
        size_mib=(base_bytes + assignment.size_bytes) / MIB,
        sqnr_db=float(sqnr),
        int8_mac_share=1 - assignment.float_macs / max(total_macs, 1),
        weight_only=weight_only,
    )


def _options(
    group: LayerGroup, arithmetics: Sequence[Arithmetic], noises: Mapping[tuple[str, Arithmetic], float]
) -> tuple[Option, ...]:
    return tuple(
        Option(
            arithmetic=arithmetic,
            noise=noises.get((group.name, arithmetic), 0.0),
            size_bytes=group_bytes(group, arithmetic),
            float_macs=0 if arithmetic is Arithmetic.INT8 else group.macs,
        )
        for arithmetic in arithmetics
    )


def group_bytes(group: LayerGroup, arithmetic: Arithmetic) -> int:
    """Estimates what a group takes in an ONNX file."""
    if arithmetic is Arithmetic.FLOAT:
        return (4 if group.role is Role.CLASSIFIER else 2) * group.weights
    return group.weights + _PER_CHANNEL * group.channels + _PER_LAYER * len(group.layers)


def _reason(group: LayerGroup, offered: Sequence[Option], index: int, recipe: Int8Recipe) -> str:
    arithmetic = offered[index].arithmetic
    if arithmetic is Arithmetic.INT8:
        return ""
    if any(first_match(layer.name, recipe.keep_float) for layer in group.layers):
        return "kept float by --keep-float"
    if group.role is Role.CLASSIFIER:
        return CLASSIFIER_REASON
    if arithmetic is Arithmetic.INT8_WEIGHTS:
        if group.role in _NOT_WORTH_INT8:
            return f"{group.role.value} layers gain little from INT8 arithmetic"
        return "its INT8 activations would take too much of the noise limit"
    return "left in FP16: its INT8 weights would take too much of the noise limit"
