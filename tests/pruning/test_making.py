"""The whole of pruning on small networks: what is taken, what is repaired, and what the record says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from calibration.errors import QuantizationError
from export.runners import TorchRunner
from export.variant import pruning_from_name
from pruning import network
from pruning.errors import PruningError
from pruning.making import PruningWorkshop, macs_of, missed_limits
from pruning.recipe import PruningRecipe
from tests.calibration.workbench import labelled_images
from tests.detectors import random_detector
from tests.exports import exported

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.int8_images import Int8Images
    from export.checkpoint import Detector
    from pruning.record import PruningRecord, RecipeName

# Layers from this width on take 2:4 sparsity in these tests: small networks have no wider ones.
WIDE = 32


def pruned(
    dense: Detector, name: str, tmp_path: Path, recipe: PruningRecipe | None = None, images: Int8Images | None = None
) -> tuple[Detector, PruningRecord]:
    recipe = recipe or PruningRecipe(distill_steps=0)
    workshop = PruningWorkshop(dense, exported(dense), images or labelled_images(64), recipe)
    return workshop.pruned(pruning_from_name(name), tmp_path / "state.resume.pt", "key")


def logits(detector: Detector, images: Int8Images) -> np.ndarray:
    with TorchRunner(detector.module) as runner:
        return np.concatenate([runner.infer(batch.numpy()) for batch in images.judging.batches])


def layers_of(detector: Detector) -> dict[str, nn.Conv2d | nn.Linear]:
    return {n: m for n, m in detector.module.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("name", ["p40", "s40"])
def test_repairs_bring_new_images_closer_to_the_dense_detector(name: str, seed: int, tmp_path: Path) -> None:
    dense = random_detector(seed=seed)
    before = {key: value.clone() for key, value in dense.module.state_dict().items()}
    detector, record = pruned(dense, name, tmp_path, images=labelled_images(64, fitted=96))
    first, *repairs = record.steps
    assert first.kept
    assert [step.name.split()[0] for step in repairs] == ["re-estimation", "reconstruction", "alignment"]
    assert repairs[1].kept
    best = first.after
    for step in repairs:
        assert step.before == best
        assert step.kept == (step.after.sqnr_db > step.before.sqnr_db)
        best = step.after if step.kept else best
    assert record.final == best
    assert best.sqnr_db > first.after.sqnr_db + 3
    fresh = labelled_images(64, fitted=16, judging=96, seed=77)
    error = float(np.mean((logits(detector, fresh) - logits(dense, fresh)) ** 2))
    assert error < 0.7 * float(np.var(logits(dense, fresh)))
    assert all(torch.equal(before[key], value) for key, value in dense.module.state_dict().items())


def test_percentage_counts_all_convolution_and_linear_weights(tmp_path: Path) -> None:
    dense = random_detector(seed=3)
    detector, record = pruned(dense, "p40", tmp_path)
    weights = [layer.weight for layer in layers_of(detector).values()]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert zeros == pytest.approx(0.4, abs=0.02)
    assert record.zero_fraction == pytest.approx(zeros)
    assert record.mask_ratio == pytest.approx(zeros)
    assert record.parameters_after == record.parameters_before == dense.parameter_count
    assert record.macs_after == record.macs_before
    kept = {layer.name for layer in record.layers if not layer.zeros}
    assert {"conv_stem", "classifier", "blocks.3.0.conv_dw", "blocks.3.0.se.conv_reduce"} <= kept


def test_removed_channels_are_gone_for_good(tmp_path: Path) -> None:
    dense = random_detector(seed=3)
    detector, record = pruned(dense, "s40", tmp_path)
    assert record.removed_fraction == pytest.approx(0.4, abs=0.03)
    assert record.parameters_after == sum(parameter.numel() for parameter in detector.module.parameters())
    assert record.zero_fraction < 0.01
    assert record.macs_after == macs_of(detector) < record.macs_before
    narrowed = layers_of(detector)
    for name, layer in layers_of(dense).items():
        entry = next(entry for entry in record.layers if entry.name == name)
        assert entry.weights - entry.removed == narrowed[name].weight.numel()
        if name.endswith("conv_dw") and entry.removed:
            assert narrowed[name].out_channels % 16 == 0
        if name.endswith("conv_pwl"):
            assert narrowed[name].out_channels == layer.out_channels


@pytest.mark.parametrize("recipe", ["accurate", "magnitude"])
def test_two_of_four_is_in_every_wide_pointwise_layer_of_the_graph(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_FEWEST_FOR_TWO_OF_FOUR", WIDE)
    dense = random_detector(seed=1)
    detector, record = pruned(dense, "n24", tmp_path, PruningRecipe(recipe, distill_steps=0), labelled_images(64))  # type: ignore[arg-type]
    model = exported(detector)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    sparse = 0
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        wide = weight.shape[2:] == (1, 1) and min(weight.shape[:2]) >= WIDE and ".se." not in node.name
        zeros = (weight.reshape(len(weight), -1) == 0).mean()
        assert zeros == (0.5 if wide else 0), node.name
        if wide:
            sparse += 1
            assert ((weight.reshape(len(weight), -1, 4) == 0).sum(axis=2) == 2).all(), node.name
    assert sparse > 5
    assert 0.1 < record.zero_fraction < 0.5


@pytest.mark.parametrize("name", ["p60", "s20"])
def test_second_order_is_closer_than_magnitude(name: str, tmp_path: Path) -> None:
    """Of random networks on average: a single one may happen to have its small weights where they do not matter."""
    found: dict[RecipeName, list[float]] = {"accurate": [], "magnitude": []}
    for seed in (3, 4, 5):
        dense, images = random_detector(seed=seed), labelled_images(64, fitted=64)
        for recipe, sqnrs in found.items():
            _, record = pruned(dense, name, tmp_path, PruningRecipe(recipe, distill_steps=0), images)
            taken = record.removed_fraction if name == "s20" else record.zero_fraction
            assert taken == pytest.approx(int(name[1:]) / 100, abs=0.04)
            sqnrs.append(record.final.sqnr_db)
    assert np.mean(found["accurate"]) > np.mean(found["magnitude"]) + 1, found


def test_one_workshop_prunes_as_two_do(tmp_path: Path) -> None:
    """What several percentages share is measured once and changes nothing."""
    dense, images, recipe = random_detector(seed=3), labelled_images(64), PruningRecipe(distill_steps=0)
    shared = PruningWorkshop(dense, exported(dense), images, recipe)
    shared.pruned(pruning_from_name("s20"), tmp_path / "a", "a")
    detector, record = shared.pruned(pruning_from_name("s40"), tmp_path / "b", "b")
    alone, expected = pruned(dense, "s40", tmp_path, recipe, images)
    assert record == expected
    for key, value in alone.module.state_dict().items():
        torch.testing.assert_close(detector.module.state_dict()[key], value)


def test_a_missed_limit_is_distilled_and_told_with_the_nearest_percentage(tmp_path: Path) -> None:
    dense = random_detector(seed=3)
    strict = PruningRecipe(distill_steps=4, max_auc_drop=1e-7, max_flip_share=1e-7)
    _, record = pruned(dense, "p60", tmp_path, strict)
    assert record.steps[-1].name == "distillation from the dense detector, 4 steps"
    assert record.final.sqnr_db < record.min_sqnr_db
    assert "short of the" in record.missed[0]
    assert record.nearest_percent is None or record.nearest_percent < 60
    lenient = PruningRecipe(distill_steps=4, max_auc_drop=0.49, max_flip_share=0.49)
    _, record = pruned(dense, "p05", tmp_path, lenient)
    assert not any("distillation" in step.name for step in record.steps)
    assert (record.missed, record.nearest_percent) == ((), None)


def test_the_sentence_says_what_would_meet_the_limits(tmp_path: Path) -> None:
    _, record = pruned(random_detector(seed=3), "s30", tmp_path)
    record = replace(record, min_sqnr_db=record.final.sqnr_db + 2.5, nearest_percent=12)
    assert "2.5 dB short of" in missed_limits(record)[0]
    assert "s12 is predicted to meet" in missed_limits(record)[0]
    assert "keep the most harmful layers" in missed_limits(replace(record, kind="2:4"))[0]
    assert "no percentage" in missed_limits(replace(record, nearest_percent=None))[0]
    assert "--pruning-recipe accurate" in missed_limits(replace(record, recipe="magnitude"))[0]
    assert missed_limits(replace(record, min_sqnr_db=record.final.sqnr_db)) == ()


@pytest.mark.parametrize("recipe", ["accurate", "magnitude"])
@pytest.mark.parametrize("name", ["p95", "s95"])
def test_more_than_the_layers_hold_is_refused(name: str, recipe: str, tmp_path: Path) -> None:
    with pytest.raises(
        PruningError, match=rf"{name} would empty layers: at most \d+ % .* ask for {name[0]}\d+ or less"
    ):
        pruned(random_detector(seed=3), name, tmp_path, PruningRecipe(recipe))  # type: ignore[arg-type]


def test_a_pruned_checkpoint_is_refused(tmp_path: Path) -> None:
    detector, _ = pruned(random_detector(seed=3), "p40", tmp_path)
    with pytest.raises(PruningError, match="40 % of the checkpoint's weights are zero, so it is pruned already"):
        pruned(detector, "p50", tmp_path)


def test_kept_layers_are_dense_and_unknown_ones_refused(tmp_path: Path) -> None:
    dense = random_detector(seed=3)
    recipe = PruningRecipe(keep=("conv_head", "blocks.3.*"), distill_steps=0)
    _, record = pruned(dense, "p20", tmp_path, recipe)
    losses = {layer.name for layer in record.layers if layer.zeros}
    assert losses
    assert not any(name == "conv_head" or name.startswith("blocks.3.") for name in losses)
    with pytest.raises(QuantizationError, match="matches no layer"):
        pruned(dense, "p20", tmp_path, PruningRecipe(keep=("stage9.*",)))


def test_narrow_networks_have_no_layer_for_two_of_four(tmp_path: Path) -> None:
    dense = random_detector(seed=3)
    with pytest.raises(PruningError, match=r"wide enough for 2:4 sparsity; build pNN or sNN instead$"):
        pruned(dense, "n24", tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [("p40", "none of the network's weights can be zero"), ("s40", "none of the network's parameters can be removed")],
)
def test_keeping_everything_is_named_as_the_cause(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=rf"{told}; .*; --keep-dense keeps too much$"):
        pruned(random_detector(seed=3), name, tmp_path, PruningRecipe(keep=("*",)))


@pytest.mark.parametrize("name", ["p40", "s40"])
def test_the_predicted_percentage_is_near_the_limit(name: str, tmp_path: Path) -> None:
    """What is said to meet the limits is built, and lies much nearer to them than what missed them."""
    dense, images = random_detector(seed=4), labelled_images(64, fitted=64, judging=64)
    workshop = PruningWorkshop(dense, exported(dense), images, PruningRecipe(distill_steps=0))
    _, record = workshop.pruned(pruning_from_name(name), tmp_path / "state", "key")
    assert record.missed
    assert record.nearest_percent is not None
    _, nearest = workshop.pruned(pruning_from_name(f"{name[0]}{record.nearest_percent:02d}"), tmp_path / "state", "key")
    assert nearest.final.sqnr_db > record.min_sqnr_db - 4
    assert nearest.final.sqnr_db > record.final.sqnr_db
