from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from export.errors import DataError
from export.runners import TorchRunner
from pruning.nncf_magnitude import kept_layer_names, pruned_from_dense
from tests.detectors import random_detector

if TYPE_CHECKING:
    from export.checkpoint import Detector


def batches(seed: int, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((8, 3, 64, 64)).astype(np.float32) for _ in range(count)]


def logits(detector: Detector, images: list[np.ndarray]) -> np.ndarray:
    with TorchRunner(detector.module) as runner:
        return np.concatenate([runner.infer(batch) for batch in images])


@pytest.fixture(scope="module")
def dense() -> Detector:
    return random_detector(seed=3)


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_the_smallest_weights_of_each_layer_become_zero(percent: int, dense: Detector) -> None:
    pruned, facts = pruned_from_dense(dense, percent, batches(1), batches(2))
    before, after = dense.module.state_dict(), pruned.module.state_dict()
    for layer in facts.pruned_layers:
        weight, result = before[f"{layer.name}.weight"], after[f"{layer.name}.weight"]
        zero = result == 0
        torch.testing.assert_close(result[~zero], weight[~zero], rtol=0, atol=0)
        assert float(zero.float().mean()) == pytest.approx(percent / 100, abs=2 / weight.numel())
        assert weight[zero].abs().max() <= weight[~zero].abs().min()
    for name in facts.kept_layers:
        torch.testing.assert_close(after[f"{name}.weight"], before[f"{name}.weight"], rtol=0, atol=0)


def test_statistics_count_the_zeros(dense: Detector) -> None:
    pruned, facts = pruned_from_dense(dense, 50, batches(1), batches(2))
    weights = [m.weight for m in pruned.module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert facts.overall_fraction == pytest.approx(zeros / sum(weight.numel() for weight in weights))
    assert facts.pruned_fraction == pytest.approx(0.5, abs=1e-3)


def test_stem_depthwise_excitation_and_classifier_are_kept(dense: Detector) -> None:
    kept = set(kept_layer_names(dense.module))
    assert {"conv_stem", "classifier", "blocks.3.0.conv_dw", "blocks.3.0.se.conv_reduce"} <= kept
    assert not kept & {"conv_head", "blocks.3.0.conv_pw", "blocks.3.0.conv_pwl", "blocks.0.0.conv"}


def test_adaptation_is_kept_only_where_it_helps(dense: Detector) -> None:
    held_back = batches(2)
    pruned, facts = pruned_from_dense(dense, 50, batches(1), held_back)
    error = float(np.mean((logits(pruned, held_back) - logits(dense, held_back)) ** 2))
    assert facts.batch_norm_adapted == (facts.error_after < facts.error_before)
    assert error == pytest.approx(min(facts.error_before, facts.error_after), rel=1e-4)


def test_helpful_adaptation_is_found() -> None:
    """With positive weights, zeroing half of them moves every mean: exactly what batch norm can take back."""
    dense = random_detector(seed=5)
    for layer in dense.module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.abs_()
    dense.module.train()
    with torch.no_grad():
        for batch in batches(1) * 40:
            dense.module(torch.from_numpy(batch))
    dense.module.eval()
    _, facts = pruned_from_dense(dense, 50, batches(1) * 40, batches(2))
    assert facts.batch_norm_adapted
    assert facts.error_after < facts.error_before


def test_dense_model_is_left_alone(dense: Detector) -> None:
    before = {key: value.clone() for key, value in dense.module.state_dict().items()}
    expected = logits(dense, batches(4))
    pruned_from_dense(dense, 50, batches(1), batches(2))
    after = dense.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    np.testing.assert_array_equal(logits(dense, batches(4)), expected)


def test_no_images_to_judge_with(dense: Detector) -> None:
    with pytest.raises(DataError, match="calibrate with more videos"):
        pruned_from_dense(dense, 50, batches(1), [])
