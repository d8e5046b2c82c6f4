"""Names of an EfficientNet's tensors: EfficientNet-PyTorch's and torchvision's become timm's.

`_bn1`, `bn1` and `bn2` are other layers at the top, in the first stage, whose blocks do not expand, and in later ones.
Version 2 has blocks of another kind in front, whose depthwise convolution is fused with what expands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import timm
import torch

from export.checkpoints.efficientnet_sizes import EFFICIENTNET_SIZES, EFFICIENTNET_V2_SIZES
from export.checkpoints.families import architectures_of_family
from export.checkpoints.layer_names import FIRST_STAGE, LATER_STAGES, TOP, layers_in_torchvision
from export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.checkpoints.layer_names import LayerNames, Naming

# Weight of the stem -> start of a key that a network of another kind with a stem of this name does not have.
_STEMS: dict[Naming, tuple[str, str]] = {
    "timm": ("conv_stem.weight", "blocks.0.0."),
    "efficientnet-pytorch": ("_conv_stem.weight", "_blocks.0."),
    # The batch norm of a block, which ConvNeXt, Swin and MobileNet do not have there.
    "torchvision": ("features.0.0.weight", "features.1.0.block.0.1."),
}
# No leading zero, with which two keys would be the same number, and no number too long for int().
_NUMBER = "(0|[1-9][0-9]{0,3})"


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
    """Returns every EfficientNet of a checkpoint, found where the weight of its stem stands.

    With timm's names those are all networks that timm builds of the same parts, such as EfficientNetV2.
    """
    found = []
    for key, weight in weights.items():
        for naming, (stem, evidence) in _STEMS.items():
            prefix = key.removesuffix(stem)
            if prefix == key or not (prefix == "" or prefix.endswith(".")):
                continue
            convolves_images = weight.ndim == 4 and weight.shape[1:] == (3, 3, 3)
            if convolves_images and any(other.startswith(prefix + evidence) for other in weights):
                found.append(Backbone(naming, prefix))
    return tuple(found)


def timm_named(weights: Mapping[str, torch.Tensor], backbone: Backbone) -> dict[str, torch.Tensor]:
    """Returns the tensors of a backbone under timm's names, without its classifier.

    What stands under the prefix and is no part of the backbone is left out.

    Raises:
        CheckpointError: A tensor of the backbone has no counterpart.
    """
    own = {
        key.removeprefix(backbone.prefix): value for key, value in weights.items() if key.startswith(backbone.prefix)
    }
    if backbone.naming == "timm":
        return {key: value for key, value in own.items() if key.partition(".")[0] in TOP["timm"]}
    if backbone.naming == "torchvision":
        layers = layers_in_torchvision(own)
        places = {key: _place_in_torchvision(key, layers) for key in own if key.startswith("features.")}
    else:
        starts = tuple(f"{name}." for name in (*TOP[backbone.naming], "_blocks"))
        stages = _stages_of_blocks(own, backbone)
        places = {key: _place_in_efficientnet_pytorch(key, stages) for key in own if key.startswith(starts)}
    return {_timm_name(key, place, backbone): own[key] for key, place in places.items()}


def architectures_of(tensors: Mapping[str, torch.Tensor], backbone: Backbone) -> tuple[str, ...]:
    """Returns the architectures, spelled as the naming's own project does, whose shapes the tensors have.

    Args:
        tensors: What `timm_named` returned.
        backbone: Where they come from.
    """
    places = {
        tuple(map(int, match.groups()))
        for key in tensors
        if (match := re.match(rf"blocks\.{_NUMBER}\.{_NUMBER}\.", key))
    }
    blocks = tuple(sum(place[0] == stage for place in places) for stage in range(len({stage for stage, _ in places})))
    sizes = [
        size
        for size, scaling in EFFICIENTNET_SIZES.items()
        if blocks == scaling.blocks and _fit(tensors, _shapes_of(f"efficientnet_{size}"))
    ]
    if backbone.naming == "timm":
        return tuple(f"{start}efficientnet_{size}" for size in sizes for start in ("", "tf_"))
    sizes += [
        f"v2_{size}"
        for size, scaling in EFFICIENTNET_V2_SIZES.items()
        if blocks == scaling.blocks and _fit(tensors, _shapes_of(f"efficientnetv2_{size}"))
    ]
    names = architectures_of_family(backbone.naming)
    return tuple(name for name in names if re.split("[-_]", name, maxsplit=1)[1] in sizes)


@dataclass(frozen=True)
class _Place:
    """Where a tensor stands: stage and block, both None outside of blocks, then the layer and the tensor of it.

    Layers have the names that they have in blocks of that kind.
    """

    stage: int | None
    block: int | None
    layer: str
    tensor: str
    layers: LayerNames


def _place_in_efficientnet_pytorch(key: str, stages: Mapping[int, tuple[int, int]]) -> _Place:
    path, _, tensor = key.rpartition(".")
    match = re.fullmatch(rf"_blocks\.{_NUMBER}\.(.+)", path)
    if not match:
        return _Place(None, None, path, tensor, TOP)
    stage, block = stages[int(match[1])]
    return _Place(stage, block, match[2], tensor, FIRST_STAGE if stage == 0 else LATER_STAGES)


def _place_in_torchvision(key: str, layers: Mapping[int, LayerNames]) -> _Place:
    path, _, tensor = key.rpartition(".")
    match = re.fullmatch(rf"features\.([1-7])\.{_NUMBER}\.block\.(.+)", path)
    if match and int(match[1]) in layers:
        return _Place(int(match[1]) - 1, int(match[2]), match[3], tensor, layers[int(match[1])])
    head = f"features.{max(layers, default=0) + 1}."
    return _Place(None, None, f"head.{path.removeprefix(head)}" if path.startswith(head) else path, tensor, TOP)


def _stages_of_blocks(weights: Mapping[str, torch.Tensor], backbone: Backbone) -> dict[int, tuple[int, int]]:
    """Returns stage and place in it of EfficientNet-PyTorch's blocks, which are numbered through.

    Blocks of a stage add their input to their output, so a stage ends where the number of channels changes.
    """
    numbers = {int(match[1]) for key in weights if (match := re.match(rf"_blocks\.{_NUMBER}\.", key))}
    channels = {}
    for number in range(max(numbers, default=-1) + 1):
        key = f"_blocks.{number}._project_conv.weight"
        if key not in weights:
            raise CheckpointError(
                f"{backbone.prefix}{key} is missing; expected one in every block, so save all of the network"
            )
        channels[number] = weights[key].shape[:1]
    places = {0: (0, 0)}
    for before, number in pairwise(channels):
        stage, block = places[before]
        places[number] = (stage, block + 1) if channels[number] == channels[before] else (stage + 1, 0)
    return places


def _timm_name(key: str, place: _Place, backbone: Backbone) -> str:
    layer = place.layers[backbone.naming].get(place.layer)
    if layer is None:
        raise CheckpointError(
            f"{backbone.prefix}{key} is no tensor of an EfficientNet as {backbone.naming} names them; expected the "
            "state dict of an unchanged network, so save that or give the tensors timm's names"
        )
    start = "" if place.stage is None else f"blocks.{place.stage}.{place.block}."
    return f"{start}{layer}.{place.tensor}"


@cache
def _shapes_of(architecture: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        module = timm.create_model(architecture, pretrained=False, num_classes=0)
    return {key: value.shape for key, value in module.state_dict().items()}


def _fit(tensors: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]) -> bool:
    return all(shapes.get(key) == value.shape for key, value in tensors.items())
