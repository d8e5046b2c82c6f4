from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from pruning.nncf_magnitude import magnitude_masks, with_adapted_batch_norms
from tests.detectors import random_detector

if TYPE_CHECKING:
    from export.checkpoint import Detector

KEPT = ("conv_stem", "classifier", "blocks.3.0.se.conv_reduce")


@pytest.fixture(scope="module")
def dense() -> Detector:
    return random_detector(seed=3)


def batches(seed: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 3, 64, 64, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_smallest_weights_of_each_layer_are_chosen(share: float, dense: Detector) -> None:
    masks = magnitude_masks(dense, share, KEPT)
    layers = {n: m for n, m in dense.module.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    assert masks.keys() == layers.keys() - set(KEPT)
    for name, mask in masks.items():
        weight = layers[name].weight
        assert float((~mask).float().mean()) == pytest.approx(share, abs=2 / weight.numel())
        assert weight[~mask].abs().max() <= weight[mask].abs().min()


def test_masking_leaves_the_detector_alone(dense: Detector) -> None:
    before = {key: value.clone() for key, value in dense.module.state_dict().items()}
    magnitude_masks(dense, 0.5, KEPT)
    with_adapted_batch_norms(dense, torch.cat(batches(1)))
    after = dense.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("count", [16, 33, 80])
def test_adapted_batch_norms_have_the_statistics_of_the_images(count: int, dense: Detector) -> None:
    images = torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))
    adapted = with_adapted_batch_norms(dense, images)
    stem, norm = adapted.module.get_submodule("conv_stem"), adapted.module.get_submodule("bn1")
    with torch.inference_mode():
        seen = stem(images).numpy()
    np.testing.assert_allclose(norm.running_mean.numpy(), seen.mean(axis=(0, 2, 3)), atol=1e-4)
    np.testing.assert_allclose(norm.running_var.numpy(), seen.var(axis=(0, 2, 3)), rtol=1e-2)
    assert not adapted.module.training
    assert norm.momentum == dense.module.get_submodule("bn1").momentum


def test_a_single_image_can_be_adapted_to(dense: Detector) -> None:
    assert with_adapted_batch_norms(dense, torch.randn(1, 3, 64, 64)).module is not dense.module
