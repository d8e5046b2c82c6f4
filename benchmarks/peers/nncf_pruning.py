"""NNCF's magnitude pruning of the PyTorch network, plain, with batch-norm adaptation, and with layers left dense."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import nncf
import torch
from nncf.torch.function_hook.pruning.magnitude.algo import get_pruned_modules
from nncf.torch.model_graph_manager import get_const_data_by_name
from torch import nn

from export.errors import BackendError
from export.onnx_from_torch import onnx_from_torch
from export.versions import versions_of
from peers.torch_detector import calibration_batches, detector_of_job, write_pruned
from pruning.network import DenseNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from export.checkpoint import Detector
    from peers.job import Job
    from peers.methods import Method


def prune_by_nncf(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Prunes the detector and writes its graph."""
    detector = detector_of_job(job)
    kept = _sensitive_layers(detector) if method.settings["keeps_layers"] else ()
    ratio = _ratio_of_layers(detector.module, kept, method.settings["share"])
    size = job.contract.input.size
    masked = nncf.prune(
        copy.deepcopy(detector.module),
        mode=nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL,
        ratio=ratio,
        ignored_scope=nncf.IgnoredScope(patterns=[f"^{name.replace('.', '/')}/.*" for name in kept]),
        examples_inputs=torch.zeros(1, 3, size, size),
    )
    images = 0
    if method.settings["batch_norm"]:
        images = len(job.calibration_set.samples)
        batches = list(calibration_batches(job, method.settings["batch_norm"]))
        masked = nncf.batch_norm_adaptation(masked, calibration_dataset=nncf.Dataset(batches))
    module, pruned = _burned_in(masked, detector.module)
    write_pruned(detector, module, graph)
    remark = f"{pruned} of {len(_layers(detector.module))} layers pruned at {ratio:.4f}"
    return {"images": images, "remark": remark, "versions": versions_of("nncf", "torch", "timm", "onnx")}


def _sensitive_layers(detector: Detector) -> tuple[str, ...]:
    """Returns the layers that Engine Sign-off leaves dense."""
    network = DenseNetwork(detector, onnx_from_torch(detector))
    prunable = {layer.name for layer in network.prunable_layers}
    return tuple(layer.name for layer in network.layers if layer.name not in prunable)


def _ratio_of_layers(module: nn.Module, kept: Sequence[str], share: float) -> float:
    """Returns how many zeros the layers that are not kept need so that the share of all weights is zero."""
    sizes = {name: layer.weight.numel() for name, layer in _layers(module).items()}
    ratio = share * sum(sizes.values()) / sum(size for name, size in sizes.items() if name not in kept)
    if ratio >= 1:
        raise BackendError(f"the layers that are pruned hold less than {share:.0%} of the weights")
    return ratio


def _layers(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


def _burned_in(masked: nn.Module, dense: nn.Module) -> tuple[nn.Module, int]:
    """Returns a plain network with masked weights and the statistics found, and how many weights have a mask.

    `nncf.strip` would do it but imports torchao, which NNCF does not declare and which pins torch.
    """
    masks = {
        get_const_data_by_name(name, masked).data_ptr(): hook.binary_mask
        for name, hook in get_pruned_modules(masked).items()
    }
    found = masked.state_dict()
    plain = copy.deepcopy(dense)
    # The masked network has entries of NNCF's own besides those of the plain one.
    state = {name: found[name] for name in plain.state_dict()}
    plain.load_state_dict(
        {name: value * masks[value.data_ptr()] if value.data_ptr() in masks else value for name, value in state.items()}
    )
    return plain, len(masks)
