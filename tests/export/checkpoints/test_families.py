"""Every family's network computes what its own project's does, at image sizes it was and was not constructed for."""

from __future__ import annotations

import secrets
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from export.checkpoints.key_naming import backbones_in, timm_named
from export.checkpoints.network import module_from_contract
from export.contract import InputContract, ModelContract
from export.errors import CheckpointError, ContractError
from tests.export.checkpoints.originals import ORIGINALS, efficientnet_pytorch, images_of_size, randomize

if TYPE_CHECKING:
    from torch import nn

    from tests.export.checkpoints.originals import Original

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
# Standard deviations of the logits over images. A random network makes more of rounding the deeper it is; in double
# precision nothing of that is left.
TOLERANCE, EXACT = 1e-4, 1e-8


def loaded(module: nn.Module, original: Original, contract: ModelContract) -> nn.Module:
    """Returns our network with an original's weights."""
    state = module.state_dict()
    (backbone,) = backbones_in(state)
    weights = timm_named(state, backbone)
    weights |= {f"classifier.{tensor}": state[f"{original.classifier}.{tensor}"] for tensor in ("weight", "bias")}
    ours = module_from_contract(contract)
    ours.to(weights["classifier.weight"].dtype).load_state_dict(weights)
    return ours.eval()


def difference(theirs: nn.Module, ours: nn.Module, images: torch.Tensor) -> float:
    """Returns the largest difference of two networks' logits in standard deviations over the images."""
    with torch.inference_mode():
        return in_spreads(theirs(images), ours(images))


def in_spreads(expected: torch.Tensor, got: torch.Tensor) -> float:
    return float((expected - got).abs().max() / expected.std(0).max())


@pytest.mark.parametrize("name", ORIGINALS)
def test_logits_are_those_of_the_original(name: str) -> None:
    original = ORIGINALS[name]
    theirs = randomize(original.build("b0"), original.classifier, seed=1)
    ours = loaded(theirs, original, original.contract("b0"))
    for image_size in (224, 380, 456):
        assert difference(theirs, ours, images_of_size(image_size, 2, seed=2)) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet-pytorch default", "deepfakebench", "torchvision", "timm tf_"])
def test_logits_of_b5_are_those_of_the_original(name: str) -> None:
    original = ORIGINALS[name]
    theirs = randomize(original.build("b5"), original.classifier, seed=3).double()
    ours = loaded(theirs, original, original.contract("b5"))
    assert difference(theirs, ours, images_of_size(190, 2, seed=4).double()) <= EXACT


@pytest.mark.slow
def test_logits_of_version_2_are_those_of_torchvision() -> None:
    """Of all three sizes, names and geometry of every layer are compared in test_key_naming."""
    original = ORIGINALS["torchvision"]
    theirs = randomize(original.build("v2_s"), original.classifier, seed=3).double()
    ours = loaded(theirs, original, original.contract("v2_s"))
    for image_size in (48, 64, 101):
        assert difference(theirs, ours, images_of_size(image_size, 2, seed=4).double()) <= EXACT


@pytest.mark.parametrize("seed", [0, FRESH])
def test_any_size_pads_as_it_was_constructed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theirs = randomize(efficientnet_pytorch(None).build("b0"), "_fc", seed=int(rng.integers(1000))).double()
    for _ in range(3):
        original = efficientnet_pytorch(int(rng.integers(1, 900)))
        constructed = original.build("b0").double().eval()
        constructed.load_state_dict(theirs.state_dict())
        ours = loaded(constructed, original, original.contract("b0"))
        images = images_of_size(int(rng.integers(32, 130)), 3, seed=int(rng.integers(1000))).double()
        assert difference(constructed, ours, images) <= EXACT


def test_the_same_weights_in_another_family_give_other_logits() -> None:
    """Otherwise the tests above would prove nothing."""
    original = ORIGINALS["efficientnet-pytorch default"]
    theirs = randomize(original.build("b0"), "_fc", seed=6)
    contract = original.contract("b0")
    readings = [
        contract,
        replace(contract, padding_size=380),
        replace(contract, family="deepfakebench"),
        replace(contract, family="torchvision", architecture="efficientnet_b0"),
        replace(contract, family="timm", architecture="tf_efficientnet_b0"),
    ]
    images = images_of_size(100, 4, seed=7)
    with torch.inference_mode():
        logits = [loaded(theirs, original, reading)(images) for reading in readings]
    for first, second in combinations(logits, 2):
        assert in_spreads(first, second) > 100 * TOLERANCE


def test_weights_of_timm_fit_every_family() -> None:
    families = {
        "efficientnet-pytorch": "efficientnet-b0",
        "deepfakebench": "efficientnet-b0",
        "timm": "efficientnet_b0",
    }
    keys = {
        family: list(module_from_contract(ModelContract(name, InputContract(64), family=family)).state_dict())  # type: ignore[arg-type]
        for family, name in families.items()
    }
    assert keys["efficientnet-pytorch"] == keys["deepfakebench"] == keys["timm"]


@pytest.mark.parametrize(
    ("family", "architecture", "message"),
    [
        ("efficientnet-pytorch", "tf_efficientnet_b5", "EfficientNet-PyTorch.*mean efficientnet-b5"),
        ("deepfakebench", "efficientnetb4", "DeepfakeBench.*mean efficientnet-b4"),
        ("torchvision", "efficientnet_b8", "torchvision.*mean efficientnet_b7"),
        ("torchvision", "resnet50", "efficientnet_b7, efficientnet_v2_s, .*; did you mean family = .timm.[?]$"),
        ("timm", "efficientnet-b5", "timm.*mean efficientnet_b5"),
    ],
)
def test_unknown_architectures_are_refused_with_similar_names(family: str, architecture: str, message: str) -> None:
    contract = ModelContract(architecture, InputContract(64), family=family)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=message):
        module_from_contract(contract)


@pytest.mark.parametrize("family", ["timm", "torchvision"])
def test_padding_size_contradicts_families_that_do_not_fix_padding(family: str) -> None:
    with pytest.raises(ContractError, match="padding_size = 456"):
        ModelContract("efficientnet_b5", InputContract(64), family=family, padding_size=456)  # type: ignore[arg-type]
