"""Convolutions that pad as at construction: in exported graphs, and in networks that have lost channels."""

from __future__ import annotations

import secrets

import numpy as np
import pytest
import timm
import torch
from efficientnet_pytorch.utils import Conv2dStaticSamePadding
from onnx import helper
from torch import nn

from export.checkpoint import Detector
from export.checkpoints.narrowing import narrow_to_weights
from export.checkpoints.network import module_from_contract
from export.checkpoints.static_padding import StaticallyPaddedConv2d, fix_padding, unpadded
from export.onnx_from_torch import onnx_from_torch
from export.runners import OnnxRunner, TorchRunner
from tests.detectors import TINY, contract_for_tests, randomized_module

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


@pytest.mark.parametrize("seed", [0, FRESH])
def test_a_convolution_is_that_of_efficientnet_pytorch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed % 1000)
    for kernel in (3, 5):
        size, channels = int(rng.integers(1, 40)), int(rng.integers(1, 5))
        theirs = Conv2dStaticSamePadding(channels, channels, kernel, 2, image_size=size, groups=channels, bias=False)
        same = timm.layers.create_conv2d(channels, channels, kernel, stride=2, padding="same", groups=channels)
        same.weight = theirs.weight
        network = nn.Sequential(same)
        fix_padding(network, size)
        image = torch.randn(2, channels, int(rng.integers(8, 40)), int(rng.integers(8, 40)))
        torch.testing.assert_close(network(image), theirs(image))
        torch.testing.assert_close(
            unpadded(same)(image), nn.functional.conv2d(image, theirs.weight, stride=2, groups=channels)
        )


def test_zeros_are_an_attribute_of_the_exported_convolution() -> None:
    """Pad nodes would keep calibration from finding the convolution's input, and TensorRT from fusing."""
    contract = contract_for_tests(TINY, size=50)
    module = timm.create_model(TINY, num_classes=1, pad_type="same").eval()
    fix_padding(module, 101)
    model = onnx_from_torch(Detector(module, contract, sha256="0" * 64))
    assert "Pad" not in {node.op_type for node in model.graph.node}
    pads = {
        node.name: tuple(helper.get_attribute_value(attribute))
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "pads"
    }
    padded = {name: layer for name, layer in module.named_modules() if isinstance(layer, StaticallyPaddedConv2d)}
    for name, layer in padded.items():
        left, right, top, bottom = layer.sides
        assert pads[name] == (top, left, bottom, right)
    # 101 and 51 pixels are odd, 26 are even: as many zeros on both sides, or one more behind.
    assert [layer.sides[:2] for layer in padded.values()][:3] == [(1, 1), (1, 1), (0, 1)]
    images = np.random.default_rng(0).standard_normal((2, 3, 50, 50)).astype(np.float32)
    with TorchRunner(module) as torch_runner, OnnxRunner(model) as onnx_runner:
        np.testing.assert_allclose(onnx_runner.infer(images), torch_runner.infer(images), atol=1e-4, rtol=1e-4)


def test_a_network_that_lost_channels_computes_what_is_left() -> None:
    contract = contract_for_tests("efficientnet-b0", family="efficientnet-pytorch")
    dense = randomized_module(contract, seed=4)
    kept = torch.randperm(96, generator=torch.Generator().manual_seed(0))[:70].sort().values
    silent = torch.ones(96, dtype=torch.bool)
    silent[kept] = False
    block, state = "blocks.1.0", dense.state_dict()
    for reader in ("se.conv_reduce", "conv_pwl"):
        state[f"{block}.{reader}.weight"][:, silent] = 0
        state[f"{block}.{reader}.weight"] = state[f"{block}.{reader}.weight"][:, kept]
    for writer in ("conv_pw", "bn1", "conv_dw", "bn2", "se.conv_expand"):
        for key in [key for key in state if key.startswith(f"{block}.{writer}.") and state[key].ndim]:
            state[key] = state[key][kept]
    narrow = module_from_contract(contract).eval()
    narrow_to_weights(narrow, state)
    narrow.load_state_dict(state)
    assert isinstance(narrow.get_submodule(f"{block}.conv_dw"), StaticallyPaddedConv2d)
    images = torch.randn(2, 3, 75, 75, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(narrow(images), dense(images), rtol=1e-4, atol=1e-5)
