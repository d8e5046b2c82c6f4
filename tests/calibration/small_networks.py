"""A network of twelve layers, made node by node, with one of everything that the INT8 search tells apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.contract import INPUT_NAME, OUTPUT_NAME
from export.runners import OnnxRunner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SIZE = 32


class NetworkMaker:
    """Appends nodes with random weights; every method returns the name of the tensor that it makes."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, name: str, inputs: Sequence[str], **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [f"{name}.out"], name=name, **attributes))
        return f"{name}.out"

    def conv(
        self, name: str, value: str, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        shape = (outputs, inputs // group, kernel, kernel)
        weight = self.rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        names = [
            self.constant(f"{name}.weight", weight.astype(np.float32)),
            self.constant(f"{name}.bias", (0.3 * self.rng.standard_normal(outputs)).astype(np.float32)),
        ]
        pads = [kernel // 2] * 4
        return self.node("Conv", name, [value, *names], strides=[stride, stride], pads=pads, group=group)

    def silu(self, name: str, value: str) -> str:
        return self.node("Mul", f"{name}/Mul", [value, self.node("Sigmoid", f"{name}/Sigmoid", [value])])

    def pooled(self, name: str, value: str) -> str:
        if not any(tensor.name == "pool.axes" for tensor in self.constants):
            self.constant("pool.axes", np.array([2, 3], np.int64))
        return self.node("ReduceMean", f"{name}/ReduceMean", [value, "pool.axes"], keepdims=1)

    def gated(self, name: str, value: str, channels: int) -> str:
        squeezed = self.conv(f"{name}.reduce", self.pooled(name, value), channels, 4)
        gate = self.conv(f"{name}.expand", self.silu(f"{name}.act", squeezed), 4, channels)
        return self.node("Mul", f"{name}/Mul", [value, self.node("Sigmoid", f"{name}/Sigmoid", [gate])])

    def classified(self, value: str, channels: int) -> None:
        flat = self.node("Flatten", "flatten", [self.pooled("pool", value)])
        weight = self.constant("fc.weight", self.rng.standard_normal((1, channels)).astype(np.float32))
        bias = self.constant("fc.bias", np.array([0.1], np.float32))
        self.nodes.append(helper.make_node("Gemm", [flat, weight, bias], [OUTPUT_NAME], name="fc", transB=1))

    def model(self, size: int = SIZE) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["N", 3, size, size])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["N", 1])],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(made, full_check=True)
        return made


def small_network(seed: int = 0) -> onnx.ModelProto:
    """Makes two gated depthwise blocks, the second with a skip, between a stem and a head."""
    make = NetworkMaker(seed)
    value = make.silu("stem.act", make.conv("stem", INPUT_NAME, 3, 8, kernel=3, stride=2))
    value = make.silu("first.act", make.conv("first.depthwise", value, 8, 8, kernel=3, group=8))
    skip = make.conv("first.project", make.gated("first.gate", value, 8), 8, 6)
    value = make.silu("second.act1", make.conv("second.pointwise", skip, 6, 12))
    value = make.silu("second.act2", make.conv("second.depthwise", value, 12, 12, kernel=3, group=12))
    value = make.conv("second.project", make.gated("second.gate", value, 12), 12, 6)
    value = make.silu("head.act", make.conv("head", make.node("Add", "second/Add", [value, skip]), 6, 16))
    make.classified(value, 16)
    return make.model()


def images_for_tests(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, size, size)).astype(np.float32)


def logits_of(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """Returns the logits (N,) that ONNX Runtime computes."""
    with OnnxRunner(model, threads=1) as runner:
        return runner.infer(images)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def constant_of(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def replace_constants(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> None:
    """Writes new values into initializers of a model."""
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name].astype(np.float32), tensor.name))


def with_wide_channels(model: onnx.ModelProto, layers: Iterable[str], factor: float) -> onnx.ModelProto:
    """Makes the first output channel of layers wider by a factor; the network becomes another one."""
    copy = copied(model)
    for node in copy.graph.node:
        if node.name in layers:
            changed = {name: constant_of(copy, name).copy() for name in node.input[1:3]}
            for values in changed.values():
                values[0] *= factor
            replace_constants(copy, changed)
    return copy
