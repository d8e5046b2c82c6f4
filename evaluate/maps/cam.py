"""Class-activation maps: how much each place of the image adds to the fake logit.

With global average pooling and one linear layer, the logit is the mean of a map plus the bias,

    logit = mean_xy M(x, y) + b,    M(x, y) = sum_c w_c A_c(x, y),

where A is the last activation and w the classifier's weight (Zhou et al., CVPR 2016, arXiv 1512.04150). For such
networks the map is an exact additive decomposition. Any other network gets a HiResCAM (`evaluate.maps.hirescam`), which
is the same map where both exist, and elsewhere no decomposition. Maps are signed and as coarse as A: positive values
speak for fake, negative ones for real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evaluate.maps.errors import CamError
from evaluate.maps.hirescam import gradient_maps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.maps.cam_method import CamMethod

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class CamResult:
    """Maps and logits of a batch.

    Attributes:
        maps: Signed low-resolution maps, float32 of shape (N, h, w). Of additive ones the mean over h and w plus the
            bias is the logit.
        logits: Fake logits, float32 of shape (N,).
        method: How the maps came about.
    """

    maps: NDArray[np.float32]
    logits: NDArray[np.float32]
    method: CamMethod = "additive"


def class_activation_maps(module: nn.Module, images: NDArray[np.float32]) -> CamResult:
    """Computes the maps: additive ones where they add up to the logits of the same pass, HiResCAMs otherwise.

    Args:
        module: A timm network in eval mode with one output.
        images: Normalized images, shape (N, 3, size, size).

    Raises:
        CamError: The network has several outputs, is in training mode, or keeps no places apart.
    """
    network = _timm_network(module)
    batch = torch.from_numpy(images).to(next(module.parameters()).device)
    with torch.no_grad():
        features = network.forward_features(batch)
        logits = network.forward_head(features)
    if logits.ndim != 2 or logits.shape[1] != 1:
        raise CamError(f"the network gives logits of shape {tuple(logits.shape)}; expected one output, (N, 1)")
    logits = logits[:, 0].double()
    maps = _additive_maps(network.get_classifier(), features, logits)
    method: CamMethod = "hirescam" if maps is None else "additive"
    if maps is None:
        maps = gradient_maps(network, batch, features)
    return CamResult(maps.float().cpu().numpy(), logits.float().cpu().numpy(), method)


def _timm_network(module: nn.Module) -> Any:
    if not all(hasattr(module, name) for name in ("forward_features", "forward_head", "get_classifier")):
        raise CamError(f"{type(module).__name__} is not a timm network; class-activation maps need one")
    if module.training:
        raise CamError("the network is in training mode, where its logits depend on the batch; call eval() first")
    return module


def _additive_maps(classifier: object, features: object, logits: torch.Tensor) -> torch.Tensor | None:
    """Returns maps (N, h, w) that add up to the logits, None if there are no such maps of the last activation."""
    if not isinstance(classifier, nn.Linear) or not isinstance(features, torch.Tensor) or features.ndim != 4:
        return None
    channels = classifier.in_features
    axis = next((axis for axis in (1, 3) if features.shape[axis] == channels), None)
    if axis is None:
        return None
    maps = torch.tensordot(features.double(), classifier.weight[0].detach().double(), dims=([axis], [0]))
    bias = 0.0 if classifier.bias is None else float(classifier.bias.detach())
    gap = (maps.mean(dim=(1, 2)) + bias - logits).abs()
    return maps if bool((gap <= _TOLERANCE * (1.0 + logits.abs())).all()) else None
