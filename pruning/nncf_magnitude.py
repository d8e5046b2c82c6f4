"""What NNCF does in pruning: magnitude masks, and the adaptation of batch norms."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from calibration.torch_graph import torch_device

if TYPE_CHECKING:
    from collections.abc import Collection

    from export.checkpoint import Detector

_BATCH_SIZE = 32


def magnitude_masks(detector: Detector, share: float, kept: Collection[str]) -> dict[str, torch.Tensor]:
    """Chooses the smallest weights of each layer.

    Args:
        detector: Left alone.
        share: Zeros in each layer, 0 to 1.
        kept: Convolutions and linear layers that are not pruned.

    Returns:
        Layer -> bool of its weight's shape, False where the weight is to be zero.
    """
    nncf = _nncf()
    from nncf.torch.function_hook.pruning.magnitude.algo import get_pruned_modules
    from nncf.torch.model_graph_manager import get_const_data_by_name

    size = detector.contract.input.size
    masked = nncf.prune(
        copy.deepcopy(detector.module),
        mode=nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL,
        ratio=share,
        ignored_scope=nncf.IgnoredScope(patterns=[f"^{name.replace('.', '/')}/.*" for name in kept]),
        examples_inputs=torch.zeros(1, 3, size, size),
    )
    layers = {parameter.data_ptr(): name for name, parameter in masked.named_parameters()}
    return {
        layers[get_const_data_by_name(name, masked).data_ptr()].removesuffix(".weight"): mask.binary_mask.bool()
        for name, mask in get_pruned_modules(masked).items()
    }


def with_adapted_batch_norms(detector: Detector, images: torch.Tensor) -> Detector:
    """Returns a copy of a detector whose batch norms have the statistics of images, averaged over batches.

    Args:
        detector: Left alone.
        images: Normalized images (N, 3, size, size).
    """
    nncf = _nncf()
    device = torch_device()
    module: nn.Module = copy.deepcopy(detector.module).to(device)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative average; NNCF's moving one would leave half of what was there before
    # Of equal size, because a last batch of one image has no variance where a map is 1x1.
    batches = images.tensor_split(max(1, len(images) // _BATCH_SIZE))
    with contextlib.redirect_stdout(io.StringIO()):  # NNCF draws a bar of its own, even into a log
        nncf.batch_norm_adaptation(module, calibration_dataset=nncf.Dataset(batches, lambda batch: batch.to(device)))
    state = module.cpu().state_dict()
    plain = copy.deepcopy(detector.module)
    plain.load_state_dict(state)
    return replace(detector, module=plain.eval(), sha256="")


def _nncf() -> Any:
    # NNCF reports usage over the network unless told that it runs in CI; nobody asked for that here.
    os.environ.setdefault("NNCF_CI", "1")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
