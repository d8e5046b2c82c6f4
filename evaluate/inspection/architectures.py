"""Which networks the tensors of a checkpoint may be: by names and shapes, never by the size of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import timm
import torch

from export.checkpoints.backbone_weights import backbone_keys, placed_backbones
from export.checkpoints.key_naming import Backbone, architectures_of, backbones_in, timm_named
from export.errors import CheckpointError
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from export.contract import Family

# End of a key that only such networks have -> timm's names of those that people fine-tune.
_KINDS: dict[str, tuple[str, ...]] = {
    "conv_stem.weight": (
        "tf_efficientnetv2_s", "tf_efficientnetv2_m", "tf_efficientnetv2_l", "tf_efficientnetv2_b0",
        "tf_efficientnetv2_b1", "tf_efficientnetv2_b2", "tf_efficientnetv2_b3", "efficientnetv2_rw_t",
        "efficientnetv2_rw_s", "mobilenetv3_large_100", "mobilenetv3_small_100", "mobilenetv2_100", "test_efficientnet",
    ),
    "layer1.0.conv1.weight": (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50d", "resnext50_32x4d",
        "resnext101_32x8d", "wide_resnet50_2", "seresnet50", "test_resnet",
    ),
    "stages.0.blocks.0.conv_dw.weight": (
        "convnext_tiny", "convnext_small", "convnext_base", "convnext_large", "convnextv2_tiny", "convnextv2_base",
        "convnext_nano", "convnext_atto", "test_convnext",
    ),
    "blocks.0.attn.qkv.weight": (
        "vit_base_patch16_224", "vit_small_patch16_224", "vit_tiny_patch16_224", "vit_large_patch16_224",
        "vit_base_patch32_224", "vit_base_patch16_384", "vit_large_patch14_clip_224", "vit_base_patch16_clip_224",
        "test_vit",
    ),
    "layers.0.blocks.0.attn.qkv.weight": (
        "swin_tiny_patch4_window7_224", "swin_small_patch4_window7_224", "swin_base_patch4_window7_224",
        "swinv2_tiny_window8_256",
    ),
    "block1.rep.0.conv1.weight": ("legacy_xception",),
    "blocks.0.stack.conv1.conv_dw.weight": ("xception41", "xception65", "xception71"),
    "features.denseblock1.denselayer1.conv1.weight": ("densenet121", "densenet169", "densenet201"),
    "Mixed_5b.branch1x1.conv.weight": ("inception_v3",),
    "s1.b1.conv1.conv.weight": ("regnety_008", "regnety_032", "regnety_080", "regnety_160"),
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A network that the tensors fit.

    Attributes:
        family: Whose network it is.
        architecture: Its name as the family spells it.
    """

    family: Family
    architecture: str


def candidates_of(weights: Mapping[str, torch.Tensor]) -> tuple[Candidate, ...]:
    """Returns the networks that the tensors have names and shapes of, the likeliest one first; empty if none is known.

    For EfficientNets with timm's names those are two at least: `efficientnet_b5` and `tf_efficientnet_b5` differ in
    padding and epsilon only.
    """
    found: list[Candidate] = []
    for backbone in backbones_in(weights):
        try:
            names = _likeliest_first(architectures_of(timm_named(weights, backbone), backbone), backbone)
        except CheckpointError:
            continue
        found += [Candidate(family, name) for family in _families(backbone) for name in names]
    return tuple(dict.fromkeys(found)) or _by_comparison(weights)


def untrained(architecture: str) -> nn.Module:
    """Builds a timm network without memory for its weights."""
    with torch.device("meta"):
        module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=1)
    return module


def _families(backbone: Backbone) -> Sequence[Family]:
    if backbone.naming == "efficientnet-pytorch":
        # DeepfakeBench's detectors hold the network as `backbone.efficientnet`.
        bench: tuple[Family, ...] = ("deepfakebench", "efficientnet-pytorch")
        return bench if backbone.prefix.endswith("backbone.efficientnet.") else bench[::-1]
    return (backbone.naming,)


def _likeliest_first(names: Sequence[str], backbone: Backbone) -> Sequence[str]:
    # Detectors that call it `encoder`, after the winner of the DFDC, are TensorFlow's networks.
    return names[::-1] if backbone.naming == "timm" and backbone.prefix.endswith("encoder.") else names


def _by_comparison(weights: Mapping[str, torch.Tensor]) -> tuple[Candidate, ...]:
    names = [
        name
        for end, names in _KINDS.items()
        if any(key == end or key.endswith(f".{end}") for key in weights)
        for name in names
        if timm.is_model(name)
    ]
    fitting = [
        name for name in progress_bar(names, "comparing networks", len(names)) if _fits(untrained(name), weights)
    ]
    return tuple(Candidate("timm", name) for name in fitting)


def _fits(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> bool:
    state = module.state_dict()
    try:
        names = backbone_keys(module, "")
    except CheckpointError:
        return False
    return any(
        all(
            backbone.prefix + name in weights and weights[backbone.prefix + name].shape == state[name].shape
            for name in names
            if not name.endswith("num_batches_tracked")
        )
        for backbone in placed_backbones(weights, names)
        if backbone.naming == "timm"
    )
