"""Repairs a pruned detector without labels; a step is kept only if it brings held-back logits closer to the dense."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from onnx import numpy_helper
from torch import nn

from calibration.int8_images import costly_pass_image_count
from calibration.int8_record import RepairRecord
from calibration.layer_inputs import geometry_from_node
from calibration.layers import Role, layers_from_graph
from calibration.logit_alignment import fitted_alignment
from calibration.logit_noise import sqnr_db, within_class_variance
from calibration.torch_graph import TorchGraph, torch_device
from export.runners import TorchRunner
from export.unfolding import state_with_folded_weights
from pruning.reconstruction import sparse_reconstructed

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from calibration.int8_images import Int8Images, LabelledImages
    from calibration.logit_alignment import Alignment
    from export.checkpoint import Detector

    Logits = NDArray[np.float64]


def repaired_pruning(
    dense: Detector, pruned: Detector, dense_graph: onnx.ModelProto, images: Int8Images
) -> tuple[Detector, tuple[RepairRecord, ...]]:
    """Reconstructs the weights that pruning left, and aligns the logit.

    Args:
        dense: The detector before pruning.
        pruned: The same with some weights zero, which stay zero.
        dense_graph: The exported FP32 graph of `dense`.
        images: Calibration images to fit to, and others that judge.

    Returns:
        The repaired detector, and what was tried. SQNR is that of the logit, within a class, on the judging images.
    """
    reference = tuple(_logits(dense, part) for part in (images.fitted, images.judging))
    labels = np.concatenate([images.fitted.is_fake, images.judging.is_fake])
    variance = within_class_variance(np.concatenate(reference), labels)

    def judged(logits: Logits) -> float:
        return sqnr_db(variance, logits - reference[1])

    before = judged(_logits(pruned, images.judging))
    fitted = _reconstructed(pruned, dense_graph, images)
    after = judged(_logits(fitted, images.judging))
    steps = [RepairRecord("reconstruction of weights, layer after layer", before, after, after > before)]
    best = fitted if steps[0].kept else pruned
    plain = _logits(best, images.judging)
    alignment = fitted_alignment(_logits(best, images.fitted), reference[0])
    before, after = judged(plain), judged(alignment.of(plain))
    steps.append(RepairRecord("alignment of the logit, in the classifier", before, after, after > before))
    return (_aligned(best, alignment) if steps[1].kept else best), tuple(steps)


def _reconstructed(pruned: Detector, dense_graph: onnx.ModelProto, images: Int8Images) -> Detector:
    """Fits everything but the classifier, which alignment takes care of."""
    graph = TorchGraph(dense_graph, torch_device())
    nodes = {node.name: node for node in dense_graph.graph.node}
    layers = [layer for layer in layers_from_graph(dense_graph.graph) if layer.role is not Role.CLASSIFIER]
    biases = {layer.name: nodes[layer.name].input[2] for layer in layers if len(nodes[layer.name].input) > 2}
    state = pruned.module.state_dict()
    masks = {layer.name: state[f"{layer.name}.weight"] != 0 for layer in layers}
    size = pruned.contract.input.size
    found = sparse_reconstructed(
        graph,
        layers,
        {name: mask for name, mask in masks.items() if not mask.all()},
        {layer.name: geometry_from_node(nodes[layer.name], layer) for layer in layers},
        biases,
        images.fitted.first(costly_pass_image_count(size)),
    )
    constants = {tensor.name: tensor for tensor in dense_graph.graph.initializer}
    offsets = {
        layer.name: torch.from_numpy(numpy_helper.to_array(constants[biases[layer.name]]).copy())
        + found.corrections[layer.name].cpu()
        if layer.name in biases
        else torch.zeros(layer.weight_shape[layer.channel_axis])
        for layer in layers
    }
    weights = {name: weight.cpu() for name, weight in found.weights.items()}
    image = torch.zeros(1, 3, size, size)
    return _with_state(pruned, state_with_folded_weights(pruned.module, image, weights, offsets))


def _aligned(detector: Detector, alignment: Alignment) -> Detector:
    """Folds an alignment into the classifier, the last layer, which makes the one logit."""
    name = list(_layers(detector.module))[-1]
    state = detector.module.state_dict()
    return _with_state(
        detector,
        {
            **state,
            f"{name}.weight": alignment.scale * state[f"{name}.weight"],
            f"{name}.bias": alignment.scale * state[f"{name}.bias"] + alignment.offset,
        },
    )


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.Conv2d)
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}


def _with_state(detector: Detector, state: dict[str, torch.Tensor]) -> Detector:
    module = copy.deepcopy(detector.module)
    module.load_state_dict(state)
    return replace(detector, module=module.eval(), sha256="")


def _logits(detector: Detector, images: LabelledImages) -> Logits:
    with TorchRunner(detector.module) as runner:
        return np.concatenate([runner.infer(batch.numpy()) for batch in images.batches]).astype(np.float64)
