"""Removes channels from a network for good: what is left has fewer weights and gives the same output.

The same, provided that nothing reads the removed channels any more: reconstruction sets to zero what does.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from export.checkpoints.narrowing import narrow_to_weights
from export.unfolding import batch_norms_behind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from export.checkpoint import Detector
    from pruning.channel_groups import ChannelGroup

_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


def without_channels(
    detector: Detector, groups: Sequence[ChannelGroup], removed: Mapping[str, Sequence[int]]
) -> Detector:
    """Returns a detector without some channels.

    Args:
        detector: Left alone.
        groups: Channels that can be removed.
        removed: Name of a group -> its channels to remove; groups that are not named keep all.
    """
    state = dict(detector.module.state_dict())
    size = detector.contract.input.size
    norms = batch_norms_behind(detector.module, torch.zeros(1, 3, size, size))
    for group in groups:
        left = torch.ones(group.channels, dtype=torch.bool)
        left[list(removed.get(group.name, ()))] = False
        for key in _tensors_by_channel(group, norms):
            if key in state:
                state[key] = state[key][left]
        for reader in group.readers:
            state[f"{reader.name}.weight"] = state[f"{reader.name}.weight"][:, left]
    module = copy.deepcopy(detector.module)
    narrow_to_weights(module, state)
    module.load_state_dict(state)
    return replace(detector, module=module.eval(), sha256="")


def parameters_per_channel(module: nn.Module, size: int, groups: Sequence[ChannelGroup]) -> dict[str, int]:
    """Returns, by name of a group, how many trainable parameters go with each of its channels."""
    norms = batch_norms_behind(module, torch.zeros(1, 3, size, size))
    parameters = dict(module.named_parameters())
    found = {}
    for group in groups:
        keys = [*_tensors_by_channel(group, norms), *(f"{reader.name}.weight" for reader in group.readers)]
        found[group.name] = sum(parameters[key].numel() for key in keys if key in parameters) // group.channels
    return found


def _tensors_by_channel(group: ChannelGroup, norms: Mapping[str, str]) -> list[str]:
    """Returns the keys of the tensors whose first axis are the group's channels."""
    keys = []
    for writer in group.writers:
        keys += [f"{writer.name}.weight", f"{writer.name}.bias"]
        if writer.name in norms:
            keys += [f"{norms[writer.name]}.{tensor}" for tensor in _NORM_TENSORS]
    return keys
