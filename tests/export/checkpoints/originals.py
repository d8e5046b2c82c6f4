"""EfficientNets as their own projects build them, with random weights whose logits tell images apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from torch import nn
from torch.nn import functional as F

from export.contract import InputContract, ModelContract

if TYPE_CHECKING:
    from collections.abc import Callable

_CELL = 16


@dataclass(frozen=True)
class Original:
    """A project's network, and the contract that declares it.

    Attributes:
        build: Gives the network of a size such as `b0`, with two logits.
        classifier: Its last layer.
        family: Of the contract.
        spelling: What precedes the size in the contract's architecture.
        padding_size: Of the contract.
    """

    build: Callable[[str], nn.Module]
    classifier: str
    family: str
    spelling: str
    padding_size: int | None = None

    def contract(self, size: str, image_size: int = 64) -> ModelContract:
        """Returns the contract of a size such as `b0`."""
        architecture, pixels = f"{self.spelling}{size}", InputContract(image_size)
        family: Any = self.family
        return ModelContract(architecture, pixels, "two-logits", family=family, padding_size=self.padding_size)


class UnpaddedStemNetwork(nn.Module):
    """EfficientNet-PyTorch's network with an unpadded stem and a last layer of its own, as in DeepfakeBench."""

    def __init__(self, size: str) -> None:
        super().__init__()
        self.efficientnet = EfficientNet.from_name(f"efficientnet-{size}")
        channels = self.efficientnet._conv_stem.out_channels
        self.efficientnet._conv_stem = nn.Conv2d(3, channels, 3, stride=2, bias=False)
        self.last_layer = nn.Linear(self.efficientnet._fc.in_features, 2)
        self.efficientnet._fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits, (N, 2)."""
        features = self.efficientnet.extract_features(images)
        logits: torch.Tensor = self.last_layer(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def efficientnet_pytorch(image_size: int | str | None) -> Original:
    """EfficientNet-PyTorch's network, constructed for images of a size; `default` is that of its architecture."""
    options = {} if image_size == "default" else {"image_size": image_size}
    declared = None if image_size == "default" else int(image_size or 0)
    return Original(
        lambda size: EfficientNet.from_name(f"efficientnet-{size}", num_classes=2, **options),
        "_fc",
        "efficientnet-pytorch",
        "efficientnet-",
        declared,
    )


ORIGINALS = {
    **{f"efficientnet-pytorch {size}": efficientnet_pytorch(size) for size in ("default", 380, None)},
    "deepfakebench": Original(UnpaddedStemNetwork, "last_layer", "deepfakebench", "efficientnet-"),
    "torchvision": Original(
        lambda size: torchvision.models.get_model(f"efficientnet_{size}", num_classes=2),
        "classifier.1",
        "torchvision",
        "efficientnet_",
    ),
    "timm": Original(
        lambda size: timm.create_model(f"efficientnet_{size}", num_classes=2), "classifier", "timm", "efficientnet_"
    ),
    "timm tf_": Original(
        lambda size: timm.create_model(f"tf_efficientnet_{size}", num_classes=2),
        "classifier",
        "timm",
        "tf_efficientnet_",
    ),
}


def images_of_size(size: int, count: int, seed: int) -> torch.Tensor:
    """Draws images with coarse and fine structure up to their sides, alike in all sizes, (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    cells = size // _CELL + 2
    coarse = torch.randn(count, 3, cells, cells, generator=generator)
    fine = torch.randn(count, 3, size, size, generator=generator)
    return F.interpolate(coarse, scale_factor=_CELL, mode="bicubic")[:, :, :size, :size] + 0.3 * fine


def randomize(module: nn.Module, classifier: str, seed: int) -> nn.Module:
    """Gives a network random weights, and batch norms statistics near those of their input.

    With statistics that have nothing to do with the input, hardly anything of an image reaches the logits, or errors
    of rounding grow from layer to layer.
    """
    torch.manual_seed(seed)

    def draw(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean = mean + 0.2 * torch.randn_like(mean) * variance.sqrt()
        norm.running_var = variance * torch.empty_like(mean).uniform_(0.6, 1.6)
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, 0, 0.3)

    norms = [layer for layer in module.eval().modules() if isinstance(layer, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(draw) for norm in norms]
    with torch.no_grad():
        module(images_of_size(128, 6, seed))
    for handle in handles:
        handle.remove()
    nn.init.normal_(module.get_submodule(classifier).weight)  # type: ignore[arg-type]
    return module
