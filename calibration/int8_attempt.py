"""One complete INT8 variant: placed, repaired, written and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.int8_workshop import Repaired
from calibration.placement import Arithmetic, Choice, Placement, placement_from_choices

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from calibration.int8_choices import Settlement
    from calibration.int8_recipe import Int8Recipe
    from calibration.int8_workshop import Int8Workshop, Verdict

_MIB = 1 << 20


@dataclass(frozen=True)
class Attempt:
    """One complete variant.

    Attributes:
        settlement: What the search settled; None if the recipe settled it.
        placement: Where its Q/DQ pairs are.
        choices: Layer -> arithmetic, and why.
        repaired: Its repairs.
        model: The written graph.
        verdict: How close it is to FP32.
        equalized_tensors: Number of tensors that were equalized for it.
    """

    settlement: Settlement | None
    placement: Placement
    choices: Mapping[str, Choice]
    repaired: Repaired
    model: onnx.ModelProto
    verdict: Verdict
    equalized_tensors: int

    @property
    def quantized(self) -> list[str]:
        """Its INT8 layers."""
        return _quantized(self.choices)

    @property
    def size_mib(self) -> float:
        """Size of the written graph, in MiB."""
        return float(self.model.ByteSize()) / _MIB


def attempted(
    workshop: Int8Workshop, recipe: Int8Recipe, choices: Mapping[str, Choice], settlement: Settlement | None
) -> Attempt:
    """Makes the variant of a choice for every layer; lets its workshop go, which holds the network several times."""
    own = workshop.narrowed(_quantized(choices))
    placement = placement_from_choices(own.model.graph, choices, recipe.policy.residual)
    repaired = own.repaired(placement) if recipe.repairs else Repaired()
    model = own.written(placement, repaired)
    if recipe.repairs:
        repaired, model = own.aligned_as_written(placement, repaired, model)
    return Attempt(settlement, placement, choices, repaired, model, own.verdict(model), len(own.equalized))


def _quantized(choices: Mapping[str, Choice]) -> list[str]:
    return [name for name, choice in choices.items() if choice.arithmetic is Arithmetic.INT8]
