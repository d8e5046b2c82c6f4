"""HiResCAM: gradient of the logit times activation, summed over channels, for networks whose logit is no mean of a map.

Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", arXiv
2011.08891. The map is taken at the last activation that has places and that the logit depends on at all of them: a
convolutional network's last feature map, a transformer's last tokens; or, where the logit is read from a class token,
the patch tokens that the last attention reads, behind their normalization, which would cancel activation and gradient
of what enters it. What a map says holds to first order around the image. It is scaled by the number of places, so that
for global average pooling and a linear classifier it is the additive map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from evaluate.maps.errors import CamError

if TYPE_CHECKING:
    from collections.abc import Callable


def gradient_maps(network: Any, images: torch.Tensor, features: Any) -> torch.Tensor:
    """Returns signed maps, float64 of shape (N, h, w).

    Args:
        network: A timm network in eval mode with one output.
        images: Normalized images (N, 3, size, size).
        features: What its `forward_features` makes of them.

    Raises:
        CamError: The network keeps no places apart, or the logit depends on none of them.
    """
    if not isinstance(features, torch.Tensor) or features.ndim not in (3, 4):
        shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
        raise CamError(f"the last activation is {shape}; expected a feature map (N, C, h, w) or tokens (N, T, C)")
    try:
        product = _product(lambda found: network.forward_head(found), features)
        if features.ndim == 4:
            maps = product.sum(dim=1 if features.shape[1] == network.num_features else 3)
        elif bool(_patches(product, network).any()):
            maps = _on_grid(_patches(product, network), network)
        else:
            maps = _on_grid(_patches(_product_at_last_attention(network, images), network), network)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CamError(f"no place of the image can be traced in a {type(network).__name__}: {reason}") from error
    if not bool(torch.isfinite(maps).all()) or not bool(maps.any()):
        raise CamError(f"the logit of this {type(network).__name__} has no gradient at its last places")
    return maps * maps[0].numel()


def _product(logit_of: Callable[[torch.Tensor], torch.Tensor], activation: torch.Tensor) -> torch.Tensor:
    """Returns activation times gradient of the logit, float64 of the activation's shape."""
    with torch.enable_grad():
        leaf = activation.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(logit_of(leaf).sum(), leaf)
    return leaf.detach().double() * gradient.double()


def _product_at_last_attention(network: Any, images: torch.Tensor) -> torch.Tensor:
    entering: list[torch.Tensor] = []

    def replace(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        entering.append(inputs[0].detach().clone().requires_grad_())
        return (entering[0], *inputs[1:])

    handle = network.blocks[-1].attn.register_forward_pre_hook(replace)
    try:
        with torch.enable_grad():
            logits = network(images)
            (gradient,) = torch.autograd.grad(logits.sum(), entering[0])
    finally:
        handle.remove()
    return entering[0].detach().double() * gradient.double()


def _patches(product: torch.Tensor, network: Any) -> torch.Tensor:
    """Returns the sum over channels (N, patches) without the tokens that stand before the patches."""
    height, width = network.patch_embed.grid_size
    return product.sum(dim=2)[:, product.shape[1] - height * width :]


def _on_grid(patches: torch.Tensor, network: Any) -> torch.Tensor:
    return patches.reshape(len(patches), *network.patch_embed.grid_size)
