"""Whose EfficientNet it is: the projects' networks of one name have the same weights and compute different functions.

They differ in the zeros that strided convolutions see at the image's sides and in batch norm's epsilon. Every one is
built here as a timm network, so that all that follows knows one set of names.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, cast, get_args

import timm

from export.checkpoints.efficientnet_sizes import EFFICIENTNET_SIZES, EFFICIENTNET_V2_SIZES
from export.checkpoints.static_padding import fix_padding, unpadded
from export.contract import Family
from export.image_size import SIZE_ERRORS, image_size_options, misfit

if TYPE_CHECKING:
    from torch import nn

    from export.contract import ModelContract

_PROJECTS: dict[Family, str] = {
    "efficientnet-pytorch": "EfficientNet-PyTorch",
    "torchvision": "torchvision",
    "deepfakebench": "DeepfakeBench",
}
_TENSORFLOW_EPSILON, _TORCH_EPSILON = 1e-3, 1e-5
# Ported from EfficientNet-PyTorch; torchvision's smaller ones come from timm.
_TORCHVISION_SIZES_OF_TENSORFLOW = ("b5", "b6", "b7")
# Name in torchvision -> name in timm and epsilon of batch norms.
_TORCHVISION = {
    f"efficientnet_{size}": (
        f"efficientnet_{size}",
        _TENSORFLOW_EPSILON if size in _TORCHVISION_SIZES_OF_TENSORFLOW else _TORCH_EPSILON,
    )
    for size in EFFICIENTNET_SIZES
    if size not in ("b8", "l2")
} | {f"efficientnet_v2_{size}": (f"efficientnetv2_{size}", _TENSORFLOW_EPSILON) for size in EFFICIENTNET_V2_SIZES}


def architectures_of_family(family: Family) -> tuple[str, ...]:
    """Returns the names that a family gives its networks; for timm those without a tag such as `.ns_jft_in1k`."""
    if family == "timm":
        return tuple(timm.list_models())
    if family == "torchvision":
        return tuple(_TORCHVISION)
    return tuple(f"efficientnet-{size}" for size in EFFICIENTNET_SIZES)


def problem_of_architecture(family: Family, architecture: str) -> str:
    """Says in one line what is wrong with the name of a network, with similar names; empty for a known one."""
    names = architectures_of_family(family)
    if architecture in names or (family == "timm" and timm.is_model(architecture)):
        return ""
    if family == "timm":
        expected = f"a timm {timm.__version__} model name"
    else:
        expected = f"one of {_PROJECTS[family]}'s {', '.join(names)}"
    owners = [other for other in get_args(Family) if other != family and architecture in architectures_of_family(other)]
    close = difflib.get_close_matches(architecture, names, n=3)
    meant = [", ".join(close), *(f'family = "{owner}"' for owner in owners)]
    hint = f"; did you mean {' or '.join(filter(None, meant))}?" if any(meant) else ""
    return f"unknown architecture {architecture!r}; expected {expected}{hint}"


def network_of_family(contract: ModelContract, outputs: int) -> nn.Module:
    """Builds the untrained timm network that computes what the family's own network does with the same weights.

    Args:
        contract: Declares family, architecture and padding.
        outputs: Number of outputs of the linear classifier.
    """
    if contract.family == "timm":
        options = image_size_options(contract.architecture, contract.input.size)
        try:
            return _created(contract.architecture, outputs, **options)
        except SIZE_ERRORS as error:
            if not options:
                raise
            own = timm.get_pretrained_cfg(contract.architecture).input_size[-1]
            raise misfit(contract.architecture, contract.input.size, own, error) from error
    if contract.family == "torchvision":
        name, epsilon = _TORCHVISION[contract.architecture]
        return _created(name, outputs, bn_eps=epsilon)
    size = contract.architecture[-2:]
    module = _created(f"tf_efficientnet_{size}", outputs)
    padding_size = EFFICIENTNET_SIZES[size].image_size if contract.padding_size is None else contract.padding_size
    if padding_size > 0:
        fix_padding(module, padding_size)
    if contract.family == "deepfakebench":
        module.conv_stem = unpadded(cast("nn.Conv2d", module.conv_stem))
    return module


def _created(architecture: str, outputs: int, **options: float) -> nn.Module:
    return cast("nn.Module", timm.create_model(architecture, pretrained=False, num_classes=outputs, **options))
