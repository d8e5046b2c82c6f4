"""Writes weights of an exported graph, whose batch norms are folded into them, back into the PyTorch network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.utils.hooks import RemovableHandle

_SMALLEST_GAIN = 1e-8


def batch_norms_behind(module: nn.Module, image: torch.Tensor) -> dict[str, str]:
    """Finds the batch norm that reads the output of each convolution, by running the network once.

    Args:
        module: The network, in eval mode.
        image: One normalized image (1, 3, size, size).

    Returns:
        Name of a convolution -> name of its batch norm; convolutions without one are left out.
    """
    outputs: dict[int, tuple[str, torch.Tensor]] = {}
    found: dict[str, str] = {}
    handles: list[RemovableHandle] = []

    def remember(name: str) -> Any:
        # The tensor is kept, because the address of one that is gone is given to the next.
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            outputs[id(output)] = (name, output)

        return hook

    def recognize(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            if id(inputs[0]) in outputs:
                found[outputs[id(inputs[0])][0]] = name

        return hook

    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            handles.append(layer.register_forward_hook(remember(name)))
        elif isinstance(layer, _BatchNorm):
            handles.append(layer.register_forward_pre_hook(recognize(name)))
    try:
        with torch.no_grad():
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def state_with_folded_weights(
    module: nn.Module, image: torch.Tensor, weights: Mapping[str, torch.Tensor], biases: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Returns the network's state with some layers computing what the exported graph's would.

    A batch norm keeps its statistics and gain; its offset takes the bias. Zeros of a weight stay zeros. The weight of a
    channel whose batch norm has no gain is left as it is, because nothing passes.

    Args:
        module: The network, in eval mode; left alone.
        image: One normalized image (1, 3, size, size), to find the batch norms with.
        weights: Layer -> its weight with the batch norm behind it folded in, of the layer's shape.
        biases: Layer -> its bias likewise, (outputs,).
    """
    state = {name: value.clone() for name, value in module.state_dict().items()}
    norms = batch_norms_behind(module, image)
    for name, folded in weights.items():
        key = f"{name}.weight"
        folded = folded.to(state[key])
        if name not in norms:
            state[key] = folded
            if f"{name}.bias" in state:
                state[f"{name}.bias"] = biases[name].to(folded)
            continue
        norm: Any = module.get_submodule(norms[name])
        gain = state[f"{norms[name]}.weight"] / torch.sqrt(state[f"{norms[name]}.running_var"] + norm.eps)
        passes = gain.abs() > _SMALLEST_GAIN
        shape = (-1, *(1,) * (folded.ndim - 1))
        state[key] = torch.where(passes.view(shape), folded / torch.where(passes, gain, 1.0).view(shape), state[key])
        mean = state[f"{norms[name]}.running_mean"]
        own = state.get(f"{name}.bias", torch.zeros_like(mean))
        state[f"{norms[name]}.bias"] = biases[name].to(mean) + gain * (mean - own)
    return state
