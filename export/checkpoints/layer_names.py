"""What each project calls the layers of an EfficientNet and what timm does, at the top and in each kind of block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Naming = Literal["timm", "efficientnet-pytorch", "torchvision"]
# Whose names -> their name of a layer -> timm's.
LayerNames = dict[Naming, dict[str, str]]

TOP: LayerNames = {
    "timm": {name: name for name in ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "norm_head")},
    "efficientnet-pytorch": {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"},
    "torchvision": {
        "features.0.0": "conv_stem",
        "features.0.1": "bn1",
        "head.0": "conv_head",
        "head.1": "bn2",
    },
}
FIRST_STAGE: LayerNames = {
    "efficientnet-pytorch": {
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn1",
        "_se_reduce": "se.conv_reduce",
        "_se_expand": "se.conv_expand",
        "_project_conv": "conv_pw",
        "_bn2": "bn2",
    },
    "torchvision": {
        "0.0": "conv_dw",
        "0.1": "bn1",
        "1.fc1": "se.conv_reduce",
        "1.fc2": "se.conv_expand",
        "2.0": "conv_pw",
        "2.1": "bn2",
    },
}
LATER_STAGES: LayerNames = {
    "efficientnet-pytorch": {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_se_reduce": "se.conv_reduce",
        "_se_expand": "se.conv_expand",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    },
    "torchvision": {
        "0.0": "conv_pw",
        "0.1": "bn1",
        "1.0": "conv_dw",
        "1.1": "bn2",
        "2.fc1": "se.conv_reduce",
        "2.fc2": "se.conv_expand",
        "3.0": "conv_pwl",
        "3.1": "bn3",
    },
}
FUSED: LayerNames = {"torchvision": {"0.0": "conv_exp", "0.1": "bn1", "1.0": "conv_pwl", "1.1": "bn2"}}
FUSED_WITHOUT_EXPANSION: LayerNames = {"torchvision": {"0.0": "conv", "0.1": "bn1"}}


def layers_in_torchvision(keys: Iterable[str]) -> dict[int, LayerNames]:
    """Returns the names of the layers in the blocks of each stage, the first stage being 1."""
    found: dict[int, set[str]] = {}
    for key in keys:
        if match := re.match(r"features\.([1-7])\.\d+\.block\.([0-3]\.\w+)\.", key):
            found.setdefault(int(match[1]), set()).add(match[2])
    return {stage: _block_of(layers) for stage, layers in found.items()}


def _block_of(layers: set[str]) -> LayerNames:
    """Returns the kind of block that has these layers: fused ones have no squeeze-and-excitation."""
    if "2.fc1" in layers:
        return LATER_STAGES
    if "1.fc1" in layers:
        return FIRST_STAGE
    return FUSED if "1.0" in layers else FUSED_WITHOUT_EXPANSION
