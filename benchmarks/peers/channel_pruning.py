"""Channels removed by Torch-Pruning: those of least norm, or at random as a control."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch_pruning as tp  # type: ignore[import-untyped]
from torch import nn

from export.checkpoints.head import classifier_of
from export.errors import BackendError
from export.versions import versions_of
from peers.bisection import ratio_of_share
from peers.torch_detector import calibration_batches, detector_of_job, write_pruned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from export.checkpoint import Detector
    from peers.job import Job
    from peers.methods import Method

_NEAR = 0.01


def prune_channels(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Removes channels until the wanted share of the parameters is left and writes the graph."""
    detector, settings = detector_of_job(job), method.settings

    def pruned(ratio: float) -> nn.Module:
        if settings["channels"] == "random-mid":
            return _without_random_channels(detector, ratio, settings["seed"])
        return _without_small_channels(detector, ratio, settings["round_to"])

    dense = detector.parameter_count
    ratio, share = ratio_of_share(lambda trial: _parameter_count(pruned(trial)) / dense, settings["share"])
    module = pruned(ratio)
    images = 0
    if settings["batch_norm"]:
        images = len(job.calibration_set.samples)
        _re_estimate_batch_norm(module, calibration_batches(job, settings["batch_norm"]))
    write_pruned(detector, module, graph)
    far = "" if abs(share - settings["share"]) <= _NEAR else ", as near as these channels come"
    remark = f"ratio {ratio:.4f} leaves {100 * share:.1f} % of the parameters{far}"
    return {"images": images, "remark": remark, "versions": versions_of("torch-pruning", "torch", "timm", "onnx")}


def _parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _example(detector: Detector) -> torch.Tensor:
    size = detector.contract.input.size
    return torch.zeros(1, 3, size, size)


def _without_small_channels(detector: Detector, ratio: float, round_to: int | None) -> nn.Module:
    module = copy.deepcopy(detector.module)
    pruner = tp.pruner.MagnitudePruner(
        module,
        _example(detector),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=[classifier_of(module, detector.contract)],
        round_to=round_to,
    )
    pruner.step()
    return module


def _without_random_channels(detector: Detector, ratio: float, seed: int) -> nn.Module:
    """Removes the same share of mid-channels from every block with an expansion; at least one stays."""
    module = copy.deepcopy(detector.module)
    # Blocks without an expansion call their projection conv_pw; what tells them apart is conv_pwl.
    blocks = [block for block in module.modules() if hasattr(block, "conv_pw") and hasattr(block, "conv_pwl")]
    if not blocks:
        raise BackendError(f"{detector.contract.architecture} has no MBConv blocks to draw channels from")
    dependencies = tp.DependencyGraph().build_dependency(module, _example(detector))
    # The same seed gives every trial of the bisection the same order of removal.
    rng = np.random.default_rng(seed)
    for block in blocks:
        layer = cast("nn.Conv2d", block.conv_pw)
        order = rng.permutation(layer.out_channels)
        removed = order[: min(round(ratio * len(order)), len(order) - 1)].tolist()
        if removed:
            dependencies.get_pruning_group(layer, tp.prune_conv_out_channels, idxs=removed).prune()
    return module


def _re_estimate_batch_norm(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Replaces the running statistics by the mean of those of the batches; everything else stays in eval mode."""
    norms = [layer for layer in module.eval().modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average
        layer.train()
    with torch.no_grad():
        for batch in batches:
            module(batch)
    module.eval()
