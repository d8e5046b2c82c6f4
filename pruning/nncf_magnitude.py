"""Unstructured magnitude pruning by NNCF, with batch-norm adaptation only where it helps.

Masks are burned into the weights. TensorRT stores zeros densely, so an engine does not shrink by them; the statistics
say how many there are and the report what that saves.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from export.errors import DataError
from export.progress import progress_bar
from export.runners import TorchRunner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from export.checkpoint import Detector

_HOOKS = "__nncf_hooks"


@dataclass(frozen=True)
class LayerSparsity:
    """Zeros of one weight tensor, from 0 to 1."""

    name: str
    shape: tuple[int, ...]
    zero_fraction: float


@dataclass(frozen=True)
class PruningFacts:
    """What pruning did.

    Attributes:
        percent: Requested percentage of zeros in each pruned layer.
        pruned_layers: Zeros of every layer that was pruned.
        kept_layers: Names of the convolution and linear layers left dense.
        pruned_fraction: Zeros among the weights of pruned layers.
        overall_fraction: Zeros among all convolution and linear weights.
        batch_norm_adapted: Whether the adapted statistics were kept.
        error_before: Mean squared logit difference to the dense model on held-back images, without adaptation.
        error_after: The same with adaptation.
    """

    percent: int
    pruned_layers: tuple[LayerSparsity, ...]
    kept_layers: tuple[str, ...]
    pruned_fraction: float
    overall_fraction: float
    batch_norm_adapted: bool
    error_before: float
    error_after: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts for a sidecar."""
        return asdict(self)


def pruned_from_dense(
    dense: Detector,
    percent: int,
    adaptation: Iterable[NDArray[np.float32]],
    held_back: Iterable[NDArray[np.float32]],
) -> tuple[Detector, PruningFacts]:
    """Zeroes the smallest weights of every layer but stem, depthwise, squeeze-and-excitation and classifier.

    Batch-norm adaptation (NNCF; Nagel et al. 2019 call it BN re-estimation) restores the activation statistics that
    pruning shifts. On some models it does harm, so it is kept only if it brings the logits of held-back images closer
    to the dense model's.

    Args:
        dense: The detector to prune; it is left alone.
        percent: Zeros per pruned layer, 1..95.
        adaptation: Batches of normalized calibration images (N, 3, size, size).
        held_back: Batches of other calibration images, whose logits decide; iterated three times.

    Raises:
        DataError: There are no images to judge with.
    """
    kept = kept_layer_names(dense.module)
    plain = _burned_in(_masked(dense, percent, kept), dense)
    adapted = _burned_in(_adapted(_masked(dense, percent, kept), adaptation), dense)
    reference = _logits(dense.module, held_back)
    error_before = float(np.mean((_logits(plain, held_back) - reference) ** 2))
    error_after = float(np.mean((_logits(adapted, held_back) - reference) ** 2))
    helps = error_after < error_before
    module = adapted if helps else plain
    facts = _facts(module, percent, kept, helps, error_before, error_after)
    return replace(dense, module=module, sha256=""), facts


def kept_layer_names(module: nn.Module) -> tuple[str, ...]:
    """Returns the layers that pruning leaves dense: they hold little and decide much."""
    layers = _prunable_layers(module)
    squeeze = tuple(
        f"{name}." for name, block in module.named_modules() if type(block).__name__ in ("SqueezeExcite", "SEModule")
    )
    names = list(layers)
    return tuple(
        name
        for name, layer in layers.items()
        if name in (names[0], names[-1])
        or (isinstance(layer, nn.Conv2d) and layer.groups > 1)
        or (squeeze and name.startswith(squeeze))
    )


def _prunable_layers(module: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, (nn.Conv2d, nn.Linear))}


def _nncf() -> Any:
    # NNCF reports usage over the network unless told that it runs in CI; nobody asked for that here.
    os.environ.setdefault("NNCF_CI", "1")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def _masked(dense: Detector, percent: int, kept: Sequence[str]) -> nn.Module:
    nncf = _nncf()
    size = dense.contract.input.size
    patterns = [f"^{name.replace('.', '/')}/.*" for name in kept]
    masked: nn.Module = nncf.prune(
        copy.deepcopy(dense.module),
        mode=nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL,
        ratio=percent / 100,
        ignored_scope=nncf.IgnoredScope(patterns=patterns),
        examples_inputs=torch.zeros(1, 3, size, size),
    )
    return masked


def _adapted(masked: nn.Module, batches: Iterable[NDArray[np.float32]]) -> nn.Module:
    nncf = _nncf()
    dataset = nncf.Dataset(progress_bar(batches, "batch-norm adaptation", unit="batch"), torch.from_numpy)
    with contextlib.redirect_stdout(io.StringIO()):  # NNCF draws a bar of its own, even into a log
        adapted: nn.Module = nncf.batch_norm_adaptation(masked, calibration_dataset=dataset)
    return adapted


def _burned_in(masked: nn.Module, dense: Detector) -> nn.Module:
    """Returns a plain copy of the network whose weights are multiplied by their masks.

    `nncf.strip` would do it but imports torchao, which NNCF does not declare and which pins torch.
    """
    from nncf.torch.function_hook.pruning.magnitude.algo import get_pruned_modules
    from nncf.torch.model_graph_manager import get_const_data_by_name

    state = {key: value for key, value in masked.state_dict().items() if not key.startswith(_HOOKS)}
    for name, mask in get_pruned_modules(masked).items():
        weight = get_const_data_by_name(name, masked)
        key = next(key for key, value in state.items() if value.data_ptr() == weight.data_ptr())
        state[key] = weight * mask.binary_mask
    plain = copy.deepcopy(dense.module)
    plain.load_state_dict(state)
    return plain.eval()


def _logits(module: nn.Module, batches: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    with TorchRunner(module) as runner:
        logits = [runner.infer(batch) for batch in progress_bar(batches, "held-back images", unit="batch")]
    if not logits:
        raise DataError(
            "no calibration images are left to judge batch-norm adaptation with; calibrate with more videos"
        )
    return np.concatenate(logits).astype(np.float64)


def _facts(
    module: nn.Module,
    percent: int,
    kept: tuple[str, ...],
    adapted: bool,
    error_before: float,
    error_after: float,
) -> PruningFacts:
    layers = _prunable_layers(module)
    zeros = {name: int((layer.weight == 0).sum()) for name, layer in layers.items()}
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    pruned = [name for name in layers if name not in kept]
    return PruningFacts(
        percent=percent,
        pruned_layers=tuple(
            LayerSparsity(name, tuple(layers[name].weight.shape), zeros[name] / sizes[name]) for name in pruned
        ),
        kept_layers=kept,
        pruned_fraction=sum(zeros[name] for name in pruned) / sum(sizes[name] for name in pruned),
        overall_fraction=sum(zeros.values()) / sum(sizes.values()),
        batch_norm_adapted=adapted,
        error_before=error_before,
        error_after=error_after,
    )
