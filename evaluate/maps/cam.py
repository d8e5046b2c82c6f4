"""Class-activation maps: how much each place of the image adds to the fake logit.

With global average pooling and one linear layer, the logit is the mean of a map plus the bias,

    logit = mean_xy M(x, y) + b,    M(x, y) = sum_c w_c A_c(x, y),

where A is the last activation and w the classifier's weight (Zhou et al., CVPR 2016, arXiv 1512.04150). For such
networks the map is an exact additive decomposition and equals HiResCAM (Draelos and Carin, arXiv 2011.08891). It is
signed and as coarse as A: positive values speak for fake, negative ones for real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from export.errors import SignoffError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOLERANCE = 1e-3


class CamError(SignoffError):
    """A network whose logit is not the mean of a class-activation map."""


@dataclass(frozen=True)
class CamResult:
    """Maps and logits of a batch.

    Attributes:
        maps: Signed low-resolution maps, float32 of shape (N, h, w); mean over h and w plus the bias is the logit.
        logits: Fake logits, float32 of shape (N,).
    """

    maps: NDArray[np.float32]
    logits: NDArray[np.float32]


def class_activation_maps(module: nn.Module, images: NDArray[np.float32]) -> CamResult:
    """Computes the maps in one forward pass and checks each against the logit of the same pass.

    Args:
        module: A timm network in eval mode with global average pooling and a linear classifier of one output.
        images: Normalized images, shape (N, 3, size, size).

    Raises:
        CamError: The network has another head, is in training mode, or a map does not add up to its logit.
    """
    classifier = _linear_classifier(module)
    device = classifier.weight.device
    with torch.inference_mode():
        features = module.forward_features(torch.from_numpy(images).to(device))  # type: ignore[operator]  # timm's
        logits = module.forward_head(features).reshape(-1).double()  # type: ignore[operator]  # timm's
        if features.ndim != 4 or features.shape[1] != classifier.in_features:
            raise CamError(
                f"the last activation has shape {tuple(features.shape)}; expected (N, {classifier.in_features}, h, w) "
                "from a convolutional network"
            )
        maps = torch.einsum("nchw,c->nhw", features.double(), classifier.weight[0].double())
        bias = 0.0 if classifier.bias is None else float(classifier.bias)
        _require_additive(maps.mean(dim=(1, 2)) + bias, logits)
    return CamResult(maps.float().cpu().numpy(), logits.float().cpu().numpy())


def _linear_classifier(module: nn.Module) -> nn.Linear:
    if not all(hasattr(module, name) for name in ("forward_features", "forward_head", "get_classifier")):
        raise CamError(f"{type(module).__name__} is not a timm network; class-activation maps need one")
    classifier = module.get_classifier()  # type: ignore[operator]  # a method of every timm model
    if not isinstance(classifier, nn.Linear) or classifier.out_features != 1:
        raise CamError(f"the classifier is {classifier}; expected one linear layer with one output")
    if module.training:
        raise CamError("the network is in training mode, where its logits depend on the batch; call eval() first")
    return classifier


def _require_additive(sums: torch.Tensor, logits: torch.Tensor) -> None:
    gap = (sums - logits).abs()
    excess = gap - _TOLERANCE * (1.0 + logits.abs())
    worst = int(excess.argmax())
    if not bool((excess <= 0).all()):
        raise CamError(
            f"the map of image {worst} sums to {float(sums[worst]):.5f} and its logit is {float(logits[worst]):.5f}; "
            "expected them equal, as global average pooling and a linear classifier make them"
        )
