"""Readings of a checkpoint: what its weights leave open, spelled out as contracts to be tried on labelled faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluate.inspection.architectures import Candidate
from evaluate.inspection.recognition import native_size
from export.checkpoints.families import architectures_of_family

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.contract import ModelContract

# What projects normalize by: timm and torchvision; AdvProp, Inception and DeepfakeBench; none but pixels over 255.
NORMALIZATIONS = {
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "0.5 / 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "x / 255": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
# What detectors of the literature are fed beside the size that their network was designed for.
_USUAL_SIZES = (224, 256, 380)


@dataclass(frozen=True)
class Reading:
    """A way to read a checkpoint.

    Attributes:
        network: Family, architecture and padding in words; equal for readings that compute the same function.
        normalization: In words.
        contract: All of it.
    """

    network: str
    normalization: str
    contract: ModelContract


def plausible_readings(
    start: ModelContract, candidates: Sequence[Candidate], sizes: Sequence[int]
) -> tuple[Reading, ...]:
    """Returns every reading that differs from `start` in network, normalization or size only, `start` first.

    Args:
        start: The contract to start from.
        candidates: Networks of other function that the tensors fit.
        sizes: Image sizes to try.
    """
    own = _normalization_name(start)
    normalizations = {own: (start.input.mean, start.input.std), **NORMALIZATIONS}
    found = [
        Reading(
            network_text(variant), name, replace(variant, input=replace(start.input, size=size, mean=mean, std=std))
        )
        for size in sizes
        for variant in _variants(start, candidates, size)
        for name, (mean, std) in normalizations.items()
    ]
    first = [reading for reading in found if reading.contract == start]
    return tuple(dict.fromkeys([*first, *found]))


def sizes_to_try(start: ModelContract, candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """Returns usual image sizes and those that the candidates were designed for, ascending."""
    native = [native_size(candidate) for candidate in candidates]
    return tuple(sorted({*_USUAL_SIZES, *native, start.input.size}))


def network_text(contract: ModelContract) -> str:
    """Returns family, architecture and padding in words."""
    padding = ""
    if contract.family in ("efficientnet-pytorch", "deepfakebench"):
        size = contract.padding_size
        padding = " padded for its own size" if size is None else f" padded for {size}" if size else " padded as fed"
    return f"{contract.family} {contract.architecture}{padding}"


def _variants(start: ModelContract, candidates: Sequence[Candidate], size: int) -> tuple[ModelContract, ...]:
    networks = [start]
    networks += [
        replace(start, family=candidate.family, architecture=candidate.architecture, padding_size=None)
        for candidate in candidates
        if candidate.architecture in architectures_of_family(candidate.family)
    ]
    for network in tuple(networks):
        if network.family == "efficientnet-pytorch":
            own = native_size(Candidate(network.family, network.architecture))
            networks += [replace(network, padding_size=padding) for padding in {size, 0} - {own}]
    return tuple(dict.fromkeys(networks))


def _normalization_name(contract: ModelContract) -> str:
    own = (contract.input.mean, contract.input.std)
    return next((name for name, numbers in NORMALIZATIONS.items() if numbers == own), "as declared")
