"""A dense detector as pruning looks at it: graph, layers, and what may be taken away."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from calibration.graph_index import GraphIndex
from calibration.layer_inputs import geometry_from_node
from calibration.layers import Role, biases_from_graph, layers_from_graph
from calibration.placement import first_match, require_matches
from calibration.torch_graph import TorchGraph, require_computable, torch_device
from pruning.channel_groups import channel_groups_from_graph
from pruning.errors import PruningError
from pruning.writing_back import require_writable

if TYPE_CHECKING:
    import onnx

    from calibration.layer_inputs import LayerGeometry
    from calibration.layers import Layer
    from export.checkpoint import Detector
    from pruning.channel_groups import ChannelGroup

# Stem, depthwise, squeeze-and-excitation layers and the classifier hold little and decide much.
_PRUNED_ROLES = frozenset({Role.CONVOLUTION, Role.HEAD})
# Sparse kernels win over dense ones only in wide layers.
_FEWEST_FOR_TWO_OF_FOUR = 128
_DENSE_ZEROS = 0.05


class DenseNetwork:
    """The network to be pruned.

    Args:
        detector: The detector.
        model: Its exported FP32 graph.
        keep: Patterns of layers that are not pruned.

    Raises:
        PruningError: The detector is pruned already, or does not hold the graph's weights as such.
        QuantizationError: A pattern matches no layer, or the graph holds an operator that pruning cannot follow.

    Attributes:
        detector: The detector.
        layers: Its convolutions and linear layers, in graph order.
        keep: The patterns.
    """

    def __init__(self, detector: Detector, model: onnx.ModelProto, keep: tuple[str, ...] = ()) -> None:
        self.detector = detector
        self.layers = layers_from_graph(model.graph)
        require_matches(keep, self.layers)
        self._model = model
        self.keep = keep
        require_computable(model.graph)
        require_writable(detector, self.layers, model)
        self._require_dense()

    @cached_property
    def graph(self) -> TorchGraph:
        """The graph, on a GPU if there is one."""
        return TorchGraph(self._model, torch_device())

    @cached_property
    def geometries(self) -> dict[str, LayerGeometry]:
        """Layer -> how it reads its input."""
        nodes = {node.name: node for node in self._model.graph.node}
        return {layer.name: geometry_from_node(nodes[layer.name], layer) for layer in self.layers}

    @cached_property
    def biases(self) -> dict[str, str]:
        """Layer -> its bias initializer, if it has one."""
        return biases_from_graph(self._model.graph)

    @cached_property
    def fitted_layers(self) -> tuple[Layer, ...]:
        """The layers that reconstruction fits: all but the classifier, which alignment takes care of."""
        return tuple(layer for layer in self.layers if layer.role is not Role.CLASSIFIER)

    @cached_property
    def prunable_layers(self) -> tuple[Layer, ...]:
        """The layers that may lose single weights."""
        return tuple(
            layer for layer in self.layers if layer.role in _PRUNED_ROLES and not first_match(layer.name, self.keep)
        )

    @cached_property
    def two_of_four_layers(self) -> tuple[Layer, ...]:
        """The layers that take 2:4 sparsity: pointwise, and wide enough for a sparse kernel to be the faster one."""
        return tuple(layer for layer in self.prunable_layers if self._is_wide_and_pointwise(layer))

    @cached_property
    def channel_groups(self) -> tuple[ChannelGroup, ...]:
        """The channels that may be removed; a group with a kept layer keeps all of them."""
        return tuple(
            group
            for group in channel_groups_from_graph(self._model.graph)
            if not any(first_match(layer.name, self.keep) for layer in (*group.writers, *group.readers))
        )

    @property
    def weight_count(self) -> int:
        """Weights of all convolutions and linear layers."""
        return sum(layer.weight_count for layer in self.layers)

    def _is_wide_and_pointwise(self, layer: Layer) -> bool:
        outputs = layer.weight_shape[layer.channel_axis]
        inputs = layer.weight_count // outputs
        pointwise = all(size == 1 for size in layer.weight_shape[2:]) and self.geometries[layer.name].groups == 1
        return pointwise and inputs % 4 == 0 and min(inputs, outputs) >= _FEWEST_FOR_TWO_OF_FOUR

    def _require_dense(self) -> None:
        index = GraphIndex(self._model.graph)
        zeros = sum(int(np.sum(np.asarray(index.constant(layer.weight)) == 0)) for layer in self.layers)
        if zeros > _DENSE_ZEROS * self.weight_count:
            share = 100 * zeros / self.weight_count
            raise PruningError(
                f"{share:.0f} % of the checkpoint's weights are zero, so it is pruned already; give the dense "
                "checkpoint, or build q16, q8 and q8w, which take it as it is"
            )
