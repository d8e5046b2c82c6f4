"""Whether weights that were fitted in the exported graph can be written back into the PyTorch network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.graph_index import GraphIndex
from calibration.layers import biases_from_graph
from export.unfolding import state_with_folded_weights
from pruning.errors import PruningError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from calibration.layers import Layer
    from export.checkpoint import Detector

# Of a tensor's largest magnitude. The exporter folds batch norms in float32.
_TOLERANCE = 1e-3


def require_writable(detector: Detector, layers: Sequence[Layer], model: onnx.ModelProto) -> None:
    """Refuses a network some of whose weights are computed from parameters, as weight standardization does.

    A layer's weight is written back by taking the batch norm behind it out again. If the graph's own weights do not
    come back as the network has them, nothing else would.

    Args:
        detector: The detector.
        layers: The layers of its graph.
        model: Its exported FP32 graph.

    Raises:
        PruningError: The message names the first such layer.
    """
    own = detector.module.state_dict()
    weights, biases = _graph_parameters(layers, model)
    for layer in layers:
        stored = own.get(f"{layer.name}.weight")
        if stored is None or stored.shape != weights[layer.name].shape:
            raise _refusal(layer.name)
    size = detector.contract.input.size
    state = state_with_folded_weights(detector.module, torch.zeros(1, 3, size, size), weights, biases)
    for key, value in own.items():
        if value.is_floating_point() and not _agree(state[key], value):
            raise _refusal(key.rpartition(".")[0])


def _graph_parameters(
    layers: Sequence[Layer], model: onnx.ModelProto
) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    index, biases = GraphIndex(model.graph), biases_from_graph(model.graph)

    def constant(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(index.constant(name)))

    weights, offsets = {}, {}
    for layer in layers:
        weight = constant(layer.weight)
        weights[layer.name] = weight.T if layer.channel_axis == 1 else weight
        outputs = layer.weight_shape[layer.channel_axis]
        offsets[layer.name] = constant(biases[layer.name]) if layer.name in biases else torch.zeros(outputs)
    return weights, offsets


def _agree(written: torch.Tensor, own: torch.Tensor) -> bool:
    largest = max(1.0, float(own.abs().max())) if own.ndim == 1 else float(own.abs().max())
    return torch.allclose(written, own, rtol=0, atol=_TOLERANCE * largest)


def _refusal(layer: str) -> PruningError:
    return PruningError(
        f"what {layer} computes with is not what the checkpoint holds, but made from it (by weight standardization, "
        "for example), so that pruning could not write it back; build q16, q8 and q8w instead"
    )
