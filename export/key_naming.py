"""Names of an EfficientNet's tensors: EfficientNet-PyTorch's and torchvision's become timm's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

Naming = Literal["timm", "efficientnet-pytorch", "torchvision"]


@dataclass(frozen=True)
class Backbone:
    """Where a checkpoint holds an EfficientNet.

    Attributes:
        naming: Whose names its tensors have.
        prefix: What precedes them, such as `module.encoder.`.
    """

    naming: Naming
    prefix: str


def backbones_in(weights: Mapping[str, torch.Tensor]) -> tuple[Backbone, ...]:
    """Returns every EfficientNet of a checkpoint, found where the weight of its stem stands."""
    raise NotImplementedError


def timm_named(weights: Mapping[str, torch.Tensor], backbone: Backbone) -> dict[str, torch.Tensor]:
    """Returns the tensors of a backbone under timm's names, without its classifier.

    What stands under the prefix and is no part of the backbone is left out.

    Raises:
        CheckpointError: A tensor of the backbone has no counterpart.
    """
    raise NotImplementedError


def architectures_of(tensors: Mapping[str, torch.Tensor], backbone: Backbone) -> tuple[str, ...]:
    """Returns the architectures, spelled as the naming's own project does, whose shapes the tensors have.

    Args:
        tensors: What `timm_named` returned.
        backbone: Where they come from.
    """
    raise NotImplementedError
