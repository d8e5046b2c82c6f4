from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from export.errors import ArtifactError
from export.runners import TorchRunner
from pruning import distillation
from pruning.distillation import DistillationPlan, distilled
from tests.calibration.workbench import labelled_images
from tests.detectors import random_detector

if TYPE_CHECKING:
    from pathlib import Path

    from export.checkpoint import Detector


def with_zeros(dense: Detector, seed: int) -> Detector:
    """Zeroes a tenth of the weights of every pointwise layer, whichever they are."""
    generator = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(dense.module)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.weight.data *= torch.rand(layer.weight.shape, generator=generator) > 0.1
    return replace(dense, module=module)


def images_of(seed: int) -> torch.Tensor:
    return torch.cat(labelled_images(64, fitted=48, judging=16, seed=seed).fitted.batches)


def error(detector: Detector, dense: Detector, images: torch.Tensor) -> float:
    found = []
    for one in (detector, dense):
        with TorchRunner(one.module) as runner:
            found.append(runner.infer(images.numpy()))
    return float(np.mean((found[0] - found[1]) ** 2))


@pytest.mark.parametrize("seed", [0, 1])
def test_distillation_helps_on_new_images_and_keeps_zeros(seed: int, tmp_path: Path) -> None:
    dense = random_detector(seed=seed)
    pruned = with_zeros(dense, seed)
    before = {key: value.clone() for key, value in pruned.module.state_dict().items()}
    student = distilled(dense, pruned, images_of(seed), DistillationPlan(60), tmp_path / "state", "key")
    fresh = images_of(seed + 50)
    assert error(student, dense, fresh) < 0.8 * error(pruned, dense, fresh)
    for key, value in student.module.state_dict().items():
        if "running" in key:
            assert torch.equal(value, before[key]), key
        elif key.endswith("weight") and value.ndim == 4 and (before[key] == 0).any():
            assert torch.equal(value == 0, before[key] == 0), key
    assert all(torch.equal(before[key], value) for key, value in pruned.module.state_dict().items())
    assert all(parameter.requires_grad for parameter in pruned.module.parameters())


def test_an_interrupted_distillation_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "_SAVE_EVERY", 3)
    dense = random_detector(seed=2)
    pruned, images, plan = with_zeros(dense, 2), images_of(2), DistillationPlan(8)
    whole = distilled(dense, pruned, images, plan, tmp_path / "whole", "key")
    advance = distillation._Distillation.advance

    def interrupted(self: distillation._Distillation) -> None:
        if self.step == 7:
            raise KeyboardInterrupt
        advance(self)

    monkeypatch.setattr(distillation._Distillation, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distilled(dense, pruned, images, plan, tmp_path / "state", "key")
    taken = []

    def counted(self: distillation._Distillation) -> None:
        taken.append(self.step)
        advance(self)

    monkeypatch.setattr(distillation._Distillation, "advance", counted)
    resumed = distilled(dense, pruned, images, plan, tmp_path / "state", "key")
    assert taken == [6, 7]
    for key, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value), key
    taken.clear()
    distilled(dense, pruned, images, plan, tmp_path / "state", "another key")
    assert taken == list(range(8))


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    dense = random_detector(seed=2)
    (tmp_path / "state").write_bytes(b"not a state")
    with pytest.raises(ArtifactError, match="delete it to distil from the start"):
        distilled(dense, dense, images_of(2), DistillationPlan(2), tmp_path / "state", "key")
