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

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import nn

    from export.checkpoint import Detector


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


def with_adapted_batch_norms(detector: Detector, batches: Sequence[torch.Tensor]) -> Detector:
    """Returns a copy of a detector whose batch norms have the statistics of these images (N, 3, size, size) each."""
    nncf = _nncf()
    module: nn.Module = copy.deepcopy(detector.module)
    with contextlib.redirect_stdout(io.StringIO()):  # NNCF draws a bar of its own, even into a log
        nncf.batch_norm_adaptation(module, calibration_dataset=nncf.Dataset(batches))
    return replace(detector, module=module.eval(), sha256="")


def _nncf() -> Any:
    # NNCF reports usage over the network unless told that it runs in CI; nobody asked for that here.
    os.environ.setdefault("NNCF_CI", "1")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf
