"""FP32 ONNX -> FP16 ONNX: FP16 graph, FP32 input, logit and sensitive reductions.

Averages over a whole feature map sum up to tens of thousands of values, which overflows FP16 long before their
mean does, and the classifier decides; both stay in FP32 and cost a cast each. A graph with explicit Q/DQ keeps its
integer tensors, while its scales become FP16 as strongly typed TensorRT demands (a DequantizeLinear yields the type
of its scale).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.errors import ParityError

REDUCTIONS = frozenset({"ReduceMean", "ReduceSum", "ReduceL2", "GlobalAveragePool"})
_HEAD_OPS = REDUCTIONS | {"Gemm", "MatMul", "Add", "Reshape", "Flatten", "Squeeze", "Identity"}
_FP16_MAX = float(np.finfo(np.float16).max)


@dataclass
class _Conversion:
    """State of one pass over the graph: what is converted already and what the new graph holds."""

    initializers: dict[str, TensorProto]
    fp16_tensors: set[str] = field(default_factory=set)
    fp32_tensors: set[str] = field(default_factory=set)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    added: dict[str, TensorProto] = field(default_factory=dict)
    casts: dict[tuple[str, int], str] = field(default_factory=dict)


def fp16_from_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts the graph's arithmetic to FP16; the model given is left alone.

    Args:
        model: An FP32 graph, with or without Q/DQ pairs, nodes in topological order.

    Returns:
        A checked model whose input and output are still float32.

    Raises:
        ParityError: A weight is too large for FP16.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    state = _Conversion({tensor.name: tensor for tensor in graph.initializer})
    state.fp32_tensors.update(value.name for value in graph.input)
    state.fp32_tensors.update(
        name for name, tensor in state.initializers.items() if tensor.data_type == TensorProto.FLOAT
    )
    head = head_nodes(graph)
    for node in graph.node:
        keep = node.op_type in REDUCTIONS or node.name in head
        _convert_node(node, TensorProto.FLOAT if keep else TensorProto.FLOAT16, state)
    _restore_outputs(graph, state)
    _replace_graph(graph, state)
    inferred = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def head_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """Returns the names of the nodes from the last pooling to the output: pooling, reshape and classifier."""
    producers = {output: node for node in graph.node for output in node.output}
    pending = [producers[value.name] for value in graph.output if value.name in producers]
    head: set[str] = set()
    while pending:
        node = pending.pop()
        quantized = any(producers[name].op_type == "DequantizeLinear" for name in node.input if name in producers)
        if node.name in head or node.op_type not in _HEAD_OPS or quantized:
            continue
        head.add(node.name)
        if node.op_type not in REDUCTIONS:
            pending += [producers[name] for name in node.input if name in producers]
    return frozenset(head)


def _convert_node(node: onnx.NodeProto, target: int, state: _Conversion) -> None:
    converted = onnx.NodeProto()
    converted.CopyFrom(node)
    for index, name in enumerate(node.input):
        converted.input[index] = _as_type(name, target, state)
    state.nodes.append(converted)
    if node.op_type == "QuantizeLinear":
        return
    produced = _cast_target(node) or target
    if node.op_type == "DequantizeLinear" or any(_is_float(name, state) for name in node.input) or not node.input:
        (state.fp16_tensors if produced == TensorProto.FLOAT16 else state.fp32_tensors).update(node.output)


def _cast_target(node: onnx.NodeProto) -> int | None:
    if node.op_type == "Cast":
        return int(next(attribute.i for attribute in node.attribute if attribute.name == "to"))
    return TensorProto.FLOAT if node.op_type == "Constant" else None


def _is_float(name: str, state: _Conversion) -> bool:
    return name in state.fp16_tensors or name in state.fp32_tensors


def _as_type(name: str, target: int, state: _Conversion) -> str:
    """Returns the name under which a float tensor is available in the wanted type, casting where needed."""
    current = TensorProto.FLOAT16 if name in state.fp16_tensors else TensorProto.FLOAT
    if not _is_float(name, state) or current == target:
        return name
    if name in state.initializers:
        return _fp16_initializer(name, state)
    if (name, target) not in state.casts:
        suffix = "fp16" if target == TensorProto.FLOAT16 else "fp32"
        output = f"{name}.{suffix}"
        state.nodes.append(helper.make_node("Cast", [name], [output], name=f"{name}/Cast.{suffix}", to=target))
        state.casts[name, target] = output
    return state.casts[name, target]


def _fp16_initializer(name: str, state: _Conversion) -> str:
    converted = f"{name}.fp16"
    if converted not in state.added:
        values = numpy_helper.to_array(state.initializers[name])
        peak = float(np.abs(values).max(initial=0.0))
        if not peak <= _FP16_MAX:
            raise ParityError(
                f"weight {name} reaches {peak:.3g}, beyond FP16's {_FP16_MAX:.0f}; export this model as FP32"
            )
        state.added[converted] = numpy_helper.from_array(values.astype(np.float16), converted)
    return converted


def _restore_outputs(graph: onnx.GraphProto, state: _Conversion) -> None:
    """Casts an output that ended in FP16 back to FP32 under its old name."""
    for value in graph.output:
        if value.name in state.fp16_tensors:
            inner = f"{value.name}.fp16"
            for node in state.nodes:
                node.output[:] = [inner if name == value.name else name for name in node.output]
                node.input[:] = [inner if name == value.name else name for name in node.input]
            state.nodes.append(
                helper.make_node("Cast", [inner], [value.name], name=f"{value.name}/Cast.fp32", to=TensorProto.FLOAT)
            )


def _replace_graph(graph: onnx.GraphProto, state: _Conversion) -> None:
    used = {name for node in state.nodes for name in node.input}
    kept = [tensor for tensor in [*graph.initializer, *state.added.values()] if tensor.name in used]
    del graph.node[:]
    graph.node.extend(state.nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
