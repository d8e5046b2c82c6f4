"""Makes a weakly typed TensorRT, which is 8.6, compute each layer in the type that the graph says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from engines.tensorrt_api import TensorRTApi

# Constants take the type of what reads them; the others define types themselves.
_LEFT_ALONE = ("CONSTANT", "SHAPE", "QUANTIZE", "DEQUANTIZE", "CAST")
_FLOATS = {"FP32": "FLOAT", "FP16": "HALF"}


def allow_and_obey(api: TensorRTApi, network: Any, config: Any, precisions: Mapping[str, str]) -> None:
    """Allows the precisions that a network has and binds each float layer to its own.

    Layers that compute in INT8 are bound by the quantizers around them.

    Args:
        api: A weakly typed TensorRT.
        network: What its parser made.
        config: The build's configuration.
        precisions: `FP32`, `FP16` or `INT8` per name of an ONNX node.

    Raises:
        BackendError: This TensorRT lacks a flag.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    quantizers = {getattr(api.module.LayerType, name) for name in ("QUANTIZE", "DEQUANTIZE")}
    quantized = {"INT8"} if any(layer.type in quantizers for layer in layers) else set()
    for flag in api.typing_flags(quantized | set(precisions.values())):
        config.set_flag(flag)
    left_alone = {getattr(api.module.LayerType, name) for name in _LEFT_ALONE}
    for layer in layers:
        precision = _FLOATS.get(precision_of(layer.name, precisions))
        if precision is not None and layer.type not in left_alone:
            _bind(api.module.DataType, layer, getattr(api.module.DataType, precision))


def precision_of(layer: str, precisions: Mapping[str, str]) -> str:
    """Returns the precision of a layer; a node's second layer is called like the node plus `_` and a number."""
    return precisions.get(layer) or precisions.get(re.sub(r"_\d+$", "", layer), "")


def _bind(types: Any, layer: Any, precision: Any) -> None:
    floats = list(_float_outputs(types, layer))
    if not floats:
        return
    layer.precision = precision
    for index in floats:
        # What the network returns has the type that the graph declares for it.
        if not layer.get_output(index).is_network_output:
            layer.set_output_type(index, precision)


def _float_outputs(types: Any, layer: Any) -> Iterator[int]:
    for index in range(layer.num_outputs):
        if layer.get_output(index).dtype in (types.FLOAT, types.HALF):
            yield index
