"""Detectors whose classifier has several layers: pruned, stored, aligned and distilled like any other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from calibration.logit_alignment import Alignment
from export.checkpoint import Detector, detector_from_checkpoint
from export.onnx_from_torch import onnx_from_torch
from pruning.channel_groups import channel_groups_from_graph
from pruning.channel_removal import without_channels
from pruning.distillation import DistillationPlan, distilled
from pruning.repair import aligned
from tests.detectors import contract_for_tests, randomized_module
from tests.export.checkpoints.trained_heads import mlp, randomized

if TYPE_CHECKING:
    from pathlib import Path

FRESH = time.time_ns() % 2**32
CONTRACT = contract_for_tests(
    head="two-logits", head_layers=("dropout", "linear", "batch-norm", "relu", "dropout", "linear")
)
IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(FRESH))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    module = randomized_module(contract_for_tests())
    module.classifier = randomized(mlp(256, 2), FRESH)
    path = tmp_path_factory.mktemp("dense") / "a.pth"
    torch.save(module.state_dict(), path)
    return detector_from_checkpoint(path, CONTRACT)


def logits(detector: Detector) -> torch.Tensor:
    with torch.inference_mode():
        given: torch.Tensor = detector.module(IMAGES)
    return given


def test_narrow_networks_survive_a_file(dense: Detector, tmp_path: Path) -> None:
    groups = channel_groups_from_graph(onnx_from_torch(dense).graph)
    removed = {group.name: list(range(0, group.channels, 2)) for group in groups}
    narrow = without_channels(dense, groups, removed)
    assert narrow.parameter_count < 0.9 * dense.parameter_count
    save_file(narrow.module.state_dict(), tmp_path / "narrow.safetensors")
    loaded = detector_from_checkpoint(tmp_path / "narrow.safetensors", dense.contract, narrowed=True)
    assert torch.equal(logits(loaded), logits(narrow))


def test_alignment_scales_and_shifts_the_logit(dense: Detector) -> None:
    moved = aligned(dense, Alignment(0.5, 3.0))
    torch.testing.assert_close(logits(moved), 0.5 * logits(dense) + 3.0)


def test_distillation_trains_every_layer_of_the_classifier(dense: Detector, tmp_path: Path) -> None:
    plan = DistillationPlan(2, learning_rate=1e-3)
    trained = distilled(dense, aligned(dense, Alignment(0.9, 0.1)), IMAGES, plan, tmp_path / "state", "key")
    before, after = dense.module.state_dict(), trained.module.state_dict()
    for name in ("classifier.0.weight", "classifier.2.weight"):
        assert not torch.equal(before[name], after[name])
