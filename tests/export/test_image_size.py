"""A size is refused where the network itself cannot compute an image of it, and nowhere else."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch

from export.checkpoint import detector_from_checkpoint
from export.checkpoints.network import module_from_contract
from export.errors import CheckpointError
from export.image_size import require_size_fits
from tests.detectors import contract_for_tests, write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


def is_computed(module: nn.Module, size: int) -> bool:
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 3, size, size))
    except Exception:
        return False
    return True


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("architecture", ["hrnet_w18_small", "maxvit_nano_rw_256", "test_efficientnet"])
def test_what_timm_cannot_compute_is_refused(architecture: str, seed: int) -> None:
    module = timm.create_model(architecture, num_classes=1).eval()
    for size in [64, *map(int, np.random.default_rng(seed).integers(32, 130, 3))]:
        if is_computed(module, size):
            require_size_fits(module, architecture, size)
        else:
            with pytest.raises(CheckpointError, match=f"images of {size} x {size} .*input.size in model.toml"):
                require_size_fits(module, architecture, size)
        assert not module.training


def test_what_is_expected_is_told() -> None:
    with pytest.raises(CheckpointError, match=r"inception_v3 .* 50 x 50 .*Kernel size.* trained at, such as 299$"):
        module_from_contract(contract_for_tests("inception_v3", 50))
    contract = contract_for_tests("efficientnet-b0", 32, family="deepfakebench")
    with pytest.raises(CheckpointError, match=r"efficientnet-b0 .* such as 224$"):
        module_from_contract(contract)
    module_from_contract(replace(contract, family="efficientnet-pytorch"))


def test_a_vision_transformer_of_another_size_is_called_so(tmp_path: Path) -> None:
    contract = contract_for_tests("test_vit", 64)
    path = write_checkpoint(tmp_path, contract)
    other = contract_for_tests("test_vit", 96)
    with pytest.raises(CheckpointError, match=r"pos_embed is .* instead of .* images of another size than .* 96"):
        detector_from_checkpoint(path, other)
    detector_from_checkpoint(path, contract)
