"""The same network for TensorRT 8.6, whose parser knows opset 17 and whose networks are weakly typed.

There, types are asked for layer by layer, so that the graph holds FP32 only and `precisions` says what each node is to
compute in. What 8.6 accepts differs from opset 17 in places. Sources: [B] messages in libnvonnxparser and libnvinfer
8.6.0; [S] builtin_op_importers.cpp and onnx2trt_utils.cpp of an earlier 8.x, onnx/onnx-tensorrt 009d6541.

- ReduceMean reads its axes from the attribute only; axes that are an input are ignored and all are reduced [S].
- QuantizeLinear and DequantizeLinear of INT8 need all three inputs [B], with as many zero points as scales [S].
- A weight is a float constant with Q and DQ behind it. An INT8 constant in front of a DequantizeLinear is known to
  libnvinfer "in explicit precision mode" [B], but no public source says that it works. Nothing is lost: a step times
  its scale, rounded to FP32 and divided by the scale, is within 2^-16 of the step, so that Q gives back the very steps.
- A weight that is computed, by a DQ too, is allowed "only in explicit-quantization mode" [B], and a convolution whose
  weight alone is INT8 is documented nowhere. It gets the restored float weight: the same numbers, no smaller plan.
- A QuantizeLinear runs in FP32 or FP16 and a DequantizeLinear in INT8 ("can only run in" [B]), whatever is asked for.
- uint8 is a type of network inputs and outputs only [B]; the Cast that reads it stays first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.graph_index import attribute
from calibration.typed_graph import DEQUANTIZE, QUANTIZE, TypedGraph
from engines.opset17_operators import OPSET, in_fp32, respell
from engines.precisions import LAYER_OPS, float_precision, layer_precision
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

NodePrecision: TypeAlias = Literal["FP32", "FP16", "INT8"]

IR_VERSION = 8
_FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class WeaklyTyped:
    """A network and what its nodes are to compute in.

    Attributes:
        model: FP32 throughout, but for the INT8 between a QuantizeLinear and a DequantizeLinear and a uint8 input;
            opset 17.
        precisions: Node -> the precision that the strongly typed graph computes it in. Only nodes that read and make
            floating-point numbers are in it, and none that quantizes or dequantizes.
    """

    model: onnx.ModelProto
    precisions: Mapping[str, NodePrecision]


def weakly_typed_from_typed(model: onnx.ModelProto) -> WeaklyTyped:
    """Takes the types out of a strongly typed graph; the model given is left alone.

    Nodes that remain keep their names; casts between FP16 and FP32 do not remain.

    Args:
        model: An FP32, FP16 or Q/DQ graph of opset 18 to 20, with float32 or uint8 input, nodes in topological order
            and with unique names.

    Raises:
        BackendError: An operator has no equal in opset 17 or no importer in TensorRT 8.6, or nodes share a name.
    """
    graph = TypedGraph(model)
    _require_unique_names(model.graph)
    precisions = {node.name: precision for node in model.graph.node if (precision := _node_precision(node, graph))}
    rewriting = _Rewriting(graph)
    for node in model.graph.node:
        rewriting.add(node)
    result = helper.make_model(
        rewriting.finished(),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    result.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(result, full_check=True)
    remaining = {node.name for node in result.graph.node}
    return WeaklyTyped(result, {name: found for name, found in precisions.items() if name in remaining})


def _node_precision(node: onnx.NodeProto, graph: TypedGraph) -> NodePrecision | None:
    if not node.input or graph.element_type(node.input[0]) not in _FLOAT_TYPES:
        return None
    if node.op_type in LAYER_OPS and layer_precision(node, graph) == "INT8":
        return "INT8"
    found = float_precision(node, graph)
    return found if found in ("FP32", "FP16") else None


class _Rewriting:
    """One pass over a typed graph: what the new one holds so far."""

    def __init__(self, graph: TypedGraph) -> None:
        self._typed = graph
        self._outputs = graph.outputs
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._renamed: dict[str, str] = {}
        for tensor in graph.graph.initializer:
            self._constants[tensor.name] = in_fp32(tensor)

    def add(self, node: onnx.NodeProto) -> None:
        """Adds what stands for a node of the typed graph."""
        if node.op_type == "Cast" and self._between_floats(node):
            self._drop(node)
            return
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        copy.input[:] = [self._renamed.get(name, name) for name in node.input]
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            self._add_quantizer(node, copy)
        else:
            respell(copy, node, self._typed)
            self._nodes.append(copy)

    def finished(self) -> onnx.GraphProto:
        """Returns the new graph."""
        source = self._typed.graph
        used = {name for node in self._nodes for name in node.input} | self._outputs
        return helper.make_graph(
            self._nodes,
            source.name,
            source.input,
            source.output,
            [tensor for tensor in self._constants.values() if tensor.name in used],
        )

    def _between_floats(self, node: onnx.NodeProto) -> bool:
        return self._typed.element_type(node.input[0]) in _FLOAT_TYPES and attribute(node, "to") in _FLOAT_TYPES

    def _drop(self, node: onnx.NodeProto) -> None:
        """Leaves a cast out: what read its output reads its input, unless the output is the network's."""
        source = self._renamed.get(node.input[0], node.input[0])
        output = node.output[0]
        if output not in self._outputs:
            self._renamed[output] = source
            return
        # The network's output keeps its name, so that the tensor in front of the cast takes that name.
        if source in self._typed.inputs or source in self._outputs or source in self._constants:
            self._nodes.append(helper.make_node("Identity", [source], [output], name=node.name))
            return
        self._renamed = {name: output if new == source else new for name, new in self._renamed.items()}
        self._renamed[source] = output
        for known in self._nodes:
            known.output[:] = [output if name == source else name for name in known.output]
            known.input[:] = [output if name == source else name for name in known.input]

    def _add_quantizer(self, node: onnx.NodeProto, copy: onnx.NodeProto) -> None:
        steps = self._typed.constant(node.input[0])
        if node.op_type == DEQUANTIZE and steps is not None:
            self._add_weight(node, copy, steps)
            return
        self._complete(copy)
        self._nodes.append(copy)

    def _add_weight(self, node: onnx.NodeProto, copy: onnx.NodeProto, steps: Any) -> None:
        """Adds a stored weight: as a float constant, with Q and DQ behind it if an INT8 layer reads it."""
        typed_scale = np.asarray(self._typed.constant(node.input[1]))
        scale = typed_scale.astype(np.float32)
        axis = attribute(node, "axis", 1)
        shape = [-1 if dimension == axis % steps.ndim else 1 for dimension in range(steps.ndim)]
        restored = steps.astype(np.float32) * (scale.reshape(shape) if scale.size > 1 else scale.reshape(()))
        readers = [use.node for use in self._typed.uses[node.output[0]]]
        if not any(layer_precision(reader, self._typed) == "INT8" for reader in readers if reader.op_type in LAYER_OPS):
            # The typed DequantizeLinear rounds to the type of its scale; for an INT8 layer nothing is rounded.
            rounded = restored.astype(typed_scale.dtype).astype(np.float32)
            self._constants[node.output[0]] = numpy_helper.from_array(rounded, node.output[0])
            return
        name, quantized = f"{node.input[0]}.restored", node.input[0]
        self._constants[name] = numpy_helper.from_array(restored, name)
        self._constants.pop(quantized)
        self._complete(copy)
        quantizer = helper.make_node(QUANTIZE, [name, *copy.input[1:]], [quantized], name=f"{node.name}.Q")
        quantizer.attribute.extend(copy.attribute)
        self._nodes += [quantizer, copy]

    def _complete(self, copy: onnx.NodeProto) -> None:
        """Gives a Q or DQ node its third input, one INT8 zero for each scale."""
        scale = self._constants.get(copy.input[1])
        given = self._typed.constant(copy.input[2]) if len(copy.input) > 2 else None
        symmetric = given is None if copy.op_type == DEQUANTIZE else False
        symmetric = symmetric or (given is not None and given.dtype == np.int8 and not given.any())
        if scale is None or not symmetric:
            raise BackendError(
                f"{copy.op_type} {copy.name} has a computed scale or a zero point that is not INT8 0; TensorRT "
                "quantizes symmetrically, so quantize again with this release"
            )
        shape = tuple(scale.dims)
        name = "int8.zero_point" + "".join(f".{length}" for length in shape)
        self._constants[name] = numpy_helper.from_array(np.zeros(shape, np.int8), name)
        copy.input[:] = [*copy.input[:2], name]
        kept = [item for item in copy.attribute if item.name == "axis"]
        del copy.attribute[:]
        copy.attribute.extend(kept)


def _require_unique_names(graph: onnx.GraphProto) -> None:
    seen: set[str] = set()
    for node in graph.node:
        if node.name in seen or not node.name:
            raise BackendError(
                f"two nodes are named {node.name!r}" if node.name else f"a {node.op_type} node has no name"
            )
        seen.add(node.name)
